//! Lets what was loaded appear under its names, or takes it back.

use crate::engine::RestoreOptions;
use crate::error::{Code, Error, Result};

use super::build;
use super::connect::{Server, Session};
use super::existing;
use super::files::create_database;
use super::place::{self, Home, drop_database};

/// Creates the databases that are loaded into, as far as they are not there.
pub(super) async fn make_room(session: &mut Session, homes: &mut [Home]) -> Result<()> {
    for home in homes {
        if let Some(staging) = &home.staging {
            create(session, home, staging).await?;
        } else if !home.exists {
            create(session, home, &home.name).await?;
            home.begun = true;
        }
    }
    Ok(())
}

async fn create(session: &mut Session, home: &Home, name: &str) -> Result<()> {
    let sql = create_database(&home.catalog, name);
    session.execute(sql.trim_end_matches(";\n"), &format!("creating database {name}")).await
}

/// Moves all tables of all databases to where they belong in one step, and creates there once more what cannot be moved.
/// The targets are empty or not there yet.
pub(super) async fn appear(
    session: &mut Session,
    server: &Server,
    homes: &mut [Home],
    options: &RestoreOptions,
) -> Result<()> {
    for home in homes.iter().filter(|home| home.exists) {
        if let Some(contents) = place::contents(session, &home.name).await? {
            let message = format!("{} is no longer empty: it holds {contents}", server.one(&home.name));
            return Err(Error::new(Code::TargetNotEmpty, message).next("restore into a new database"));
        }
    }
    for home in homes.iter_mut() {
        if !home.exists {
            create(session, home, &home.name).await?;
        }
        home.begun = true;
    }
    for home in homes.iter() {
        build::drop_programs(session, &home.catalog, home.working()).await?;
    }
    let moves = homes.iter().flat_map(|home| build::moves(&home.catalog, home.working(), &home.name));
    let moves: Vec<String> = moves.collect();
    if !moves.is_empty() {
        session.execute(&format!("RENAME TABLE {}", moves.join(", ")), "moving the tables to their place").await?;
    }
    let sites = place::finished(homes);
    build::settle(session, &sites).await?;
    // Each of them was created once already, so nothing of it is new to the server.
    build::programs(session, &sites, options).await?;
    for staging in homes.iter().filter_map(|home| home.staging.as_ref()) {
        drop_database(session, staging).await?;
    }
    Ok(())
}

/// Takes back what was made and moved, in each database whatever becomes of the others.
pub(super) async fn take_back(session: &mut Session, homes: &[Home], options: &RestoreOptions) -> Result<()> {
    let mut result = Ok(());
    for home in homes {
        result = result.and(take_back_one(session, home, options).await);
    }
    result
}

async fn take_back_one(session: &mut Session, home: &Home, options: &RestoreOptions) -> Result<()> {
    let Home { catalog, name, staging, .. } = home;
    match (home.begun, home.exists) {
        (true, false) => drop_database(session, name).await?,
        (true, true) => build::drop_all(session, catalog, name).await?,
        (false, _) => {}
    }
    if let Some(staging) = staging {
        return drop_database(session, staging).await;
    }
    match (options.select.data_only, options.overwrite) {
        (false, _) if home.exists => build::drop_all(session, catalog, name).await,
        (true, false) => existing::empty(session, catalog, name).await,
        // Rows that were added to others cannot be told from them.
        _ => Ok(()),
    }
}
