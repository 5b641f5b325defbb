//! Which part of a server's databases a backup or a restore is about.

use crate::engine::pattern::{Pattern, near};
use crate::engine::{RestoreOptions, Selection};
use crate::error::{Code, Error, Result};

use super::catalog::{Dump, Kind, Object};
use super::databases::Databases;

/// What was selected. A schema is a database here.
#[derive(Debug, Clone, Default)]
pub(super) struct Picks {
    databases: Vec<Pattern>,
    without_databases: Vec<Pattern>,
    tables: Vec<Pattern>,
    without: Vec<Pattern>,
    no_rows: Vec<Pattern>,
    /// No rows at all.
    schema_only: bool,
}

impl Picks {
    /// Understands a selection.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub(super) fn new(select: &Selection) -> Result<Self> {
        Ok(Self {
            databases: Pattern::parse_all(&select.schemas, false)?,
            without_databases: Pattern::parse_all(&select.exclude_schemas, false)?,
            tables: Pattern::parse_all(&select.tables, true)?,
            without: Pattern::parse_all(&select.exclude_tables, true)?,
            no_rows: Pattern::parse_all(&select.exclude_data, true)?,
            schema_only: select.schema_only,
        })
    }

    /// Whether all of a database is taken, but for what is excluded.
    fn takes_all_of(&self, database: &str) -> bool {
        let everything = self.databases.is_empty() && self.tables.is_empty();
        everything || self.databases.iter().any(|p| fits(p, database, database))
    }

    fn excludes(&self, database: &str) -> bool {
        self.without_databases.iter().any(|p| fits(p, database, database))
    }

    /// Whether a database with these tables is taken.
    fn takes_some_of<'a>(&self, database: &str, mut tables: impl Iterator<Item = &'a str>) -> bool {
        !self.excludes(database) && (self.takes_all_of(database) || tables.any(|table| self.takes(database, table)))
    }

    /// Whether a table, view or sequence is taken, with what belongs to it.
    pub(super) fn takes(&self, database: &str, name: &str) -> bool {
        let named = self.takes_all_of(database) || self.tables.iter().any(|p| fits(p, database, name));
        named && !self.excludes(database) && !self.without.iter().any(|p| fits(p, database, name))
    }

    /// Whether a table's rows are taken with it.
    pub(super) fn takes_rows(&self, database: &str, name: &str) -> bool {
        !self.schema_only && !self.no_rows.iter().any(|p| fits(p, database, name))
    }

    /// Whether an object is taken.
    pub(super) fn takes_object(&self, database: &str, object: &Object) -> bool {
        match object.kind {
            Kind::Table | Kind::View | Kind::Sequence => self.takes(database, &object.name),
            Kind::Trigger => self.takes(database, &object.table),
            // They belong to no table.
            _ => self.takes_all_of(database) && !self.excludes(database),
        }
    }

    /// The databases that are taken of these, which have these tables, views and sequences. Makes sure that each pattern
    /// that names something names something that is there.
    ///
    /// # Errors
    /// `NothingSelected`.
    pub(super) fn databases(&self, databases: Vec<String>, tables: &[(String, String)]) -> Result<Vec<String>> {
        let of = databases.join(", ");
        for pattern in &self.databases {
            if !databases.iter().any(|database| fits(pattern, database, database)) {
                let near = near(&pattern.letters(), databases.iter().map(String::as_str));
                return Err(unknown("database", &pattern.text, &of, &near));
            }
        }
        for pattern in self.tables.iter().chain(&self.no_rows) {
            if !tables.iter().any(|(database, name)| fits(pattern, database, name)) {
                let near = near(&pattern.letters(), tables.iter().map(|(_, name)| name.as_str()));
                return Err(unknown("table", &pattern.text, &of, &near));
            }
        }
        let mut taken = databases;
        taken.retain(|database| {
            let tables = tables.iter().filter(|(of, _)| of == database).map(|(_, name)| name.as_str());
            self.takes_some_of(database, tables)
        });
        if taken.is_empty() {
            return Err(Error::new(Code::NothingSelected, format!("nothing of {of} is selected"))
                .next("on MySQL and MariaDB a schema is a database: select one of these, or leave schemas out"));
        }
        Ok(taken)
    }
}

fn unknown(what: &str, pattern: &str, of: &str, near: &[&str]) -> Error {
    let next = match near {
        [] => format!("name a {what} that is there; `show` lists the tables"),
        near => format!("did you mean {}?", near.join(", ")),
    };
    let message = match what {
        "database" => format!("there is no database `{pattern}` among {of}"),
        _ => format!("there is no table `{pattern}` in {of}"),
    };
    Error::new(Code::NothingSelected, message).next(next)
}

/// Names are compared as they are, and also without regard to case, as many servers do.
fn fits(pattern: &Pattern, database: &str, name: &str) -> bool {
    pattern.fits(database, name) || pattern.fits(&database.to_lowercase(), &name.to_lowercase())
}

/// Leaves in a dump what a restore is to bring, and tells what its databases are called there.
///
/// # Errors
/// `NothingSelected`; `InvalidOption` where they do not fit.
pub(super) fn fit(dump: &mut Dump, options: &RestoreOptions, place: &Databases) -> Result<Vec<String>> {
    let picks = Picks::new(&options.select)?;
    let named = |kind| matches!(kind, Kind::Table | Kind::View | Kind::Sequence);
    let tables: Vec<(String, String)> = dump
        .databases
        .iter()
        .flat_map(|c| c.objects.iter().filter(|o| named(o.kind)).map(|o| (c.database.clone(), o.name.clone())))
        .collect();
    let taken = picks.databases(dump.databases.iter().map(|c| c.database.clone()).collect(), &tables)?;
    dump.databases.retain(|catalog| taken.contains(&catalog.database));
    for catalog in &mut dump.databases {
        let database = &catalog.database;
        catalog.objects.retain(|o| picks.takes_object(database, o));
        for table in catalog.objects.iter_mut().filter(|o| !picks.takes_rows(database, &o.name)) {
            table.files.clear();
        }
        if options.select.data_only {
            catalog.objects.retain(|o| o.kind == Kind::Table);
        }
    }
    names_there(&taken, options, place)
}

/// What databases of a dump are called in the target.
fn names_there(dumped: &[String], options: &RestoreOptions, place: &Databases) -> Result<Vec<String>> {
    let invalid = |message: String, next: &str| Err(Error::new(Code::InvalidOption, message).next(next));
    let map = &options.map.schemas;
    if !options.map.tablespaces.is_empty() {
        return invalid("MySQL and MariaDB have no tablespaces to map".to_owned(), "leave the mapping out");
    }
    match place {
        Databases::One(_) if !map.is_empty() => {
            return invalid(
                "the target's URL names the database, so none can be mapped".to_owned(),
                "name another database in the target's URL, or none",
            );
        }
        Databases::One(name) if dumped.len() > 1 => {
            let (count, all) = (dumped.len(), dumped.join(", "));
            return invalid(
                format!("the dump holds {count} databases ({all}), the target is {name} alone"),
                "select one of them as a schema, or give a URL without a database",
            );
        }
        _ => {}
    }
    if let Some(unknown) = map.keys().find(|name| !dumped.contains(name)) {
        let message = format!("database {unknown} is mapped and not restored: there is {}", dumped.join(", "));
        return invalid(message, "map the name of a database that is restored");
    }
    let names: Vec<String> =
        dumped.iter().map(|name| map.get(name).cloned().unwrap_or_else(|| place.here(name))).collect();
    let same = |a: &String, b: &String| a.to_lowercase() == b.to_lowercase();
    for (index, name) in names.iter().enumerate() {
        if super::databases::OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return invalid(format!("{name} belongs to the server"), "give another name");
        }
        if let Some(other) = names[..index].iter().position(|other| same(other, name)) {
            let message = format!("databases {} and {} would both become {name}", dumped[other], dumped[index]);
            return invalid(message, "give each a name of its own");
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_selection_takes_tables_with_what_belongs_to_them() {
        let select = Selection {
            tables: vec!["order*".into(), "shop.Customer".into()],
            exclude_tables: vec!["orders_old".into()],
            exclude_data: vec!["order_log".into()],
            ..Selection::default()
        };
        let picks = Picks::new(&select).unwrap();
        let object = |kind, name: &str, table: &str| Object {
            table: table.into(),
            ..Object::new(kind, name.into(), String::new())
        };
        for (object, taken) in [
            (object(Kind::Table, "orders", ""), true),
            (object(Kind::Table, "Customer", ""), true),
            (object(Kind::Table, "orders_old", ""), false),
            (object(Kind::View, "order_view", ""), true),
            (object(Kind::Trigger, "t", "orders"), true),
            (object(Kind::Trigger, "order_t", "other"), false),
            (object(Kind::Procedure, "order_p", ""), false),
        ] {
            assert_eq!(picks.takes_object("shop", &object), taken, "{}", object.describe());
        }
        assert!(picks.takes_rows("shop", "orders") && !picks.takes_rows("shop", "order_log"));
        let tables = ["orders", "Customers", "order_log"].map(|name| ("shop".to_owned(), name.to_owned()));
        let missing = picks.databases(vec!["shop".to_owned()], &tables[..2]).unwrap_err();
        assert_eq!(missing.code(), Code::NothingSelected);
    }

    #[test]
    fn a_selection_takes_databases_and_tables_of_others() {
        let databases = || ["shop", "blog", "crm", "Blog_old"].map(str::to_owned).to_vec();
        let tables: Vec<(String, String)> = databases().into_iter().map(|d| (d, "t".to_owned())).collect();
        let taken = |schemas: &[&str], tables_: &[&str], without: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
            let (schemas, tables_, exclude_schemas) = (texts(schemas), texts(tables_), texts(without));
            let select = Selection { schemas, tables: tables_, exclude_schemas, ..Selection::default() };
            Picks::new(&select).unwrap().databases(databases(), &tables).map(|d| d.join(" "))
        };
        assert_eq!(taken(&[], &[], &[]).unwrap(), "shop blog crm Blog_old");
        assert_eq!(taken(&["blog*"], &[], &[]).unwrap(), "blog Blog_old");
        assert_eq!(taken(&["blog*"], &["shop.t"], &["blog"]).unwrap(), "shop Blog_old");
        assert_eq!(taken(&[], &["crm.*"], &[]).unwrap(), "crm");
        for (schemas, tables) in [(["blgo"], ["t"]), (["shop"], ["x.t"])] {
            assert_eq!(taken(&schemas, &tables, &[]).unwrap_err().code(), Code::NothingSelected);
        }
        assert_eq!(taken(&[], &[], &["*"]).unwrap_err().code(), Code::NothingSelected);
    }

    #[test]
    fn databases_get_one_name_each() {
        let all = Databases::All { prefix: None };
        let names = |place: &Databases, map: &[(&str, &str)]| {
            let mut options = RestoreOptions::default();
            options.map.schemas = map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            names_there(&["shop".to_owned(), "blog".to_owned()], &options, place).map_err(|e| e.code())
        };
        assert_eq!(names(&all, &[("shop", "copy")]), Ok(vec!["copy".to_owned(), "blog".to_owned()]));
        assert_eq!(names(&all, &[("shop", "blog"), ("blog", "shop")]), Ok(vec!["blog".to_owned(), "shop".to_owned()]));
        for map in [[("shop", "Blog")], [("shop", "mysql")], [("crm", "x")]] {
            assert_eq!(names(&all, &map), Err(Code::InvalidOption));
        }
        assert_eq!(names(&Databases::One("x".into()), &[]), Err(Code::InvalidOption));
    }
}
