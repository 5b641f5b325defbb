//! What the database holds, and what of it a backup has.

use crate::engine::findings::listed;
use crate::engine::mysql::catalog;
use crate::engine::mysql::catalog::tables;
use crate::engine::mysql::privileges::{Hidden, Privileges};
use crate::engine::mysql::quote::literal;
use crate::engine::mysql::select::Picks;
use crate::error::Result;
use crate::report::Check;

use super::Visit;

pub(super) async fn privileges(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "privileges";
    let database = v.server.database().to_owned();
    let privileges = Privileges::read(&mut v.session, &database).await?;
    let hidden = privileges.hidden(&v.session.version);
    let readable = privileges.has_somewhere("SELECT");
    v.privileges = Some(privileges);
    if !readable {
        let next = Hidden::next(&hidden, &database);
        return Ok(Check::fail(NAME, "the account may read no table of the database", next));
    }
    if hidden.is_empty() {
        return Ok(Check::pass(NAME, "the account may see and read everything of the database"));
    }
    let what: Vec<&str> = hidden.iter().map(|h| h.what).collect();
    let message = format!("the account may not see {}: if there are any, a backup does not have them", what.join(", "));
    Ok(Check::warn(NAME, message, Hidden::next(&hidden, &database)))
}

/// Tells in advance how a snapshot will be shared by several connections.
#[expect(clippy::unused_async, reason = "a check like the others")]
pub(super) async fn consistency(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "consistency";
    let Some(privileges) = &v.privileges else {
        return Ok(Check::not_checked(NAME, "the privileges could not be read"));
    };
    let version = &v.session.version;
    let reload = privileges.has("RELOAD");
    Ok(match () {
        () if reload && version.is_mariadb(10, 4) => Check::pass(
            NAME,
            "BACKUP STAGE holds commits back for the instant in which all connections open their snapshot",
        ),
        () if reload || (!version.mariadb && privileges.has("FLUSH_TABLES")) => Check::pass(
            NAME,
            "FLUSH TABLES WITH READ LOCK holds writes back for the instant in which all connections open their snapshot",
        ),
        () if privileges.has("LOCK TABLES") => Check::pass(
            NAME,
            "LOCK TABLES holds writes to this database back for the instant in which all connections open their snapshot",
        ),
        () => Check::warn(
            NAME,
            "the account may not hold commits back, so one connection reads everything: consistent, and slower",
            "grant LOCK TABLES on the database, or RELOAD",
        ),
    })
}

pub(super) async fn not_transactional(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "not_transactional";
    let sql = format!(
        "SELECT CONCAT(t.TABLE_NAME, ' (', t.ENGINE, ')') FROM information_schema.TABLES t \
         LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
         WHERE t.TABLE_SCHEMA = {} AND t.TABLE_TYPE <> 'VIEW' AND t.TABLE_TYPE <> 'SEQUENCE' \
         AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES' AND t.ENGINE IS NOT NULL ORDER BY 1",
        literal(v.server.database())
    );
    let names = v.column(&sql).await?;
    if names.is_empty() {
        return Ok(Check::pass(NAME, "all tables know transactions: a backup shows one moment of them"));
    }
    let message = format!("{}: rows of these tables are those of the moment of reading", listed(&names));
    Ok(Check::warn(NAME, message, "ALTER TABLE … ENGINE = InnoDB, or let nobody write while a backup runs"))
}

/// Reads the schema as a backup does.
pub(super) async fn objects(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "objects";
    let database = v.server.database().to_owned();
    let tables = tables::read(&mut v.session, &database).await?;
    let (catalog, warnings) = catalog::read(&mut v.session, &database, &tables, &Picks::default()).await?;
    let found: Vec<String> = warnings.into_iter().map(|w| w.message).collect();
    if found.is_empty() {
        let count = catalog.objects.len();
        return Ok(Check::pass(
            NAME,
            format!("everything that can be seen can be dumped: {count} objects, {} tables", tables.len()),
        ));
    }
    Ok(Check::warn(
        NAME,
        found.join("; "),
        "each is a warning in the manifest; `strict` makes unsupported objects an error",
    ))
}
