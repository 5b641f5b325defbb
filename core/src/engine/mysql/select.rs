//! Which part of a database a backup or a restore is about.

use crate::engine::pattern::{Pattern, near};
use crate::engine::{RestoreOptions, Selection};
use crate::error::{Code, Error, Result};

use super::catalog::{Catalog, Kind, Object};

/// What was selected. A schema is a database here, of which there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Picks {
    tables: Vec<Pattern>,
    without: Vec<Pattern>,
    no_rows: Vec<Pattern>,
    /// No rows at all.
    schema_only: bool,
}

impl Picks {
    /// Understands a selection from this database.
    ///
    /// # Errors
    /// `InvalidOption`; `NothingSelected` if it is of another database.
    pub(super) fn new(select: &Selection, database: &str) -> Result<Self> {
        let none = |what: &str| {
            Err(Error::new(Code::NothingSelected, format!("the backup is of database {database}, which is {what}"))
                .next("leave out schemas: on MySQL and MariaDB a schema is a database"))
        };
        let schemas = Pattern::parse_all(&select.schemas, false)?;
        if !schemas.is_empty() && !schemas.iter().any(|p| fits(p, database, database)) {
            return none("not selected");
        }
        if Pattern::parse_all(&select.exclude_schemas, false)?.iter().any(|p| fits(p, database, database)) {
            return none("excluded");
        }
        Ok(Self {
            tables: Pattern::parse_all(&select.tables, true)?,
            without: Pattern::parse_all(&select.exclude_tables, true)?,
            no_rows: Pattern::parse_all(&select.exclude_data, true)?,
            schema_only: select.schema_only,
        })
    }

    /// Whether a table, view or sequence is taken, with what belongs to it.
    pub(super) fn takes(&self, database: &str, name: &str) -> bool {
        (self.tables.is_empty() || self.tables.iter().any(|p| fits(p, database, name)))
            && !self.without.iter().any(|p| fits(p, database, name))
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
            _ => self.tables.is_empty(),
        }
    }

    /// Makes sure that each pattern that names something names something that is there.
    ///
    /// # Errors
    /// `NothingSelected`.
    pub(super) fn check<'a>(&self, database: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let names: Vec<&str> = names.collect();
        for pattern in self.tables.iter().chain(&self.no_rows) {
            if !names.iter().any(|name| fits(pattern, database, name)) {
                let near = near(&pattern.letters(), names.iter().copied());
                let next = match near.as_slice() {
                    [] => "name a table that is there; `show` lists the tables".to_owned(),
                    near => format!("did you mean {}?", near.join(", ")),
                };
                let message = format!("there is no table `{}` in database {database}", pattern.text);
                return Err(Error::new(Code::NothingSelected, message).next(next));
            }
        }
        Ok(())
    }
}

/// Names are compared as they are, and also without regard to case, as many servers do.
fn fits(pattern: &Pattern, database: &str, name: &str) -> bool {
    pattern.fits(database, name) || pattern.fits(&database.to_lowercase(), &name.to_lowercase())
}

/// Leaves in a catalog what a restore is to bring.
pub(super) fn fit(catalog: &mut Catalog, options: &RestoreOptions) -> Result<()> {
    if !options.map.schemas.is_empty() || !options.map.tablespaces.is_empty() {
        return Err(Error::new(Code::InvalidOption, "MySQL and MariaDB have no schemas or tablespaces to map")
            .next("name another database in the target's URL"));
    }
    let database = catalog.database.clone();
    let picks = Picks::new(&options.select, &database)?;
    let names = catalog.objects.iter().filter(|o| matches!(o.kind, Kind::Table | Kind::View | Kind::Sequence));
    picks.check(&database, names.map(|o| o.name.as_str()))?;
    catalog.objects.retain(|o| picks.takes_object(&database, o));
    for table in catalog.objects.iter_mut().filter(|o| !picks.takes_rows(&database, &o.name)) {
        table.files.clear();
    }
    if options.select.data_only {
        catalog.objects.retain(|o| o.kind == Kind::Table);
    }
    Ok(())
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
        let picks = Picks::new(&select, "shop").unwrap();
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
        let missing = picks.check("shop", ["orders", "customers"].into_iter()).unwrap_err();
        assert_eq!(missing.code(), Code::NothingSelected);
        let other = Selection { schemas: vec!["app".into()], ..Selection::default() };
        assert_eq!(Picks::new(&other, "shop").unwrap_err().code(), Code::NothingSelected);
    }
}
