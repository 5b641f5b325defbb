//! The way to the server, and the server itself.

use sqlx::postgres::PgSslMode;

use crate::engine::findings::clocks;
use crate::error::Result;
use crate::report::Check;

use super::Visit;

pub(super) async fn database(v: &mut Visit<'_>) -> Result<Check> {
    let sql = "SELECT pg_catalog.current_setting('server_version'), \
         pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(pg_catalog.current_database())), current_user, \
         pg_catalog.pg_is_in_recovery()";
    let [version, size, role, standby] = v.row(sql).await?;
    v.standby = standby == "t";
    Ok(Check::pass("database", format!("{}: PostgreSQL {version}, {size}, role {role}", v.server)))
}

pub(super) async fn tls(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "tls";
    let address = v.server.address();
    let local = address.is_local();
    let mode = address.options.get_ssl_mode();
    let sql = "SELECT ssl, version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";
    let [used, version] = v.row(sql).await?;
    Ok(match (used == "t", local, mode) {
        (false, true, _) => Check::pass(NAME, "the connection stays on this host and is not encrypted"),
        (false, false, _) => Check::warn(
            NAME,
            "the connection is not encrypted: whoever is on the way reads the database",
            "turn `ssl` on at the server and give sslmode=verify-full",
        ),
        (true, true, _) | (true, _, PgSslMode::VerifyFull) => Check::pass(NAME, format!("{version} is used")),
        (true, false, PgSslMode::VerifyCa) => Check::warn(
            NAME,
            format!("{version} is used; the server's name is not verified, so any certificate of a known CA would do"),
            "give sslmode=verify-full",
        ),
        (true, false, _) => Check::warn(
            NAME,
            format!("{version} is used; the server's certificate is not verified"),
            "give sslmode=verify-full, and sslrootcert where the CA is your own",
        ),
    })
}

#[expect(clippy::unused_async, reason = "a check like the others")]
pub(super) async fn pooler(v: &mut Visit<'_>) -> Result<Check> {
    // The connection was refused otherwise.
    let message = match v.server.is_direct() {
        true => "the connection goes straight to the server",
        false => "something lies between (a pooler in session mode, a proxy, address translation); sessions last",
    };
    Ok(Check::pass("pooler", message))
}

pub(super) async fn standby(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "standby";
    if !v.standby {
        return Ok(Check::pass(NAME, "the server is a primary"));
    }
    let sql = "SELECT pg_catalog.current_setting('hot_standby_feedback'), \
         pg_catalog.current_setting('max_standby_streaming_delay'), \
         COALESCE(extract(epoch FROM pg_catalog.now() - pg_catalog.pg_last_xact_replay_timestamp())::pg_catalog.int8, 0)";
    let [feedback, delay, behind] = v.row(sql).await?;
    let message = format!("the server is a standby; its newest transaction is {behind} s old");
    if feedback == "on" || delay == "-1" {
        return Ok(Check::pass(NAME, message));
    }
    Ok(Check::warn(
        NAME,
        format!("{message}; a backup that takes longer than {delay} may be cancelled by its recovery"),
        "set hot_standby_feedback = on, or raise max_standby_streaming_delay",
    ))
}

pub(super) async fn timeouts(v: &mut Visit<'_>) -> Result<Check> {
    let sql = "SELECT name || ' = ' || reset_val || COALESCE(unit, '') FROM pg_catalog.pg_settings \
         WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', \
             'idle_session_timeout', 'transaction_timeout') AND reset_val <> '0' ORDER BY name";
    let set = v.column(sql).await?;
    Ok(Check::pass(
        "timeouts",
        match set.len() {
            0 => "no time-outs are set for this role".to_owned(),
            _ => {
                format!("{}: set for this role; backups and restores turn them off for their sessions", set.join(", "))
            }
        },
    ))
}

pub(super) async fn connections(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "connections";
    // Connections in use: those of all databases, of the role, of the database. `reserved_connections` came with 16.
    let sql = "SELECT pg_catalog.current_setting('max_connections')::pg_catalog.int8 \
           - CASE WHEN r.rolsuper THEN 0 ELSE pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int8 \
             + COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::pg_catalog.int8 END \
           - (SELECT pg_catalog.sum(numbackends) FROM pg_catalog.pg_stat_database), \
         CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit \
           - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid) END, \
         CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit \
           - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid) END \
         FROM pg_catalog.pg_roles r, pg_catalog.pg_database d \
         WHERE r.rolname = session_user AND d.datname = pg_catalog.current_database()";
    let free: [String; 3] = v.row(sql).await?;
    let least = free.iter().filter_map(|n| n.parse::<i64>().ok()).min().unwrap_or(0).max(0);
    // One holds the snapshot, one more compares it: this session is one of them.
    let wanted = i64::try_from(v.jobs).unwrap_or(i64::MAX).saturating_add(1);
    let message = format!("{least} more connections are free, a backup with {} jobs wants {wanted}", v.jobs);
    if least >= wanted {
        return Ok(Check::pass(NAME, message));
    }
    Ok(Check::warn(
        NAME,
        format!("{message}: it will go on with fewer, and more slowly"),
        "use fewer jobs, or raise max_connections or the role's or database's CONNECTION LIMIT",
    ))
}

pub(super) async fn locks(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "locks";
    let sql = "SELECT pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int8 \
           * (pg_catalog.current_setting('max_connections')::pg_catalog.int8 \
             + pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int8), \
         (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384)";
    let [room, tables] = v.row(sql).await?;
    let message = format!("{tables} tables will be locked (ACCESS SHARE), the lock table has room for {room}");
    // The others' locks need room as well.
    if tables.parse::<u64>().unwrap_or(0) > room.parse::<u64>().unwrap_or(u64::MAX) / 2 {
        return Ok(Check::warn(NAME, message, "raise max_locks_per_transaction"));
    }
    Ok(Check::pass(NAME, message))
}

pub(super) async fn clock(v: &mut Visit<'_>) -> Result<Check> {
    let before = jiff::Timestamp::now().as_second();
    let [theirs] =
        v.row("SELECT pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()))::pg_catalog.int8").await?;
    Ok(clocks(before, theirs.parse().unwrap_or(before)))
}
