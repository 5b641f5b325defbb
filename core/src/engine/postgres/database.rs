//! The database as an object of the server: how it was created, and creating, renaming and dropping one.

use sqlx::AssertSqlSafe;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::archive::{Archive, Entry};
use super::connect::{Role, Server, execute, query};
use super::failure::{failure, state};
use super::quote::{ident, literal};

/// The longest name the server keeps.
pub(super) const NAME_BYTES: usize = 63;

/// Connects to a database from which others can be created and dropped.
pub(super) async fn maintenance(server: &Server) -> Result<PgConnection> {
    match server.sibling("postgres").connect(Role::Catalog).await {
        // Some providers have no database of that name; template1 is everywhere.
        Err(e) if matches!(e.code(), Code::DatabaseNotFound | Code::DatabaseDenied) => {
            server.sibling("template1").connect(Role::Catalog).await.map_err(|_| e)
        }
        other => other,
    }
}

/// The options with which a database like the connected one is created, and its owner.
pub(super) struct Options {
    pub(super) sql: String,
    pub(super) owner: String,
}

impl Options {
    /// Reads them from the catalog.
    pub(super) async fn read(conn: &mut PgConnection) -> Result<Self> {
        let version = conn.server_version_num().unwrap_or(0);
        let (locale, rules) = match version / 10_000 {
            ..15 => ("NULL", "NULL"),
            15 => ("daticulocale", "NULL"),
            16 => ("daticulocale", "daticurules"),
            _ => ("datlocale", "daticurules"),
        };
        let provider = if version >= 15_00_00 { "datlocprovider" } else { "'c'" };
        let sql = format!(
            "SELECT pg_catalog.pg_encoding_to_char(encoding), {provider}, datcollate, datctype, {locale}, {rules}, \
             pg_catalog.pg_get_userbyid(datdba) \
             FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
        );
        let row = query(conn, &sql, "reading the database's options").await?.into_iter().next().unwrap_or_default();
        let text = |i: usize| row.get(i).cloned().flatten();
        let mut options = format!("TEMPLATE = template0 ENCODING = {}", literal(&text(0).unwrap_or_default()));
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                options += &format!(" {name} = {}", literal(&value));
            }
        };
        // Servers before 15 know one provider and no option for it.
        match text(1).as_deref() {
            Some("i") => {
                option("LOCALE_PROVIDER", Some("icu".to_owned()));
                option("ICU_LOCALE", text(4));
                option("ICU_RULES", text(5));
            }
            Some("b") => {
                option("LOCALE_PROVIDER", Some("builtin".to_owned()));
                option("BUILTIN_LOCALE", text(4));
            }
            _ => {}
        }
        option("LC_COLLATE", text(2));
        option("LC_CTYPE", text(3));
        Ok(Self { sql: options, owner: text(6).unwrap_or_default() })
    }

    /// The options that an archive's entry for the database gives.
    pub(super) fn from_entry(entry: &Entry) -> Option<Self> {
        let rest = entry.defn.strip_prefix("CREATE DATABASE ")?.strip_prefix(&ident(&entry.tag))?;
        let sql = rest.trim().strip_prefix("WITH ")?.trim_end_matches([';', '\n']).to_owned();
        Some(Self { sql, owner: entry.owner.clone() })
    }
}

/// Creates a database with these options or, where the server does not know its locale, with what it has instead.
pub(super) async fn create(conn: &mut PgConnection, name: &str, options: Option<&Options>) -> Result<Option<Warning>> {
    let quoted = ident(name);
    let encoding = options
        .and_then(|o| o.sql.split("ENCODING = '").nth(1)?.split('\'').next())
        .map_or_else(|| "'UTF8'".to_owned(), literal);
    let doing = format!("creating database {name}");
    let attempts = [
        options.map(|o| o.sql.clone()),
        Some(format!("TEMPLATE = template0 ENCODING = {encoding}")),
        // The server's own locale does not go with the encoding.
        Some(format!("TEMPLATE = template0 ENCODING = {encoding} LOCALE = 'C'")),
    ];
    let mut refused = None;
    for sql in attempts.into_iter().flatten() {
        let statement = format!("CREATE DATABASE {quoted} WITH {sql}");
        match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *conn).await {
            Ok(_) => {
                let warning = refused.filter(|_| options.is_some()).map(|why: Error| {
                    let message = format!("database {name} has another locale than the backup's: {}", why.message());
                    Warning::new("other_locale", message)
                });
                return Ok(warning);
            }
            Err(e) if matches!(state(&e).as_deref(), Some("22023" | "42704" | "0A000" | "42601" | "42809")) => {
                refused.get_or_insert(failure(&doing, e));
            }
            Err(e) => return Err(failure(doing, e)),
        }
    }
    Err(refused.unwrap_or_else(|| Error::new(Code::Internal, doing)))
}

/// Renames a database that nobody uses.
pub(super) async fn rename(conn: &mut PgConnection, from: &str, to: &str) -> Result<()> {
    let sql = format!("ALTER DATABASE {} RENAME TO {}", ident(from), ident(to));
    execute(conn, &sql, &format!("giving database {from} the name {to}")).await
}

/// How often a database is tried to be dropped. The server waits five seconds each time.
const DROP_ATTEMPTS: usize = 3;

/// Drops a database that is ours, with all sessions that use it. One that is not there is no error.
///
/// The server drops no database that has subscriptions, so they go first. A restore makes them disabled; one that is
/// enabled is somebody else's, and the attempt to drop it says so.
pub(super) async fn drop_database(server: &Server, name: &str) -> Result<()> {
    let mut conn = maintenance(server).await?;
    let doing = format!("dropping database {name}");
    let sql = format!(
        "SELECT subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
         WHERE d.datname = {} AND NOT s.subenabled",
        literal(name)
    );
    let subscriptions: Vec<String> = query(&mut conn, &sql, &doing).await?.into_iter().flatten().flatten().collect();
    if !subscriptions.is_empty() {
        let mut inside = server.sibling(name).connect(Role::Catalog).await?;
        for subscription in &subscriptions {
            execute(&mut inside, &drop_subscription(subscription), &doing).await?;
        }
        drop(inside.close().await);
    }
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(name));
    for _ in 1..DROP_ATTEMPTS {
        match sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut conn).await {
            // A session takes longer to end than the server waits for it.
            Err(e) if state(&e).as_deref() == Some("55006") => {}
            other => return other.map(drop).map_err(|e| failure(&doing, e)),
        }
    }
    execute(&mut conn, &sql, &doing).await
}

/// The statements that drop a disabled subscription and leave the publisher and its slot alone.
pub(super) fn drop_subscription(name: &str) -> String {
    let name = ident(name);
    format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE); DROP SUBSCRIPTION {name}")
}

/// Gives a new database the settings, comment and privileges that the archive has for the source. What the server
/// refuses is told: the data is there without it.
pub(super) async fn set_properties(
    conn: &mut PgConnection,
    name: &str,
    archive: &Archive,
    no_privileges: bool,
) -> Vec<Warning> {
    let Some(source) = archive.entries.iter().find(|e| e.desc == "DATABASE") else { return Vec::new() };
    let mut warnings = Vec::new();
    for entry in archive.entries.iter().filter(|e| is_property(e) && !(no_privileges && e.desc == "ACL")) {
        for statement in statements(&entry.defn) {
            // Nobody could drop a template any more, neither a drill nor its owner.
            let refused = if statement.contains(" IS_TEMPLATE = true") {
                Some("it is not made a template".to_owned())
            } else {
                let sql = renamed(statement, &source.tag, name);
                execute(conn, &sql, "setting it").await.err().map(|e| e.message().to_owned())
            };
            if let Some(why) = refused {
                let message = format!("a property of database {} was left out: {why}", source.tag);
                warnings.push(Warning::new("database_property", message));
            }
        }
    }
    warnings
}

/// Whether an entry is about the database as a whole, beside its creation.
pub(super) fn is_property(entry: &Entry) -> bool {
    match entry.desc.as_str() {
        "DATABASE PROPERTIES" => true,
        "ACL" | "COMMENT" | "SECURITY LABEL" => entry.tag.starts_with("DATABASE "),
        _ => false,
    }
}

/// The statements of a text, each of which ends at the end of a line.
fn statements(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in sql.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            ';' if !quoted && sql[at + 1..].starts_with('\n') => {
                statements.push(sql[start..=at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    statements.push(sql[start..].trim());
    statements.retain(|s| !s.is_empty());
    statements
}

/// A statement about database `source` as one about database `name`.
fn renamed(statement: &str, source: &str, name: &str) -> String {
    let place = format!("DATABASE {} ", ident(source));
    // Only the first: what follows it may be any text.
    statement.replacen(&place, &format!("DATABASE {} ", ident(name)), 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn options_are_found_again_in_an_archive() {
        let sql = "TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8'";
        let entry = Entry {
            tag: "My shop".into(),
            desc: "DATABASE".into(),
            defn: format!("CREATE DATABASE \"My shop\" WITH {sql};\n"),
            owner: "app".into(),
            ..Entry::default()
        };
        let options = Options::from_entry(&entry).unwrap();
        assert_eq!((options.sql.as_str(), options.owner.as_str()), (sql, "app"));
    }

    #[test]
    fn properties_are_set_on_the_new_name() {
        let sql = "ALTER DATABASE shop SET search_path TO 'a;\nb', 'DATABASE shop ';\n\n\
                   ALTER ROLE app IN DATABASE shop SET work_mem TO '5MB';\n";
        let renamed: Vec<String> = statements(sql).into_iter().map(|s| renamed(s, "shop", "New one")).collect();
        assert_eq!(
            renamed,
            [
                "ALTER DATABASE \"New one\" SET search_path TO 'a;\nb', 'DATABASE shop ';",
                "ALTER ROLE app IN DATABASE \"New one\" SET work_mem TO '5MB';",
            ]
        );
    }
}
