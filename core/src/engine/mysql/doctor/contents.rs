//! What the database holds, and what of it a backup has.

use crate::engine::findings::listed;
use crate::engine::mysql::catalog;
use crate::engine::mysql::catalog::tables::{self, TableData};
use crate::engine::mysql::databases::Databases;
use crate::engine::mysql::privileges::{Hidden, Privileges};
use crate::engine::mysql::quote::ident;
use crate::engine::mysql::select::Picks;
use crate::engine::{self, DoctorOptions};
use crate::error::{Code, Result};
use crate::report::Check;

use super::Visit;

pub(super) async fn privileges(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "privileges";
    let privileges = Privileges::read(&mut v.session, &v.databases).await?;
    let hidden = privileges.hidden(&v.session.version, v.server.databases());
    let readable = privileges.has_somewhere("SELECT");
    v.privileges = Some(privileges);
    if !readable {
        let next = Hidden::next(&hidden, &v.databases);
        return Ok(Check::fail(NAME, "the account may read no table of the database", next));
    }
    if hidden.is_empty() {
        return Ok(Check::pass(NAME, "the account may see and read everything of the database"));
    }
    let what: Vec<&str> = hidden.iter().map(|h| h.what).collect();
    let message = format!("the account may not see {}: if there are any, a backup does not have them", what.join(", "));
    Ok(Check::warn(NAME, message, Hidden::next(&hidden, &v.databases)))
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
        "SELECT CONCAT({}, ' (', t.ENGINE, ')') FROM information_schema.TABLES t \
         LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
         WHERE {} AND t.TABLE_TYPE <> 'VIEW' AND t.TABLE_TYPE <> 'SEQUENCE' \
         AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES' AND t.ENGINE IS NOT NULL ORDER BY 1",
        v.server.databases().called("t.TABLE_SCHEMA", "t.TABLE_NAME"),
        v.server.databases().within("t.TABLE_SCHEMA")
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
    let (mut tables, mut count, mut found) = (Vec::new(), 0, Vec::new());
    for database in v.databases.clone() {
        let of_database = tables::read(&mut v.session, &database).await?;
        let (catalog, told) = catalog::read(&mut v.session, &database, &of_database, &Picks::default()).await?;
        count += catalog.objects.len();
        tables.extend(of_database);
        let which = if v.databases.len() > 1 { format!("{database}: ") } else { String::new() };
        found.extend(told.into_iter().map(|warning| format!("{which}{}", warning.message)));
    }
    let closed = closed(v, &tables).await?;
    if let Some(first) = closed.first() {
        let names: Vec<String> =
            closed.iter().map(|table| v.server.databases().summary_name(&table.database, &table.name)).collect();
        let message = format!("{}: a backup fails, because the account may not read these tables", listed(&names));
        let next = format!("GRANT SELECT ON {}.* to the account, or exclude the tables", ident(&first.database));
        return Ok(Check::warn(NAME, message, next));
    }
    if found.is_empty() {
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

/// The tables that can be seen and not be read.
async fn closed<'t>(v: &mut Visit<'_>, tables: &'t [TableData]) -> Result<Vec<&'t TableData>> {
    let mut closed = Vec::new();
    if v.privileges.as_ref().is_some_and(|privileges| privileges.has("SELECT")) {
        return Ok(closed);
    }
    for table in tables {
        let columns: Vec<&str> = table.columns.iter().map(|c| c.select.as_str()).collect();
        let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
        let sql = format!("SELECT {columns} FROM {} LIMIT 0", table.qualified());
        match v.session.execute(&sql, "looking at a table").await {
            Ok(()) => {}
            Err(e) if e.code() == Code::DatabaseDenied => closed.push(table),
            Err(e) => return Err(e),
        }
    }
    Ok(closed)
}

/// Looks for what the caller requires: a table or view `orders`, an index `by_day` or `orders.by_day`; before each the
/// database may stand, and has to where several are meant.
pub(super) async fn required(v: &mut Visit<'_>, options: &DoctorOptions) -> Result<Check> {
    let databases = v.server.databases();
    let within = databases.within("TABLE_SCHEMA");
    let names = |name: &str| {
        let qualified = format!("CONCAT(TABLE_SCHEMA, '.', {name})");
        // Of several databases each could have one of this name.
        let alone = matches!(databases, Databases::One(_)).then(|| name.to_owned());
        [alone, Some(qualified)].into_iter().flatten().collect::<Vec<_>>()
    };
    let of = |names: Vec<String>, table: &str| -> String {
        let selects = names.iter().map(|name| format!("SELECT {name} FROM information_schema.{table} WHERE {within}"));
        selects.collect::<Vec<_>>().join(" UNION ")
    };
    let tables = of(names("TABLE_NAME"), "TABLES");
    let indexes = of([names("INDEX_NAME"), names("CONCAT(TABLE_NAME, '.', INDEX_NAME)")].concat(), "STATISTICS");
    let mut missing = Vec::new();
    for (kind, sql, wanted) in [("table", tables, &options.tables), ("index", indexes, &options.indexes)] {
        let there = v.column(&sql).await?;
        let has = |name: &str| there.iter().any(|t| t == name);
        missing.extend(wanted.iter().filter(|name| !has(name)).map(|name| format!("{kind} {name}")));
    }
    Ok(engine::required(options, &missing).unwrap_or_else(|| Check::pass("required", "nothing is required")))
}
