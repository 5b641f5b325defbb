//! The files of a dump: mydumper's layout, which `myloader` and the `mariadb` client load, and beside it the catalog
//! that our own restore reads.

use std::cmp::Reverse;
use std::collections::HashSet;

use bytes::Bytes;

use crate::engine::{DumpFile, FileRole};
use crate::error::Result;
use crate::report::ConsistencyPoint;

use super::catalog::tables::TableData;
use super::catalog::{self, Catalog, Dump, Kind, Object};
use super::names;
use super::plan::Range;
use super::program;
use super::quote::{ident, literal, qualified};
use super::session::Version;

/// Where the bytes of a file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// They are here already.
    Memory(Bytes),
    /// Rows of a table.
    Rows { table: usize, range: Range },
}

/// Plans the files of a dump, and writes into its catalogs where each table's rows will be.
pub(super) fn plan(
    dump: &mut Dump,
    tables: &[TableData],
    ranges: Vec<Vec<Range>>,
    point: &ConsistencyPoint,
) -> Result<Vec<(DumpFile, Source)>> {
    let mut names = Names::default();
    let (mut stock, mut rows) = (vec![text_file("metadata".to_owned(), metadata(dump, point))], Vec::new());
    for catalog in &mut dump.databases {
        plan_database(catalog, tables, &ranges, &mut names, (&mut stock, &mut rows));
    }
    if !dump.accounts.is_empty() {
        // Not by a name that `myloader` would run.
        let statements = dump.accounts.iter().flat_map(|a| std::iter::once(&a.create).chain(&a.grants));
        let text = statements.map(|statement| format!("{statement};\n")).collect();
        stock.push(text_file("accounts.sql.txt".to_owned(), text));
    }
    // A stable sort: the parts of a table stay in their order.
    rows.sort_by_key(|(file, _)| Reverse(file.parts[0]));
    let bytes = dump.encode()?;
    let file = DumpFile { name: catalog::FILE.to_owned(), role: FileRole::Schema, parts: vec![bytes.len() as u64] };
    let mut planned = vec![(file, Source::Memory(bytes.into()))];
    planned.extend(stock);
    planned.extend(rows);
    Ok(planned)
}

type Planned = Vec<(DumpFile, Source)>;

/// Plans the files of one database.
fn plan_database(
    catalog: &mut Catalog,
    tables: &[TableData],
    ranges: &[Vec<Range>],
    names: &mut Names,
    (stock, rows): (&mut Planned, &mut Planned),
) {
    let database = names.safe(&catalog.database);
    let mut names = names.beside(&database);
    stock.push(text_file(format!("{database}-schema-create.sql"), create_database(catalog, &catalog.database)));
    let version = Version::parse(&catalog.server);
    let (mut post, mut triggers) = (String::new(), String::new());
    let sequences: Vec<Object> = catalog.of(Kind::Sequence).cloned().collect();
    for object in &mut catalog.objects {
        match object.kind {
            Kind::Table | Kind::Sequence => {
                let stem = format!("{database}.{}", names.safe(&object.name));
                // Stock tools go by the alphabet, or by no order at all.
                let drawn: String =
                    sequences.iter().filter(|s| draws_from(object, &catalog.database, s)).map(sequence).collect();
                let text = format!("{HEAD}{drawn}{}", definition(object, &catalog.database));
                stock.push(text_file(format!("{stem}-schema.sql"), text));
                let is_its = |t: &TableData| t.name == object.name && t.database == catalog.database;
                if let Some((index, ranges)) = tables.iter().position(is_its).and_then(|i| Some((i, ranges.get(i)?)))
                    && object.kind == Kind::Table
                {
                    for (number, range) in ranges.iter().enumerate() {
                        let name = format!("{stem}.{number:05}.sql");
                        object.files.push(name.clone());
                        let file = DumpFile { name, role: FileRole::Data, parts: vec![range.bytes.max(1)] };
                        rows.push((file, Source::Rows { table: index, range: range.clone() }));
                    }
                }
            }
            Kind::View => {
                let stem = format!("{database}.{}", names.safe(&object.name));
                stock.push(text_file(format!("{stem}-schema.sql"), placeholder(object)));
                stock.push(text_file(format!("{stem}-schema-view.sql"), view(object, &version)));
            }
            Kind::Trigger => triggers += &program::stock(object, &version),
            _ => post += &program::stock(object, &version),
        }
    }
    // One file for all of them: their order counts. They are there even if they do nothing, as is one for views, so that
    // a command that names them works for every dump.
    let file = |name: &str, text: &str| text_file(format!("{database}{name}"), format!("{HEAD}{text}"));
    stock.push(file(".lastgood-schema-triggers.sql", &triggers));
    stock.push(file(".lastgood-schema-view.sql", ""));
    stock.push(file("-schema-post.sql", &post));
}

/// The statement that creates a database like the source under a name.
pub(super) fn create_database(catalog: &Catalog, name: &str) -> String {
    let Catalog { charset, collation, comment, .. } = catalog;
    let comment = match comment.as_str() {
        "" => String::new(),
        comment => format!(" COMMENT {}", literal(comment)),
    };
    format!("CREATE DATABASE {} DEFAULT CHARACTER SET {charset} COLLATE {collation}{comment};\n", ident(name))
}

fn text_file(name: String, text: String) -> (DumpFile, Source) {
    let parts = vec![text.len() as u64];
    (DumpFile { name, role: FileRole::Data, parts }, Source::Memory(text.into_bytes().into()))
}

fn metadata(dump: &Dump, point: &ConsistencyPoint) -> String {
    let databases: Vec<&str> = dump.databases.iter().map(|c| c.database.as_str()).collect();
    format!(
        "# Started dump at: {}\n# lastgood {} of {} {}\n# {}: {}\n",
        point.at,
        env!("CARGO_PKG_VERSION"),
        databases.join(", "),
        dump.databases.first().map_or("", |c| c.server.as_str()),
        point.kind,
        point.position
    )
}

/// The settings that any client needs before definitions.
pub(super) const HEAD: &str = "/*!40101 SET NAMES utf8mb4*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n\
    /*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'*/;\n/*!40103 SET TIME_ZONE='+00:00' */;\n";

/// The statements that make a table or a sequence in whatever database the client is in.
pub(super) fn definition(object: &Object, database: &str) -> String {
    match object.kind {
        Kind::Sequence => sequence(object),
        _ => format!("{};\n", program::one_line_ends(&names::without(database, &object.sql))),
    }
}

fn sequence(object: &Object) -> String {
    let sql = object.sql.replacen("CREATE SEQUENCE ", "CREATE SEQUENCE IF NOT EXISTS ", 1);
    let state = if object.state.is_empty() { String::new() } else { format!("{};\n", object.state) };
    format!("{};\n{state}", program::one_line_ends(&sql))
}

/// Whether a column's default takes its numbers from a sequence of the table's database.
fn draws_from(table: &Object, database: &str, sequence: &Object) -> bool {
    table.kind == Kind::Table && table.sql.contains(&format!("nextval({})", qualified(database, &sequence.name)))
}

/// A table with the view's columns, for as long as other definitions may refer to it.
pub(super) fn placeholder(view: &Object) -> String {
    let columns: Vec<String> = view.columns.iter().map(|c| format!("{} tinyint", ident(c))).collect();
    let columns = if columns.is_empty() { "`invalid` tinyint".to_owned() } else { columns.join(", ") };
    format!("{HEAD}CREATE TABLE IF NOT EXISTS {} ({columns});\n", ident(&view.name))
}

fn view(object: &Object, version: &Version) -> String {
    let name = ident(&object.name);
    format!("{HEAD}DROP TABLE IF EXISTS {name};\nDROP VIEW IF EXISTS {name};\n{}", program::stock(object, version))
}

/// Names that can be a part of a file's name anywhere.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    replaced: usize,
}

impl Names {
    /// For what a database of this safe name holds.
    fn beside(&self, database: &str) -> Self {
        Self { taken: HashSet::from([database.to_ascii_lowercase()]), replaced: self.replaced }
    }

    /// The name itself, or `mydumper_1`, `mydumper_2` … as mydumper has it.
    fn safe(&mut self, name: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let whole = !name.is_empty()
            && name.len() <= 100
            && name.chars().all(plain)
            && !name.starts_with("mydumper_")
            && name != "lastgood"
            && !name.ends_with("-schema")
            && self.taken.insert(name.to_ascii_lowercase());
        if whole {
            return name.to_owned();
        }
        self.replaced += 1;
        format!("mydumper_{}", self.replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_that_any_disk_takes() {
        let mut names = Names::default();
        let given = ["orders", "Orders", "a.b", "../x", "", "tab\nle", "mydumper_1", "größe", "x-schema"];
        let safe: Vec<String> = given.iter().map(|n| names.safe(n)).collect();
        assert_eq!(safe[0], "orders");
        let expected: Vec<String> = (1..=8).map(|n| format!("mydumper_{n}")).collect();
        assert_eq!(safe[1..], expected);
    }
}
