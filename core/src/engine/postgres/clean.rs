//! Drops what a restore brings anew: everything, or nothing if something else depends on it.

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgDatabaseError};

use crate::error::{Error, Result};

use super::connect::execute;
use super::failure::{failure, state};

/// How long a drop waits for sessions that use a table.
const PATIENCE: &str = "SET LOCAL lock_timeout = '60s'";

/// Runs these statements in one transaction.
///
/// # Errors
/// The first that the server refuses; then nothing was dropped.
pub(super) async fn drop_all(conn: &mut PgConnection, statements: &[String]) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    execute(conn, &format!("BEGIN; {PATIENCE}"), "dropping what is restored").await?;
    for statement in statements {
        let doing = format!("clean: {}", statement.trim().trim_end_matches(';'));
        if let Err(e) = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *conn).await {
            let dependents = dependents(&e);
            execute(conn, "ROLLBACK", "dropping nothing").await?;
            let error = failure(doing, e);
            return Err(match dependents {
                Some(names) => Error::new(error.code(), format!("{}: {names}", error.message()))
                    .next("select what depends on it as well, or drop that yourself; nothing was dropped"),
                None => error,
            });
        }
    }
    execute(conn, "COMMIT", "dropping what is restored").await
}

/// What the server lists as depending on what was to be dropped: names, no rows.
fn dependents(e: &sqlx::Error) -> Option<String> {
    let listed = state(e).as_deref() == Some("2BP01");
    let detail = e.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.detail()?;
    listed.then(|| detail.replace('\n', "; "))
}
