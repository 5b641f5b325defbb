//! Rows out and in by COPY in its text format.

use async_stream::try_stream;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use sqlx::postgres::PgConnection;

use crate::engine::{ByteStream, PartPlace};
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;

use super::archive::END_OF_COPY;
use super::failure::failure;

/// Rows are passed on in batches of this size, about.
const BATCH: usize = 256 << 10;

/// A row of this size is passed on by itself, without copying it.
const LARGE_ROW: usize = 64 << 10;

/// The smallest and the largest message sent to the server, but for a part's last.
const MESSAGE: std::ops::Range<usize> = 64 << 10..1 << 20;

/// Runs a `COPY … TO STDOUT`, adds each row to the hash and passes the rows on in batches.
pub(super) fn rows_out<'a>(
    conn: &'a mut PgConnection,
    statement: String,
    doing: String,
    hasher: &'a mut RowHasher,
) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
    try_stream! {
        let mut rows = conn.copy_out_raw(&statement).await.map_err(|e| failure(&doing, e))?;
        let mut batch = BytesMut::new();
        // The server sends each row as one message, with its line feed.
        while let Some(row) = rows.try_next().await.map_err(|e| failure(&doing, e))? {
            let Some((b'\n', content)) = row.split_last() else {
                Err(Error::new(Code::DatabaseUnavailable, format!("{doing}: the server sent a part of a row"))
                    .next("connect to PostgreSQL itself, not through a proxy that regroups messages"))?;
                return;
            };
            hasher.add(content);
            if row.len() >= LARGE_ROW {
                if !batch.is_empty() {
                    yield std::mem::take(&mut batch).freeze();
                }
                yield row;
                continue;
            }
            if batch.capacity() == 0 {
                batch.reserve(BATCH + LARGE_ROW);
            }
            batch.extend_from_slice(&row);
            if batch.len() >= BATCH {
                yield std::mem::take(&mut batch).freeze();
            }
        }
        if !batch.is_empty() {
            yield batch.freeze();
        }
    }
}

/// Loads one part of a table's file. The end-of-copy mark at the end of the file is checked and left out.
pub(super) async fn rows_in(
    conn: &mut PgConnection,
    statement: &str,
    doing: &str,
    place: PartPlace<'_>,
    last: bool,
    mut data: ByteStream<'_>,
) -> Result<()> {
    let mut rows = Rows { read: 0, last, tail: BytesMut::new() };
    let failed = |e| failure(format_args!("{doing} (part at byte {})", place.offset), e);
    let mut next = rows.next(&mut data, &place).await?;
    if next.is_none() {
        // Most tables of a large schema are empty.
        return Ok(());
    }
    let mut copy = conn.copy_in_raw(statement).await.map_err(failed)?;
    let mut message = BytesMut::new();
    while let Some(piece) = next {
        if !message.is_empty() || piece.len() < MESSAGE.start {
            message.extend_from_slice(&piece);
            if message.len() >= MESSAGE.start {
                copy.send(&message[..]).await.map_err(failed)?;
                message.clear();
            }
        } else {
            for chunk in piece.chunks(MESSAGE.end) {
                copy.send(chunk).await.map_err(failed)?;
            }
        }
        next = rows.next(&mut data, &place).await?;
    }
    if !message.is_empty() {
        copy.send(&message[..]).await.map_err(failed)?;
    }
    copy.finish().await.map(drop).map_err(failed)
}

/// Tells rows from the end-of-copy mark, which the last part of a file ends with.
struct Rows {
    /// Bytes read.
    read: u64,
    /// Whether the file ends with this part.
    last: bool,
    /// The last bytes so far, which may be the mark.
    tail: BytesMut,
}

impl Rows {
    /// The next rows of a part, or none at its end, which has to be where it was planned.
    async fn next(&mut self, data: &mut ByteStream<'_>, place: &PartPlace<'_>) -> Result<Option<Bytes>> {
        while let Some(piece) = data.next().await.transpose()? {
            let piece = self.take(piece);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        if place.bytes.is_some_and(|bytes| bytes != self.read) {
            return Err(Error::new(Code::Internal, format!("{}: a part has another length than planned", place.file)));
        }
        self.check_end().map_err(|e| e.at(place.file)).map(|()| None)
    }

    /// What of the next piece is rows for certain.
    fn take(&mut self, piece: Bytes) -> Bytes {
        self.read += piece.len() as u64;
        if !self.last {
            return piece;
        }
        let mark = END_OF_COPY.len();
        if self.tail.is_empty() && piece.len() > mark {
            self.tail.extend_from_slice(&piece[piece.len() - mark..]);
            return piece.slice(..piece.len() - mark);
        }
        // Small pieces, or one behind another: the bytes that waited come first.
        self.tail.extend_from_slice(&piece);
        let rows = self.tail.len().saturating_sub(mark);
        self.tail.split_to(rows).freeze()
    }

    fn check_end(&self) -> Result<()> {
        if !self.last || self.tail[..] == END_OF_COPY[..] {
            return Ok(());
        }
        Err(Error::new(Code::Damaged, "the file does not end as data of COPY does")
            .next("use another copy of this dump or another backup"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn the_mark_is_left_out_wherever_pieces_end() {
        let file = b"1\tone\n2\ttwo\n\\.\n\n\n";
        for cut in 0..=file.len() {
            let mut rows = Rows { read: 0, last: true, tail: BytesMut::new() };
            let (a, b) = file.split_at(cut);
            let mut out = rows.take(Bytes::from_static(a)).to_vec();
            out.extend(rows.take(Bytes::copy_from_slice(b)));
            rows.check_end().unwrap();
            assert_eq!(out, b"1\tone\n2\ttwo\n", "cut at {cut}");
        }
    }

    #[test]
    fn another_end_is_refused_and_an_earlier_part_has_none() {
        for (file, last, whole) in [
            (b"1\tone\n2\ttwo\n".as_slice(), true, false),
            (b"\\.\n\n\n\n", true, false),
            (b"", true, false),
            (b"\\.\n\n\n", true, true),
            (b"1\tone\n", false, true),
        ] {
            let mut rows = Rows { read: 0, last, tail: BytesMut::new() };
            rows.take(Bytes::from_static(file));
            assert_eq!(rows.check_end().is_ok(), whole, "{file:?}");
        }
    }
}
