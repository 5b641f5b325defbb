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
use super::snapshot::{changed, is_gone};

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
        let mut rows = conn.copy_out_raw(&statement).await.map_err(|e| unreadable(&doing, e))?;
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

/// A table that was there a moment ago went with its schema, which no lock on the table prevents.
fn unreadable(doing: &str, e: sqlx::Error) -> Error {
    let gone = is_gone(&e);
    let e = failure(doing, e);
    if gone { changed(e.message()) } else { e }
}

/// Loads one part of a table's file. The end-of-copy mark at the end of the file is checked and left out.
pub(super) async fn rows_in(
    conn: &mut PgConnection,
    statement: &str,
    doing: &str,
    place: PartPlace<'_>,
    file_bytes: u64,
    mut data: ByteStream<'_>,
) -> Result<()> {
    let mut rows = Rows { at: place.offset, end: file_bytes.saturating_sub(END_OF_COPY.len() as u64) };
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

/// Tells rows from the end-of-copy mark by where the bytes are in the file.
struct Rows {
    /// Where the next byte is.
    at: u64,
    /// Where the rows end and the mark begins.
    end: u64,
}

impl Rows {
    /// The next rows of a part, or none at its end, which has to be where it was planned.
    async fn next(&mut self, data: &mut ByteStream<'_>, place: &PartPlace<'_>) -> Result<Option<Bytes>> {
        while let Some(piece) = data.next().await.transpose()? {
            let piece = self.take(piece).map_err(|e| e.at(place.file))?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        if self.at == place.offset + place.bytes {
            return Ok(None);
        }
        Err(Error::new(Code::Internal, format!("{}: a part has another length than planned", place.file)))
    }

    /// What of the next piece is rows.
    fn take(&mut self, piece: Bytes) -> Result<Bytes> {
        let ours = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(piece.len());
        let seen = usize::try_from(self.at.saturating_sub(self.end)).unwrap_or(usize::MAX);
        self.at += piece.len() as u64;
        let mark = END_OF_COPY.get(seen..).unwrap_or_default();
        if mark.starts_with(&piece[ours..]) {
            return Ok(piece.slice(..ours));
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
            let mut rows = Rows { at: 0, end: file.len() as u64 - 5 };
            let (a, b) = file.split_at(cut);
            let mut out = rows.take(Bytes::from_static(a)).unwrap().to_vec();
            out.extend(rows.take(Bytes::copy_from_slice(b)).unwrap());
            assert_eq!(out, b"1\tone\n2\ttwo\n", "cut at {cut}");
        }
    }

    #[test]
    fn another_end_is_refused() {
        let file = b"1\tone\n2\ttwo\n";
        let mut rows = Rows { at: 0, end: file.len() as u64 - 5 };
        assert_eq!(rows.take(Bytes::from_static(file)).unwrap_err().code(), Code::Damaged);
        let mut rows = Rows { at: 0, end: 0 };
        assert_eq!(rows.take(Bytes::from_static(b"\\.\n\n\n\n")).unwrap_err().code(), Code::Damaged);
    }
}
