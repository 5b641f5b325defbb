//! Finds out whether a connection keeps its session, before anything is set or read through it.
//!
//! A pooler that gives each transaction another session would lose the dump's settings, and leave them to the
//! application's sessions. Whether it does is not to be guessed from process ids, which agree by luck in a quiet pool.
//! A notification tells for certain: it reaches a listener that is idle only if the session is still his.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::error::{Code, Error, Result};
use crate::id::random_hex;

use super::connect::{in_transaction, query_one};
use super::failure::failure;

/// How long a notification may be on its way.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often sessions are compared where there are no notifications.
const ROUNDS: usize = 5;

/// As [`in_transaction`].
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

const DOING: &str = "looking for a connection pooler";

/// Checks that sessions last as long as connections. `conn` is fresh, and stays usable.
///
/// # Errors
/// `PoolerMode`; those of connecting, since a second connection is needed.
pub(super) async fn check(
    options: &PgConnectOptions,
    conn: &mut PgConnection,
    standby: bool,
    timeout: Duration,
) -> Result<()> {
    let block = match run(conn, BEGIN).await {
        Ok(()) => run(conn, "COMMIT").await,
        refused => refused,
    };
    if let Err(e) = block {
        // The pooler's own refusal; a server has no reason for one.
        let refusal = e.as_database_error().is_some();
        return Err(if refusal { refused("a session for each statement") } else { failure(DOING, e) });
    }
    let lasting = if standby { compare(options, conn).await? } else { notify(options, conn, timeout).await? };
    if lasting { Ok(()) } else { Err(refused("a session for each transaction")) }
}

fn refused(what: &str) -> Error {
    Error::new(Code::PoolerMode, format!("between here and the server lies a connection pooler that gives {what}"))
        .next("connect to the server itself, or to a pool in session mode (pool_mode = session); a snapshot needs sessions that last")
}

/// Whether a notification reaches a listener who waits for it outside of a transaction.
async fn notify(options: &PgConnectOptions, conn: &mut PgConnection, timeout: Duration) -> Result<bool> {
    let channel = format!("lastgood_{}", random_hex::<8>()?);
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(timeout).connect_lazy_with(options.clone());
    let told = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&channel).await?;
        run(conn, &format!("NOTIFY {channel}")).await?;
        let heard = tokio::time::timeout(PATIENCE, listener.try_recv()).await;
        // Whoever has the session now shall not hear of it.
        let _ = tokio::time::timeout(PATIENCE, listener.unlisten_all()).await;
        match heard {
            Ok(Ok(Some(notification))) => Ok(notification.channel() == channel),
            Ok(Ok(None)) => Err(sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(Err(e)) => Err(e),
            Err(_) => Ok(false),
        }
    }
    .await;
    pool.close().await;
    match told {
        // It reached us: we had the listener's session.
        Err(sqlx::Error::Protocol(e)) if e.contains("NotificationResponse") => Ok(false),
        told => told.map_err(|e| failure(DOING, e)),
    }
}

/// A standby has no notifications. Two connections that are open at the same time never have the same session, and
/// each keeps its own; a pool that is not busy gives the one that was used last.
async fn compare(options: &PgConnectOptions, conn: &mut PgConnection) -> Result<bool> {
    let doing = |e| failure(DOING, e);
    let mut other = sqlx::ConnectOptions::connect(options).await.map_err(doing)?;
    let mine = pid(conn).await?;
    let mut lasting = true;
    for _ in 0..ROUNDS {
        run(&mut other, BEGIN).await.map_err(doing)?;
        let theirs = query_one(&mut other, "SELECT pg_catalog.pg_backend_pid()", DOING).await?;
        // While the other one holds its session, ours can only be the same as before if it is ours alone.
        lasting &= theirs != mine && pid(conn).await? == mine;
        run(&mut other, "COMMIT").await.map_err(doing)?;
    }
    drop(other.close().await);
    Ok(lasting)
}

async fn run(conn: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.map(drop)
}

async fn pid(conn: &mut PgConnection) -> Result<Option<String>> {
    query_one(conn, &in_transaction("SELECT pg_catalog.pg_backend_pid()"), DOING).await
}
