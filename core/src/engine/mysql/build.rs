//! Creates what a catalog names: tables before the rows, everything that acts by itself after them.

use std::collections::HashMap;

use mysql_async::prelude::Queryable as _;

use crate::engine::RestoreOptions;
use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::catalog::{Catalog, Kind, Object};
use super::connect::Session;
use super::failure::{failure, number};
use super::keys::Steps;
use super::place::names;
use super::program::{RESET, definer, disabled, settings, with_definer};
use super::quote::{ident, literal, qualified};

/// A database, and what comes into it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) database: &'a str,
}

/// The steps of tables that wait for their rows, by the index of their database and their names.
pub(super) type Waiting = HashMap<(usize, String), Steps>;

/// Creates sequences and tables, with the keys that do not wait for rows.
pub(super) async fn tables(session: &mut Session, sites: &[Site<'_>], waiting: &Waiting) -> Result<()> {
    let names = names(sites);
    for kind in [Kind::Sequence, Kind::Table] {
        for (index, site) in sites.iter().enumerate() {
            for object in site.catalog.of(kind) {
                let doing = format!("creating {}", object.describe());
                let steps = waiting.get(&(index, object.name.clone())).filter(|_| kind == Kind::Table);
                let sql = steps.map_or_else(|| names.in_definition(&object.sql), |steps| steps.create.clone());
                session.enter(site.database).await?;
                session.execute(&sql, &doing).await?;
                if !object.state.is_empty() {
                    session.execute(&object.state, &doing).await?;
                }
            }
        }
    }
    Ok(())
}

/// Adds the foreign keys that waited. Rows are not looked at: [`check_foreign_keys`] does.
pub(super) async fn foreign_keys(session: &mut Session, sites: &[Site<'_>], waiting: &Waiting) -> Result<()> {
    for ((index, table), steps) in waiting {
        if let (Some(sql), Some(site)) = (&steps.foreign, sites.get(*index)) {
            session.enter(site.database).await?;
            session.execute(sql, &format!("adding the foreign keys of {table}")).await?;
        }
    }
    Ok(())
}

/// Makes sure that nothing in the database has a name that the catalog brings.
pub(super) async fn no_collisions(session: &mut Session, catalog: &Catalog, database: &str) -> Result<()> {
    let schema = literal(database);
    let sql = format!(
        "SELECT TABLE_NAME, 'TABLE' FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} \
         UNION ALL SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} \
         UNION ALL SELECT TRIGGER_NAME, 'TRIGGER' FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {schema} \
         UNION ALL SELECT EVENT_NAME, 'EVENT' FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema}"
    );
    for row in session.query(&sql, "looking for objects").await? {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        let (name, word) = (row.next().unwrap_or_default(), row.next().unwrap_or_default());
        // Tables, views and sequences share their names.
        let same = |o: &&Object| match o.kind {
            Kind::Table | Kind::View | Kind::Sequence => word == "TABLE" && o.name == name,
            kind => word == kind.word() && o.name == name,
        };
        if let Some(object) = catalog.objects.iter().find(same) {
            let message = format!("database {database} has a {} already", object.describe());
            return Err(Error::new(Code::TargetNotEmpty, message)
                .next("restore into another database, leave it out, or let what is there be dropped first (clean)"));
        }
    }
    Ok(())
}

/// Drops from a database what the catalog brings.
pub(super) async fn drop_all(session: &mut Session, catalog: &Catalog, database: &str) -> Result<()> {
    session.execute("SET SESSION foreign_key_checks = 0", "setting up the session").await?;
    for object in catalog.objects.iter().rev() {
        drop_object(session, object, database).await?;
    }
    Ok(())
}

/// Drops an object of this kind and name, if there is one.
pub(super) async fn drop_object(session: &mut Session, object: &Object, database: &str) -> Result<()> {
    let doing = format!("dropping {}", object.describe());
    let sql = format!("DROP {} IF EXISTS {}", object.kind.word(), qualified(database, &object.name));
    if !matches!(object.kind, Kind::Package | Kind::PackageBody) {
        return session.execute(&sql, &doing).await;
    }
    // A word of this mode only.
    session.execute("SET SESSION sql_mode = 'ORACLE'", &doing).await?;
    session.execute(&sql, &doing).await?;
    session.execute(RESET[1], &doing).await
}

/// Creates routines, views and triggers, and events that do not begin yet: each kind in all databases before the next.
pub(super) async fn programs(
    session: &mut Session,
    sites: &[Site<'_>],
    options: &RestoreOptions,
) -> Result<Vec<Warning>> {
    for kind in [Kind::Function, Kind::Procedure, Kind::Package, Kind::PackageBody] {
        for site in sites {
            for object in site.catalog.of(kind) {
                create(session, *site, object, with_definer(object, options.no_owner, &options.map)).await?;
            }
        }
    }
    let warnings = views(session, sites, options).await?;
    for site in sites {
        for object in site.catalog.of(Kind::Trigger) {
            create(session, *site, object, with_definer(object, options.no_owner, &options.map)).await?;
        }
    }
    for site in sites {
        for object in site.catalog.of(Kind::Event) {
            create(session, *site, object, disabled(&with_definer(object, options.no_owner, &options.map))).await?;
        }
    }
    Ok(warnings)
}

/// Lets those events begin that were on.
pub(super) async fn enable_events(session: &mut Session, sites: &[Site<'_>], options: &RestoreOptions) -> Result<()> {
    for site in sites {
        for event in site.catalog.of(Kind::Event).filter(|e| disabled(&e.sql) != e.sql) {
            // Who alters an event becomes its definer, unless one is named.
            let definer = definer(event, options.no_owner, &options.map).unwrap_or_default();
            let sql = format!("ALTER {definer} EVENT {} ENABLE", qualified(site.database, &event.name));
            session.execute(&sql, &format!("enabling {}", event.describe())).await?;
        }
    }
    Ok(())
}

/// Views refer to each other in any order: first each is there with its columns, then as it is.
async fn views(session: &mut Session, sites: &[Site<'_>], options: &RestoreOptions) -> Result<Vec<Warning>> {
    let names = names(sites);
    let mut warnings = Vec::new();
    let mut all: Vec<(&Site<'_>, &Object)> =
        sites.iter().flat_map(|site| site.catalog.of(Kind::View).map(move |view| (site, view))).collect();
    for (site, view) in all.iter().filter(|(_, view)| !view.columns.is_empty()) {
        let columns: Vec<String> = view.columns.iter().map(|c| format!("1 AS {}", ident(c))).collect();
        let sql = format!("CREATE VIEW {} AS SELECT {}", qualified(site.database, &view.name), columns.join(", "));
        session.execute(&sql, &format!("creating {}", view.describe())).await?;
    }
    // One that is built on another is created after it: its columns get their types from there.
    all.sort_by_key(|(site, view)| depth(site, view, sites, 0));
    for (site, view) in all {
        let sql = names.in_definition(&with_definer(view, options.no_owner, &options.map));
        match create(session, *site, view, sql.replacen("CREATE ", "CREATE OR REPLACE ", 1)).await {
            // It could not be used at home either.
            Err(e) if view.columns.is_empty() => {
                let message = format!("{} was left out: {}", view.describe(), e.message());
                warnings.push(Warning::new("invalid_view", message));
            }
            other => other?,
        }
    }
    Ok(warnings)
}

/// How many views lie below a view, as far as its text names them: those of other databases with these.
fn depth(site: &Site<'_>, view: &Object, sites: &[Site<'_>], level: usize) -> usize {
    if level > 64 {
        return level;
    }
    let below = sites.iter().flat_map(|other| other.catalog.of(Kind::View).map(move |below| (other, below)));
    let below = below.filter(|(other, below)| match other.database == site.database {
        true => below.name != view.name && view.sql.contains(&ident(&below.name)),
        false => view.sql.contains(&qualified(&other.catalog.database, &below.name)),
    });
    below.map(|(other, below)| 1 + depth(other, below, sites, level + 1)).max().unwrap_or(0)
}

/// Creates one object under the settings that it had.
async fn create(session: &mut Session, site: Site<'_>, object: &Object, sql: String) -> Result<()> {
    let doing = format!("creating {}", object.describe());
    session.enter(site.database).await?;
    for setting in settings(object) {
        session.execute(&setting, &doing).await?;
    }
    // Texts compare by the collation that the database has when a program is created.
    let other = object.session.as_ref().and_then(|s| s.database_collation.as_ref()).filter(|c| !c.is_empty());
    if let Some(collation) = other {
        session.execute(&format!("ALTER DATABASE COLLATE {collation}"), &doing).await?;
    }
    let created = session.conn.query_drop(sql.as_bytes()).await;
    if other.is_some() {
        session.execute(&format!("ALTER DATABASE COLLATE {}", site.catalog.collation), &doing).await?;
    }
    let result = created.map_err(|e| {
        let denied = number(&e) == Some(SUPER_NEEDED);
        let e = failure(&doing, e);
        match denied && !object.definer.is_empty() {
            true => e.next(format!(
                "it belongs to {}: restore with an account that may give it away (SET USER or SUPER), map the owner, or leave owners out",
                object.definer
            )),
            false => e,
        }
    });
    for setting in RESET {
        session.execute(setting, &doing).await?;
    }
    result
}

/// The server's number for a statement that only some may run.
const SUPER_NEEDED: u16 = 1227;

/// What a RENAME TABLE has to say to move all tables and sequences of one database into another.
pub(super) fn moves(catalog: &Catalog, from: &str, to: &str) -> Vec<String> {
    let objects = catalog.of(Kind::Table).chain(catalog.of(Kind::Sequence));
    objects.map(|o| format!("{} TO {}", qualified(from, &o.name), qualified(to, &o.name))).collect()
}

/// Lets columns find the sequences that their defaults name, where they are by now: tables were moved with the names that
/// these had before.
pub(super) async fn settle(session: &mut Session, sites: &[Site<'_>]) -> Result<()> {
    let names = names(sites);
    for site in sites {
        for table in site.catalog.of(Kind::Table) {
            let Some(sql) = names.defaults(table) else { continue };
            let doing = format!("setting the defaults of {}", table.name);
            session.enter(site.database).await?;
            // Of a table that keeps its history nothing is altered otherwise.
            session.execute("SET SESSION system_versioning_alter_history = KEEP", &doing).await?;
            session.execute(&sql, &doing).await?;
        }
    }
    Ok(())
}

/// Drops what cannot be moved: views and triggers hold tables fast.
pub(super) async fn drop_programs(session: &mut Session, catalog: &Catalog, database: &str) -> Result<()> {
    for object in catalog.objects.iter().filter(|o| matches!(o.kind, Kind::Trigger | Kind::View | Kind::Event)) {
        drop_object(session, object, database).await?;
    }
    Ok(())
}

/// Looks for rows that refer to rows that are not there.
pub(super) async fn check_foreign_keys(session: &mut Session, database: &str) -> Result<Vec<Warning>> {
    let sql = format!(
        "SELECT CONSTRAINT_NAME, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, \
         REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
         WHERE TABLE_SCHEMA = {} AND REFERENCED_TABLE_NAME IS NOT NULL \
         ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
        literal(database)
    );
    let mut keys: Vec<ForeignKey> = Vec::new();
    for row in session.query(&sql, "listing the foreign keys").await? {
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        let (name, table) = (text(0), text(1));
        if keys.last().is_none_or(|k| k.name != name || k.table != table) {
            let parent = qualified(&text(3), &text(4));
            keys.push(ForeignKey { name, table, parent, columns: Vec::new() });
        }
        if let Some(key) = keys.last_mut() {
            key.columns.push((text(2), text(5)));
        }
    }
    let mut warnings = Vec::new();
    for key in keys {
        let doing = format!("checking foreign key {} of {}", key.name, key.table);
        match session.query_one(&key.orphans(database), &doing).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                let ForeignKey { name, table, .. } = &key;
                let message = format!("table {table} has rows that refer by {name} to rows that are not there");
                warnings.push(Warning::new("orphans", message));
            }
            // It refers to a table that does not exist, which a server lets pass while foreign keys are not checked.
            Err(e) if e.code() == Code::DatabaseError => warnings.push(Warning::new("orphans", e.message())),
            Err(e) => return Err(e),
        }
    }
    Ok(warnings)
}

struct ForeignKey {
    name: String,
    table: String,
    parent: String,
    columns: Vec<(String, String)>,
}

impl ForeignKey {
    /// The query that finds one row that refers to none.
    fn orphans(&self, database: &str) -> String {
        let join =
            |f: &dyn Fn(&(String, String)) -> String| self.columns.iter().map(f).collect::<Vec<_>>().join(" AND ");
        let on = join(&|(child, parent)| format!("p.{} = c.{}", ident(parent), ident(child)));
        let given = join(&|(child, _)| format!("c.{} IS NOT NULL", ident(child)));
        format!(
            "SELECT 1 FROM {} c WHERE {given} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {on}) LIMIT 1",
            qualified(database, &self.table),
            self.parent
        )
    }
}

/// An error for a target that was used before it was prepared.
pub(super) fn not_prepared() -> Error {
    Error::new(Code::Internal, "the target was not prepared")
}
