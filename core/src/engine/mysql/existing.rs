//! Rows alone, into tables that are there.

use crate::error::{Code, Error, Result};

use super::catalog::{Catalog, Kind};
use super::connect::Session;
use super::quote::{idents, qualified};

/// Makes sure that each table is there with the columns that come, and empty unless rows may be added to its own.
pub(super) async fn check(session: &mut Session, catalog: &Catalog, database: &str, overwrite: bool) -> Result<()> {
    for table in catalog.of(Kind::Table).filter(|t| !t.files.is_empty()) {
        let name = qualified(database, &table.name);
        let sql = format!("SELECT {} FROM {name} LIMIT 1", idents(&table.columns));
        let row = session.query_one(&sql, &format!("looking at table {}", table.name)).await?;
        if row.is_some() && !overwrite {
            return Err(Error::new(
                Code::TargetNotEmpty,
                format!("table {} of database {database} has rows", table.name),
            )
            .next("empty it, or say that rows may be added (overwrite)"));
        }
    }
    Ok(())
}

/// Takes back rows that came into empty tables.
pub(super) async fn empty(session: &mut Session, catalog: &Catalog, database: &str) -> Result<()> {
    for table in catalog.of(Kind::Table).filter(|t| !t.files.is_empty()) {
        let sql = format!("DELETE FROM {}", qualified(database, &table.name));
        session.execute(&sql, &format!("taking back the rows of {}", table.name)).await?;
    }
    Ok(())
}
