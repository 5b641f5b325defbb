//! What a server makes of rows that it takes: values that do not fit it bends, and only warns.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};

use crate::error::Result;

use super::catalog::Object;
use super::failure::failure;
use super::quote::literal;

/// Lets the server warn of all that is worth an error in this table.
pub(super) async fn expect(conn: &mut Conn, table: &Object, doing: &str) -> Result<()> {
    // What the server calculates it may round, and tells that in notes; nothing else of ours is rounded.
    let calculates = table.sql.contains(" GENERATED ALWAYS AS ");
    let sql = if calculates { "SET SESSION sql_notes = 0" } else { "SET SESSION sql_notes = 1" };
    conn.query_drop(sql).await.map_err(|e| failure(doing, e))
}

/// Makes an error of what the server warned of in the last statement.
pub(super) async fn check(conn: &mut Conn, database: &str, table: &Object, doing: &str) -> Result<()> {
    if conn.get_warnings() == 0 {
        return Ok(());
    }
    let rows: Vec<Row> = conn.query("SHOW WARNINGS LIMIT 1000").await.map_err(|e| failure(doing, e))?;
    let told = rows.into_iter().filter_map(|row| mysql_async::from_row_opt::<(String, u16, String)>(row).ok());
    for (_, code, message) in told {
        if code == TRUNCATED && is_invalid_enum(conn, database, table, &message).await? {
            continue;
        }
        let e = mysql_async::ServerError { code, message, state: "01000".to_owned() };
        return Err(failure(doing, mysql_async::Error::Server(e)));
    }
    Ok(())
}

/// The server's number for a value that was changed to fit.
const TRUNCATED: u16 = 1265;

/// Whether a warning is about the value that an ENUM has for what it does not know: it goes in with a warning only.
async fn is_invalid_enum(conn: &mut Conn, database: &str, table: &Object, message: &str) -> Result<bool> {
    let Some(column) = message.split('\'').nth(1) else { return Ok(false) };
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
         AND COLUMN_NAME = {} AND DATA_TYPE = 'enum'",
        literal(database),
        literal(&table.name),
        literal(column)
    );
    let count: Option<u64> = conn.query_first(sql).await.map_err(|e| failure("looking at a column", e))?;
    Ok(count == Some(1))
}
