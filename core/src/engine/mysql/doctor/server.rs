//! The way to the server, and the server itself.

use crate::engine::findings::clocks;
use crate::engine::mysql::address::SslMode;
use crate::engine::mysql::databases::Databases;
use crate::engine::mysql::quote::literal;
use crate::engine::mysql::stats::replication;
use crate::engine::some_of;
use crate::error::Result;
use crate::report::Check;

use super::Visit;

pub(super) async fn database(v: &mut Visit<'_>) -> Result<Check> {
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) / 1048576 AS UNSIGNED), CURRENT_USER() \
         FROM information_schema.TABLES WHERE {}",
        v.server.databases().within("TABLE_SCHEMA")
    );
    let [size, account] = v.row(&sql).await?;
    let version = &v.session.version;
    let kind = if version.mariadb { "MariaDB" } else { "MySQL" };
    let number = version.text.trim_end_matches("-MariaDB");
    let count = match (v.server.databases(), v.databases.as_slice()) {
        (Databases::One(_), _) => String::new(),
        (Databases::All { .. }, []) => {
            let message = format!("{}: the account sees no database but the server's own", v.server);
            return Ok(Check::fail("database", message, "create one, or grant the account SELECT on those there are"));
        }
        (Databases::All { .. }, all) => format!(", {} databases ({})", all.len(), some_of(all, 10)),
    };
    Ok(Check::pass("database", format!("{}: {kind} {number}, {size} MB{count}, account {account}", v.server)))
}

pub(super) async fn tls(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "tls";
    let (local, mode) = (v.server.address().is_local(), v.server.address().ssl);
    let [_, version] = v.row("SHOW SESSION STATUS LIKE 'Ssl_version'").await?;
    Ok(match (!version.is_empty(), local, mode) {
        (false, true, _) => Check::pass(NAME, "the connection stays on this host and is not encrypted"),
        (false, false, _) => Check::warn(
            NAME,
            "the connection is not encrypted: whoever is on the way reads the database",
            "give the server a certificate (ssl_cert, ssl_key), and ssl-mode=verify-identity",
        ),
        (true, true, _) | (true, _, SslMode::VerifyIdentity) => Check::pass(NAME, format!("{version} is used")),
        (true, false, SslMode::VerifyCa) => Check::warn(
            NAME,
            format!("{version} is used; the server's name is not verified, so any certificate of a known CA would do"),
            "give ssl-mode=verify-identity",
        ),
        (true, false, _) => Check::warn(
            NAME,
            format!("{version} is used; the server's certificate is not verified"),
            "give ssl-mode=verify-identity, and ssl-ca where the CA is your own",
        ),
    })
}

pub(super) async fn authentication(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "authentication";
    // `user@host`, of which both may be anything.
    let [account] = v.row("SELECT CURRENT_USER()").await?;
    let (user, host) = account.rsplit_once('@').unwrap_or((&account, ""));
    let sql = format!("SELECT plugin FROM mysql.user WHERE User = {} AND Host = {}", literal(user), literal(host));
    let plugin = match v.row(&sql).await {
        Ok([plugin]) if !plugin.is_empty() => plugin,
        // What the account may not see is what the server asked it for.
        _ => return Ok(Check::pass(NAME, format!("{account} is let in"))),
    };
    // A proxy user, or the anonymous account, which is nobody's choice.
    let other = if user == v.server.address().user() { "" } else { ", another account than the one that was given" };
    let message = format!("{account} is let in by {plugin}{other}");
    let plain = v.server.address().ssl == SslMode::Disabled && !v.server.address().is_local();
    Ok(match plugin.as_str() {
        "mysql_native_password" => Check::warn(
            NAME,
            format!("{message}, which rests on SHA-1"),
            "let the account authenticate by ed25519 (MariaDB) or caching_sha2_password (MySQL)",
        ),
        "caching_sha2_password" | "sha256_password" if plain => Check::warn(
            NAME,
            format!("{message}, without TLS: the password is encrypted with a key that nobody vouches for"),
            "give ssl-mode=verify-identity",
        ),
        _ => Check::pass(NAME, message),
    })
}

pub(super) async fn replica(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "replica";
    let [read_only] = v.row("SELECT @@GLOBAL.read_only").await?;
    let read_only = read_only == "1";
    let Some(lag) = replication(&mut v.session).await? else {
        return Ok(match read_only {
            true => Check::pass(NAME, "the server is read-only: it can be backed up, not restored into"),
            false => Check::pass(NAME, "the server is a primary, or the account may not see what it replicates"),
        });
    };
    let also = if read_only { ", read-only" } else { "" };
    Ok(match lag {
        Some(seconds) => Check::pass(NAME, format!("the server is a replica{also}, {seconds} s behind")),
        None => Check::warn(
            NAME,
            format!("the server is a replica{also} whose replication stands still: its content is of the past"),
            "see SHOW REPLICA STATUS, or back up the primary",
        ),
    })
}

pub(super) async fn timeouts(v: &mut Visit<'_>) -> Result<Check> {
    let names =
        "'max_statement_time', 'max_execution_time', 'idle_transaction_timeout', 'idle_readonly_transaction_timeout'";
    let rows = v
        .session
        .query(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"), "asking the server")
        .await?;
    let text = |cell: Option<&Option<String>>| cell.cloned().flatten().unwrap_or_default();
    let set: Vec<String> = rows
        .iter()
        .map(|row| (text(row.first()), text(row.get(1))))
        .filter(|(_, value)| value.parse().is_ok_and(|n: f64| n > 0.0))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    Ok(Check::pass(
        "timeouts",
        match set.len() {
            0 => "no time-outs for statements or transactions are set".to_owned(),
            _ => format!("{}: set; backups and restores turn them off for their sessions", set.join(", ")),
        },
    ))
}

pub(super) async fn connections(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "connections";
    let [allowed, mine] = v.row("SELECT @@GLOBAL.max_connections, @@SESSION.max_user_connections").await?;
    let [_, used] = v.row("SHOW GLOBAL STATUS LIKE 'Threads_connected'").await?;
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let mut free = number(&allowed) - number(&used);
    if number(&mine) > 0 {
        let [own] = v
            .row("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = SUBSTRING_INDEX(USER(), '@', 1)")
            .await?;
        free = free.min(number(&mine) - number(&own));
    }
    let free = free.max(0);
    // Two more read definitions and guard them; this session is one of them.
    let wanted = i64::try_from(v.jobs).unwrap_or(i64::MAX).saturating_add(1);
    let message = format!("{free} more connections are free, a backup with {} jobs wants {wanted}", v.jobs);
    if free >= wanted {
        return Ok(Check::pass(NAME, message));
    }
    Ok(Check::warn(
        NAME,
        format!("{message}: it will go on with fewer, and more slowly"),
        "use fewer jobs, or raise max_connections or the account's MAX_USER_CONNECTIONS",
    ))
}

pub(super) async fn packets(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "packets";
    /// What the servers give themselves today.
    const USUAL: u64 = 16 << 20;
    let [bytes] = v.row("SELECT @@GLOBAL.max_allowed_packet").await?;
    let bytes: u64 = bytes.parse().unwrap_or(0);
    let message = format!("max_allowed_packet = {} MB: no row and no value can be larger", bytes >> 20);
    if bytes >= USUAL {
        return Ok(Check::pass(NAME, message));
    }
    Ok(Check::warn(
        NAME,
        message,
        "raise max_allowed_packet here and wherever a backup may be restored, as large rows need it",
    ))
}

pub(super) async fn local_infile(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "local_infile";
    let [on] = v.row("SELECT @@GLOBAL.local_infile").await?;
    Ok(match on.as_str() {
        "1" => Check::pass(NAME, "the server takes LOAD DATA LOCAL: restores into it are fast"),
        _ => Check::warn(
            NAME,
            "the server takes no LOAD DATA LOCAL: a restore into it writes rows by INSERT, which takes several times longer",
            "SET GLOBAL local_infile = ON for the time of a restore",
        ),
    })
}

pub(super) async fn clock(v: &mut Visit<'_>) -> Result<Check> {
    let before = jiff::Timestamp::now().as_second();
    let [theirs] = v.row("SELECT CAST(UNIX_TIMESTAMP() AS SIGNED)").await?;
    Ok(clocks(before, theirs.parse().unwrap_or(before)))
}
