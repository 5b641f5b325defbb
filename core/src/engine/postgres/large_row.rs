//! Rows that are read one at a time, because the driver holds a row two or three times while it comes in.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::engine::turns::LARGE_ROW;
use crate::error::Result;

use super::connect::{execute, query_one};
use super::quote::ident;

/// What the server compresses best takes a 255th of its size: tables with fewer bytes out of line than this have no
/// large rows.
pub(super) const FEW: u64 = 64 << 10;

/// A value of more bytes than this is looked at more closely if it is compressed.
const LARGE_COMPRESSED: u64 = 64 << 10;

/// The query that tells whether there is a large row among `rows` (`FROM … WHERE …`), whose columns `wide` can hold
/// large values; none if there cannot be.
///
/// Values stay where they are: only the sizes in their places are read, and compressed ones of some size are expanded.
pub(super) fn any(wide: &[String], rows: &str) -> Option<String> {
    if wide.is_empty() {
        return None;
    }
    let size = |column: &String| {
        let column = ident(column);
        format!(
            "CASE WHEN pg_catalog.pg_column_size({column}) < {LARGE_COMPRESSED} OR pg_catalog.pg_column_compression({column}) IS NULL \
             THEN COALESCE(pg_catalog.pg_column_size({column}), 0) \
             ELSE pg_catalog.octet_length({column}::pg_catalog.text) END::pg_catalog.int8"
        )
    };
    let sizes: Vec<String> = wide.iter().map(size).collect();
    Some(format!(
        "SELECT EXISTS (SELECT FROM (SELECT {} AS size {rows}) AS sizes WHERE size > {LARGE_ROW})",
        sizes.join(" + ")
    ))
}

/// Whether the query of [`any`] says so.
pub(super) async fn is_among(conn: &mut PgConnection, any: Option<&str>, doing: &str) -> Result<bool> {
    match any {
        Some(sql) => Ok(query_one(conn, sql, doing).await?.as_deref() == Some("t")),
        None => Ok(false),
    }
}

/// Gives back the space that the driver keeps for a row until it receives something else.
pub(super) async fn let_go(conn: &mut PgConnection, doing: &str) -> Result<()> {
    conn.shrink_buffers();
    execute(conn, "SELECT", doing).await
}
