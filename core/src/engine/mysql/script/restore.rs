//! A script as the content of a restore's database.

use crate::engine::{ByteStream, RestoreOptions};
use crate::error::{Code, Error, Result};
use crate::report::Warning;

use crate::engine::mysql::catalog::{self, Catalog, Dump, tables};
use crate::engine::mysql::connect::{Role, Server, Session};
use crate::engine::mysql::databases::Databases;
use crate::engine::mysql::select::Picks;

use super::run::{Rules, create_events, run};

/// Checks that nothing is asked for that a script cannot give.
///
/// # Errors
/// `InvalidOption`.
pub(in crate::engine::mysql) fn check(options: &RestoreOptions) -> Result<()> {
    let RestoreOptions { select, map, clean, no_superuser, .. } = options;
    if select.is_everything() && map.is_empty() && !clean && !no_superuser {
        return Ok(());
    }
    Err(Error::new(Code::InvalidOption, "a script is restored whole: nothing can be selected or renamed")
        .next("import it first, and restore a part of the backup"))
}

/// What is known of a script's content before it was run: nothing. A database for it is made as the server makes any.
///
/// # Errors
/// `InvalidOption` where the target is no one database.
pub(in crate::engine::mysql) async fn blank(server: &Server) -> Result<Dump> {
    if let Databases::All { .. } = server.databases() {
        return Err(Error::new(Code::InvalidOption, "a script is restored into one database, and the URL names none")
            .next("name the database in the URL"));
    }
    let mut session = server.connect_outside(Role::Catalog).await?;
    let rows = session.query("SELECT @@character_set_server, @@collation_server", "asking for the collation").await?;
    session.close().await;
    let mut row = rows.into_iter().flatten().map(Option::unwrap_or_default);
    let (charset, collation) = (row.next().unwrap_or_default(), row.next().unwrap_or_default());
    Ok(Dump::new(vec![Catalog { charset, collation, ..Catalog::default() }], Vec::new()))
}

/// Runs a script in a connection's database; the session is then of no more use for anything else.
///
/// # Errors
/// `UnsupportedScript`, `Damaged`, and what the server says.
pub(in crate::engine::mysql) async fn fill(
    session: &mut Session,
    database: &str,
    options: &RestoreOptions,
    fresh: bool,
    data: ByteStream<'_>,
) -> Result<Vec<Warning>> {
    let rules = Rules { no_owner: options.no_owner, fresh, from_database: options.from_database.clone() };
    let (warnings, events) = run(&mut session.conn, database, data, &rules).await?;
    create_events(&mut session.conn, &events).await?;
    Ok(warnings)
}

/// What the script has made, so that it can be moved as the dump of any backup is, and a session to do so.
pub(in crate::engine::mysql) async fn made(
    server: &Server,
    database: &str,
) -> Result<(Session, Catalog, Vec<Warning>)> {
    let mut session = server.one(database).connect(Role::Writer).await?;
    let tables = tables::read(&mut session, database).await?;
    let (catalog, warnings) = catalog::read(&mut session, database, &tables, &Picks::default()).await?;
    Ok((session, catalog, warnings))
}
