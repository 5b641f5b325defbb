//! Where a restore goes: into databases of its own whose tables are moved at the end, or into those that are there.

use crate::engine::{RestoreOptions, shortened};
use crate::error::{Code, Error, Result};
use crate::id::random_hex;
use crate::report::Warning;

use super::build::Site;
use super::catalog::{Catalog, Kind};
use super::connect::{Server, Session};
use super::databases::NAME_LENGTH;
use super::names::Names;
use super::quote::{ident, literal};

/// A database of a dump, and where it goes.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) catalog: Catalog,
    /// What it is called in the target.
    pub(super) name: String,
    /// Whether that is there already, and empty unless it is to give way or to be added to.
    pub(super) exists: bool,
    /// The new database whose tables are moved when all is done, so that nobody sees half of it. None: it goes into the
    /// target itself.
    pub(super) staging: Option<String>,
    /// Whether the target's database is made, or filled, by the restore.
    pub(super) begun: bool,
}

impl Home {
    /// Looks at the target and decides where each of these goes; changes nothing. All take the same way: what one of them
    /// refers to in another is where it will be.
    ///
    /// # Errors
    /// `TargetNotEmpty` unless it may be overwritten.
    pub(super) async fn find(
        session: &mut Session,
        server: &Server,
        catalogs: Vec<(Catalog, String)>,
        options: &RestoreOptions,
    ) -> Result<Vec<Self>> {
        // What was named may come beside what is there: collisions are looked for.
        let may_hold = options.overwrite || options.clean || options.select.names_some() || options.select.data_only;
        let (mut homes, mut in_place) = (Vec::new(), options.select.data_only);
        for (catalog, name) in catalogs {
            let exists = exists(session, &name).await?;
            let contents = if exists { contents(session, &name).await? } else { None };
            let there = server.one(&name);
            match contents {
                Some(_) if options.promote => {}
                Some(_) if may_hold => in_place = true,
                Some(contents) => {
                    return Err(Error::new(Code::TargetNotEmpty, format!("{there} is not empty: it holds {contents}"))
                        .next("restore into a new database, or say that what is there may be overwritten"));
                }
                None if options.select.data_only => {
                    let message = format!("{there} has no tables that rows alone could be restored into");
                    return Err(Error::new(Code::DatabaseNotFound, message).next("restore definitions as well"));
                }
                None => {}
            }
            homes.push(Self { catalog, name, exists, staging: None, begun: false });
        }
        for home in homes.iter_mut().filter(|_| !in_place) {
            let suffix = format!("_restoring_{}", random_hex::<4>()?);
            home.staging = Some(shortened(&home.name, &suffix, NAME_LENGTH));
        }
        Ok(homes)
    }

    /// The database that is loaded into.
    pub(super) fn working(&self) -> &str {
        self.staging.as_deref().unwrap_or(&self.name)
    }
}

/// The databases that are loaded into.
pub(super) fn working(homes: &[Home]) -> Vec<Site<'_>> {
    homes.iter().map(|home| Site { catalog: &home.catalog, database: home.working() }).collect()
}

/// The databases as they are called in the end.
pub(super) fn finished(homes: &[Home]) -> Vec<Site<'_>> {
    homes.iter().map(|home| Site { catalog: &home.catalog, database: &home.name }).collect()
}

/// What these databases are called, by what they were called.
pub(super) fn names(sites: &[Site<'_>]) -> Names {
    sites.iter().map(|site| (site.catalog.database.as_str(), site.database)).collect()
}

/// The names of databases in the dump, and what they are called in the end.
pub(super) fn pairs(homes: &[Home]) -> Vec<(&str, &str)> {
    homes.iter().map(|home| (home.catalog.database.as_str(), home.name.as_str())).collect()
}

/// Leaves out foreign keys into databases that do not come along, and tells of it: a copy that is looked at and dropped
/// does not hold fast the rows of others.
pub(super) fn let_go(homes: &mut [Home]) -> Vec<Warning> {
    let names = names(&finished(homes));
    let mut warnings = Vec::new();
    for Home { catalog, .. } in homes {
        for table in catalog.objects.iter_mut().filter(|o| o.kind == Kind::Table) {
            let Some(sql) = names.without_foreign(&table.sql) else { continue };
            table.sql = sql;
            let message = format!(
                "table {} of {} refers to a database that is not restored with it: its foreign keys into it are left out",
                table.name, catalog.database
            );
            warnings.push(Warning::new("other_database", message));
        }
    }
    warnings
}

async fn exists(session: &mut Session, database: &str) -> Result<bool> {
    let sql = format!("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}", literal(database));
    Ok(session.query_one(&sql, "looking for the database").await?.as_deref() != Some("0"))
}

/// What a database holds, if anything.
pub(super) async fn contents(session: &mut Session, database: &str) -> Result<Option<String>> {
    let schema = literal(database);
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} \
         UNION ALL SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} \
         UNION ALL SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema}"
    );
    let names: Vec<String> =
        session.query(&sql, "looking for objects").await?.into_iter().flatten().flatten().collect();
    Ok(match names.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        [first, ..] => Some(format!("{} objects, {first} among them", names.len())),
    })
}

/// Drops a database that is ours, if it is there.
pub(super) async fn drop_database(session: &mut Session, name: &str) -> Result<()> {
    // Another one that is ours as well may refer to it.
    session.execute("SET SESSION foreign_key_checks = 0", "setting up the session").await?;
    let sql = format!("DROP DATABASE IF EXISTS {}", ident(name));
    session.execute(&sql, &format!("dropping database {name}")).await
}
