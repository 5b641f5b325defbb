//! Lets a restored database take the place of the live one.
//!
//! These servers cannot rename a database. All tables of both change places in one statement, which happens or does not.
//! Triggers hold a table in its database, and views, routines and events cannot be moved: they are dropped right before
//! and created right after, on both sides.

use crate::engine::{RestoreOptions, Suffix};
use crate::error::Result;
use crate::report::{Promoted, Warning};

use super::build::{self, Site, moves};
use super::catalog::{self, Catalog, Kind, tables};
use super::connect::{Role, Server};
use super::databases::NAME_LENGTH;
use super::files::create_database;
use super::place::{drop_database, names};
use super::quote::{ident, qualified};
use super::select::Picks;

/// The live database, and the restored one that is to take its place.
pub(super) struct Live<'a> {
    pub(super) server: &'a Server,
    pub(super) name: &'a str,
    pub(super) staging: &'a str,
    pub(super) options: &'a RestoreOptions,
}

impl Live<'_> {
    /// Moves the live tables away and the restored ones to their place.
    pub(super) async fn give_way(&self, restored: &Catalog, suffix: &Suffix) -> Result<(Promoted, Vec<Warning>)> {
        let name = self.name;
        let kept = suffix.before(name, NAME_LENGTH);
        let mut session = self.server.one(name).connect(Role::Writer).await?;
        let tables = tables::read(&mut session, name).await?;
        let (live, mut warnings) = catalog::read(&mut session, name, &tables, &Picks::default()).await?;
        if !warnings.is_empty() {
            // What cannot be read could not be created again.
            warnings.insert(
                0,
                Warning::new("kept_incomplete", format!("not everything of the live database is in {kept}")),
            );
        }
        let sql = create_database(&live, &kept);
        session.execute(sql.trim_end_matches(";\n"), &format!("creating database {kept}")).await?;
        build::drop_programs(&mut session, restored, self.staging).await?;
        build::drop_programs(&mut session, &live, name).await?;
        if let Err(e) = session.execute(&swap(&live, restored, name, &kept, self.staging), "swapping the tables").await
        {
            // Nothing was moved: the live database gets back what it lent.
            let (lent, as_it_was) = (only_moved(&live), RestoreOptions::default());
            let site = [Site { catalog: &lent, database: name }];
            build::programs(&mut session, &site, &as_it_was).await?;
            build::enable_events(&mut session, &site, &as_it_was).await?;
            drop_database(&mut session, &kept).await?;
            return Err(e);
        }
        let site = [Site { catalog: &live, database: &kept }];
        let mut made = build::settle(&mut session, &site).await;
        if made.is_ok() {
            made = build::programs(&mut session, &site, &RestoreOptions::default()).await.map(drop);
        }
        if let Err(e) = made {
            warnings.push(Warning::new(
                "kept_incomplete",
                format!("{kept} has all tables, but not all else: {}", e.message()),
            ));
        }
        for object in live.objects.iter().filter(|o| is_routine(o.kind)) {
            build::drop_object(&mut session, object, name).await?;
        }
        let Catalog { charset, collation, .. } = restored;
        let sql = format!("ALTER DATABASE {} CHARACTER SET {charset} COLLATE {collation}", ident(name));
        session.execute(&sql, "setting the database's collation").await?;
        let site = [Site { catalog: restored, database: name }];
        build::settle(&mut session, &site).await?;
        warnings.extend(build::programs(&mut session, &site, self.options).await?);
        build::enable_events(&mut session, &site, self.options).await?;
        drop_database(&mut session, self.staging).await?;
        session.close().await;
        let restored_name = suffix.restored(name, NAME_LENGTH);
        let go_back = go_back(&live, restored, name, &kept, &restored_name);
        let drop_kept = vec![format!("DROP DATABASE {};", ident(&kept))];
        Ok((Promoted { kept: Some(kept), go_back, drop_kept }, warnings))
    }
}

fn is_routine(kind: Kind) -> bool {
    matches!(kind, Kind::Function | Kind::Procedure | Kind::Package | Kind::PackageBody)
}

/// What [`build::drop_programs`] drops.
fn only_moved(catalog: &Catalog) -> Catalog {
    let mut catalog = catalog.clone();
    catalog.objects.retain(|o| matches!(o.kind, Kind::View | Kind::Trigger | Kind::Event));
    catalog
}

/// The one statement by which all tables change places.
fn swap(live: &Catalog, restored: &Catalog, name: &str, kept: &str, staging: &str) -> String {
    let all = [moves(live, name, kept), moves(restored, staging, name)].concat();
    match all.is_empty() {
        true => "DO 1".to_owned(),
        false => format!("RENAME TABLE {}", all.join(", ")),
    }
}

/// How to go back, as SQL.
fn go_back(live: &Catalog, restored: &Catalog, name: &str, kept: &str, restored_name: &str) -> Vec<String> {
    let mut lines = vec![create_database(restored, restored_name).trim_end().to_owned()];
    let drops = |catalog: &Catalog, database: &str| -> Vec<String> {
        let objects = catalog.objects.iter().filter(|o| matches!(o.kind, Kind::Trigger | Kind::View | Kind::Event));
        objects.map(|o| format!("DROP {} IF EXISTS {};", o.kind.word(), qualified(database, &o.name))).collect()
    };
    let programs = live.objects.iter().any(|o| !matches!(o.kind, Kind::Table | Kind::Sequence));
    if programs {
        lines.push(format!(
            "-- first: mariadb-dump --no-data --no-create-info --routines --events --triggers {kept} > programs.sql"
        ));
    }
    lines.extend(drops(restored, name));
    lines.extend(drops(live, kept));
    lines.push(format!("{};", swap(restored, live, name, restored_name, kept)));
    let names = names(&[Site { catalog: live, database: name }]);
    let defaults: Vec<String> = live.of(Kind::Table).filter_map(|t| names.defaults(t)).collect();
    if !defaults.is_empty() {
        lines.push(format!("USE {};", ident(name)));
        lines.extend(defaults.into_iter().map(|sql| format!("{sql};")));
    }
    if programs {
        lines.push(format!("-- then, in {name}: the views of your migrations, and programs.sql"));
    }
    lines
}
