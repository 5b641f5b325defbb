//! Lets a restored database take the place of the live one, by renaming both at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnection;

use crate::engine::{Suffix, some_of};
use crate::error::{Code, Error, Result};
use crate::report::{Promoted, Warning};

use super::connect::{Server, execute, query, query_one};
use super::database::{NAME_BYTES, drop_subscription, maintenance, rename};
use super::place::may_create;
use super::quote::{ident, literal};

/// How long the swap waits for the database's own lock. New sessions wait behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '10s'";

/// The pause between two rounds of ending sessions. The server gives a rename five seconds to see the last one go.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(50);

/// Checks that the live database, if there is one, will be able to give way; changes nothing.
///
/// It is looked at from another database: one that is damaged, or admits nobody, gives way as well.
///
/// # Errors
/// `DatabaseDenied` names the privilege that is missing, `TargetInUse` what stands in the way.
pub(super) async fn check(server: &Server) -> Result<()> {
    let name = server.database();
    if matches!(name, "postgres" | "template0" | "template1") {
        let message = format!("database {name} cannot give way: databases are renamed from within it");
        return Err(Error::new(Code::TargetInUse, message).next("restore into a database of another name"));
    }
    let mut conn = maintenance(server).await?;
    let denied = |what: String, next: &str| Err(Error::new(Code::DatabaseDenied, what).next(next));
    let role = server.username();
    if !may_create(&mut conn).await? {
        return denied(
            format!("role {role} may not create the database to restore into, nor rename {name}"),
            "grant the role CREATEDB, or connect as a superuser",
        );
    }
    let about = |sql: &str| sql.replace("$1", &literal(name));
    if let Some(owner) = query_one(&mut conn, &about(OWNER), DOING).await? {
        let message = format!("role {role} may not rename {name}, which belongs to {owner}");
        return denied(message, "connect as its owner or a superuser");
    }
    if let Some(others) = first_of(&mut conn, &about(OTHERS)).await? {
        return denied(
            format!("role {role} may not end the sessions of {others}"),
            "grant the role pg_signal_backend, or connect as a superuser, or end these sessions first",
        );
    }
    for (sql, what, next) in IN_THE_WAY {
        if let Some(found) = first_of(&mut conn, &about(sql)).await? {
            let message = format!("{server} cannot give way: it has {what} {found}");
            return Err(Error::new(Code::TargetInUse, message).next(next));
        }
    }
    Ok(())
}

const DOING: &str = "checking whether the database can give way";

/// The owner of the database, if the role that restores is none.
const OWNER: &str = "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database \
     WHERE datname = $1 AND NOT pg_catalog.pg_has_role(datdba, 'USAGE')";

/// Roles whose sessions the role that restores cannot end.
const OTHERS: &str = "SELECT DISTINCT a.usename FROM pg_catalog.pg_stat_activity a \
     JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid, pg_catalog.pg_roles me \
     WHERE me.rolname = current_user AND NOT me.rolsuper AND a.datname = $1 \
     AND NOT pg_catalog.pg_has_role(r.oid, 'USAGE') \
     AND (r.rolsuper OR NOT pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')) ORDER BY 1";

/// What is bound to the live database and would not go over to the one that takes its place.
const IN_THE_WAY: [(&str, &str, &str); 3] = [
    (
        "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = $1 ORDER BY 1",
        "the prepared transaction",
        "end each with COMMIT PREPARED or ROLLBACK PREPARED",
    ),
    (
        "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE database = $1 ORDER BY 1",
        "the replication slot",
        "its subscribers follow the database, not its name: drop each slot with pg_drop_replication_slot, promote, and \
         set the subscriptions up again",
    ),
    (SUBSCRIPTIONS_ENABLED, "the enabled subscription", "disable each, or it goes on to write into the old database"),
];

const SUBSCRIPTIONS_ENABLED: &str = "SELECT subname FROM pg_catalog.pg_subscription s \
     JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1 AND s.subenabled ORDER BY 1";

/// The first of a list of names, and how many more there are.
async fn first_of(conn: &mut PgConnection, sql: &str) -> Result<Option<String>> {
    let names: Vec<String> = query(conn, sql, DOING).await?.into_iter().flatten().flatten().collect();
    Ok((!names.is_empty()).then(|| some_of(names.iter().map(|name| format!("`{name}`")), 1)))
}

/// Lets the database `staging` take the target's name; the database that has it is kept under another.
pub(super) async fn promote(server: &Server, staging: &str, suffix: &Suffix) -> Result<(Promoted, Vec<Warning>)> {
    let name = server.database();
    let mut conn = maintenance(server).await?;
    if !exists(&mut conn, name).await? {
        swap(server, staging, None).await?;
        return Ok((Promoted::default(), Vec::new()));
    }
    let warnings = differences(&mut conn, name, staging).await?;
    let mut suffix = suffix.clone();
    while exists(&mut conn, &suffix.before(name, NAME_BYTES)).await? {
        // Another one gave way in the same second.
        suffix.0 += jiff::SignedDuration::from_secs(1);
    }
    let kept = suffix.before(name, NAME_BYTES);
    let drop_kept = drop_by_hand(&mut conn, name, &kept).await?;
    swap(server, staging, Some(&kept)).await?;
    let (live, old, aside) = (ident(name), ident(&kept), ident(&suffix.restored(name, NAME_BYTES)));
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {};", literal(name));
    let promoted = Promoted {
        go_back: vec![
            "BEGIN;".to_owned(),
            end,
            format!("ALTER DATABASE {live} RENAME TO {aside};"),
            format!("ALTER DATABASE {old} RENAME TO {live};"),
            "COMMIT;".to_owned(),
        ],
        drop_kept,
        kept: Some(kept),
    };
    Ok((promoted, warnings))
}

/// What drops the old database: its subscriptions have to go first, and are not connected to what they subscribe to.
async fn drop_by_hand(conn: &mut PgConnection, name: &str, kept: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
         WHERE d.datname = {} ORDER BY 1",
        literal(name)
    );
    let subscriptions: Vec<String> = query(conn, &sql, DOING).await?.into_iter().flatten().flatten().collect();
    let mut lines = Vec::new();
    if !subscriptions.is_empty() {
        lines.push(format!("\\connect {}", ident(kept)));
        lines.extend(subscriptions.iter().map(|subscription| drop_subscription(subscription) + ";"));
        lines.push("\\connect postgres".to_owned());
    }
    lines.push(format!("DROP DATABASE {};", ident(kept)));
    Ok(lines)
}

/// Lets `staging` take the target's name, whose database becomes `kept` if there is one: both in one transaction.
///
/// Sessions are ended while the first rename already has the database's lock. So clients that connect again at once
/// wait, and find the new database: they could otherwise hold the old one for ever.
pub(super) async fn swap(server: &Server, staging: &str, kept: Option<&str>) -> Result<()> {
    let name = server.database();
    let mut conn = maintenance(server).await?;
    let mut ender = maintenance(server).await?;
    execute(&mut conn, &format!("BEGIN; {LOCK_TIMEOUT}"), "renaming databases").await?;
    let renamed = AtomicBool::new(false);
    let renames = async {
        if let Some(kept) = kept {
            rename(&mut conn, name, kept).await?;
        }
        rename(&mut conn, staging, name).await?;
        renamed.store(true, Ordering::Relaxed);
        Ok(())
    };
    // Both to their end: a round that is still under way at the commit would end sessions of the restored database.
    tokio::try_join!(renames, end_sessions(&mut ender, [name, staging], &renamed))?;
    let Err(e) = execute(&mut conn, "COMMIT", "renaming databases").await else { return Ok(()) };
    // The answer may have been lost after the server had done it.
    drop(conn);
    let mut conn = maintenance(server).await.map_err(|_| unknown(&e, staging, name))?;
    match exists(&mut conn, staging).await {
        Ok(true) => Err(e),
        Ok(false) => Ok(()),
        Err(_) => Err(unknown(&e, staging, name)),
    }
}

fn unknown(e: &Error, staging: &str, name: &str) -> Error {
    Error::new(
        Code::DatabaseUnavailable,
        format!("it is not known whether the databases were renamed: {}", e.message()),
    )
    .next(format!("look for database {staging}: if it is there, {name} is the old one, else the restored one"))
}

async fn exists(conn: &mut PgConnection, name: &str) -> Result<bool> {
    let sql = format!("SELECT 1 FROM pg_catalog.pg_database WHERE datname = {}", literal(name));
    Ok(query_one(conn, &sql, "looking for databases").await?.is_some())
}

/// Ends all sessions of these databases, again and again until they are renamed. The server's own, which have no role,
/// step aside by themselves.
async fn end_sessions(conn: &mut PgConnection, names: [&str; 2], renamed: &AtomicBool) -> Result<()> {
    let names = names.map(literal).join(", ");
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE datname IN ({names}) AND usesysid IS NOT NULL"
    );
    while !renamed.load(Ordering::Relaxed) {
        execute(conn, &sql, "ending the database's sessions").await?;
        tokio::time::sleep(BETWEEN_ROUNDS).await;
    }
    Ok(())
}

/// What the restored database has from the backup and the live one has otherwise. Values stay unsaid: a setting may be
/// a secret.
async fn differences(conn: &mut PgConnection, name: &str, staging: &str) -> Result<Vec<Warning>> {
    let sql = format!(
        "SELECT pg_catalog.pg_get_userbyid(d.datdba), \
         (SELECT pg_catalog.array_agg(a ORDER BY a::pg_catalog.text) \
             FROM pg_catalog.unnest(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a), \
         d.datconnlimit, \
         (SELECT pg_catalog.array_agg(s.setrole || ':' || s.setconfig::pg_catalog.text ORDER BY s.setrole) \
             FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid), \
         pg_catalog.shobj_description(d.oid, 'pg_database'), t.spcname, \
         pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate || ' ' || d.datctype, d.datistemplate \
         FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
         WHERE d.datname IN ({}, {}) ORDER BY d.datname = {}",
        literal(name),
        literal(staging),
        literal(name)
    );
    const WHAT: [&str; 9] = [
        "owner",
        "privileges",
        "connection limit",
        "settings",
        "comment",
        "tablespace",
        "encoding",
        "locale",
        "use as a template",
    ];
    let rows = query(conn, &sql, "comparing the databases").await?;
    let [restored, live] = rows.as_slice() else { return Ok(Vec::new()) };
    let differing: Vec<&str> =
        WHAT.into_iter().zip(restored.iter().zip(live)).filter(|(_, (a, b))| a != b).map(|(what, _)| what).collect();
    if differing.is_empty() {
        return Ok(Vec::new());
    }
    let message = format!(
        "the promoted database has what the backup says, and the one that was there had another: {}",
        differing.join(", ")
    );
    Ok(vec![Warning::new("promoted_differs", message)])
}
