//! Large objects: their sizes, and their bytes in and out.

use std::ops::Range;

use async_stream::try_stream;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use sqlx::postgres::PgConnection;
use sqlx::postgres::types::Oid;

use crate::engine::ByteStream;
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;
use crate::report::TableSummary;

use super::connect::{execute, query};
use super::failure::failure;
use super::plan::LargeObject;

/// Under this name all large objects together are summed up.
pub(super) const SUMMARY: &str = "pg_catalog.pg_largeobject";

/// Bytes that one statement moves: a multiple of the size of a page.
const CHUNK: usize = 512 << 10;

/// Bytes that are hashed as one row.
const PAGE: usize = 2048;

/// Objects whose sizes are asked for in one query.
const SIZES_PER_QUERY: usize = 1000;

/// The summary of large objects hashed as [`read`] does it.
pub(super) fn summary(hasher: &RowHasher) -> TableSummary {
    TableSummary {
        name: SUMMARY.to_owned(),
        columns: ["loid", "pageno", "data"].map(str::to_owned).to_vec(),
        rows: hasher.rows(),
        hash: hasher.hash(),
    }
}

/// The sizes of these large objects. The connection is in a transaction.
pub(super) async fn sizes(conn: &mut PgConnection, oids: &[u32]) -> Result<Vec<LargeObject>> {
    let mut found = Vec::with_capacity(oids.len());
    for batch in oids.chunks(SIZES_PER_QUERY) {
        let list: Vec<String> = batch.iter().map(u32::to_string).collect();
        // OFFSET 0 keeps the order of evaluation: open (for reading), seek to the end, close.
        let sql = format!(
            "SELECT sized.oid, sized.size, pg_catalog.lo_close(sized.fd) FROM ( \
             SELECT opened.oid, opened.fd, pg_catalog.lo_lseek64(opened.fd, 0, 2) AS size FROM ( \
             SELECT oid, pg_catalog.lo_open(oid, 262144) AS fd \
             FROM pg_catalog.unnest('{{{}}}'::pg_catalog.oid[]) AS oid OFFSET 0) AS opened OFFSET 0) AS sized",
            list.join(",")
        );
        for row in query(conn, &sql, "reading the sizes of large objects").await? {
            let number = |i: usize| row.get(i).and_then(Option::as_deref).unwrap_or_default();
            match (number(0).parse(), number(1).parse()) {
                (Ok(oid), Ok(bytes)) => found.push(LargeObject { oid, bytes }),
                _ => return Err(Error::new(Code::Internal, "the size of a large object is no number")),
            }
        }
    }
    Ok(found)
}

/// Reads a range of a large object, which begins at a page, and adds its pages to the hash; with its first page the
/// object itself, which may be empty.
pub(super) fn read<'a>(
    conn: &'a mut PgConnection,
    oid: u32,
    range: Range<u64>,
    hasher: &'a mut RowHasher,
) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
    try_stream! {
        let mut row = Vec::with_capacity(PAGE + 32);
        if range.start == 0 {
            hasher.add(oid.to_string().as_bytes());
        }
        let mut at = range.start;
        while at < range.end {
            let want = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
            let bytes = get(conn, oid, at, want).await?;
            for (page, data) in bytes.chunks(PAGE).enumerate() {
                row.clear();
                row.extend_from_slice(format!("{oid}\t{}\t", at / PAGE as u64 + page as u64).as_bytes());
                row.extend_from_slice(data);
                hasher.add(&row);
            }
            at += want as u64;
            yield Bytes::from(bytes);
        }
    }
}

async fn get(conn: &mut PgConnection, oid: u32, at: u64, want: usize) -> Result<Vec<u8>> {
    let doing = || format!("reading large object {oid} at byte {at}");
    let bytes: Vec<u8> = sqlx::query_scalar("SELECT pg_catalog.lo_get($1, $2, $3)")
        .persistent(false)
        .bind(Oid(oid))
        .bind(i64::try_from(at).unwrap_or(i64::MAX))
        .bind(i32::try_from(want).unwrap_or(i32::MAX))
        .fetch_one(conn)
        .await
        .map_err(|e| failure(doing(), e))?;
    if bytes.len() == want {
        return Ok(bytes);
    }
    Err(Error::new(Code::DatabaseChanged, format!("{}: {} bytes instead of {want}", doing(), bytes.len()))
        .next("run the backup again"))
}

/// Writes bytes into an existing large object, from `at` on. Returns how many there were.
pub(super) async fn write(conn: &mut PgConnection, oid: u32, at: u64, mut data: ByteStream<'_>) -> Result<u64> {
    let doing = format!("writing large object {oid}");
    execute(conn, "BEGIN", &doing).await?;
    let mut written = 0;
    let mut chunk = BytesMut::with_capacity(CHUNK);
    loop {
        let piece = data.next().await.transpose()?;
        let ended = piece.is_none();
        chunk.extend_from_slice(&piece.unwrap_or_default());
        while chunk.len() >= CHUNK || (ended && !chunk.is_empty()) {
            let bytes = chunk.split_to(CHUNK.min(chunk.len()));
            let offset = at + written;
            sqlx::query("SELECT pg_catalog.lo_put($1, $2, $3)")
                .persistent(false)
                .bind(Oid(oid))
                .bind(i64::try_from(offset).unwrap_or(i64::MAX))
                .bind(&bytes[..])
                .execute(&mut *conn)
                .await
                .map_err(|e| failure(format_args!("{doing} at byte {offset}"), e))?;
            written += bytes.len() as u64;
        }
        if ended {
            break;
        }
    }
    execute(conn, "COMMIT", &doing).await?;
    Ok(written)
}
