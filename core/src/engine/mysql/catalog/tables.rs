//! Tables as far as their rows are concerned: which columns are dumped and how, and by which key they can be cut.

use std::collections::HashMap;

use crate::error::Result;

use super::super::connect::Session;
use super::super::quote::{ident, literal, qualified};

/// A table whose rows are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine::mysql) struct TableData {
    pub(in crate::engine::mysql) database: String,
    pub(in crate::engine::mysql) name: String,
    /// `InnoDB` …
    pub(in crate::engine::mysql) engine: String,
    /// Rows and bytes, as the server estimates them.
    pub(in crate::engine::mysql) rows: u64,
    pub(in crate::engine::mysql) bytes: u64,
    /// The columns that are dumped, in the table's order.
    pub(in crate::engine::mysql) columns: Vec<Column>,
    /// The primary key's columns.
    pub(in crate::engine::mysql) key: Vec<KeyColumn>,
    /// Whether old versions of rows are kept, and dumped.
    pub(in crate::engine::mysql) history: bool,
    /// Whether its rows can only come in by INSERT.
    pub(in crate::engine::mysql) insert_only: bool,
}

/// A column whose values are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine::mysql) struct Column {
    pub(in crate::engine::mysql) name: String,
    /// What is selected, so that nothing of the value is lost.
    pub(in crate::engine::mysql) select: String,
    pub(in crate::engine::mysql) form: Form,
    /// The most bytes that a value can have; 0 where that is not worth a question.
    pub(in crate::engine::mysql) most: u64,
}

/// How a value is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::mysql) enum Form {
    /// As it is.
    Number,
    /// Between quotes: bytes in the column's own character set.
    Text,
    /// Between quotes, as text in utf8mb4: MySQL takes JSON in no other way.
    Json,
}

/// A column of a primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine::mysql) struct KeyColumn {
    pub(in crate::engine::mysql) name: String,
    pub(in crate::engine::mysql) kind: KeyKind,
}

/// How values of a key can be told in a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::mysql) enum KeyKind {
    Integer,
    /// As a literal between quotes.
    Text,
    /// As hexadecimal digits.
    Binary,
    /// Not at all.
    Other,
}

impl TableData {
    /// Its name with its database's, as SQL wants it.
    pub(in crate::engine::mysql) fn qualified(&self) -> String {
        qualified(&self.database, &self.name)
    }

    /// The names of the columns that are dumped.
    pub(in crate::engine::mysql) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.clone()).collect()
    }

    /// Whether its rows are seen as they were when the snapshot was taken.
    pub(in crate::engine::mysql) fn is_transactional(&self) -> bool {
        matches!(self.engine.to_ascii_lowercase().as_str(), "innodb" | "rocksdb" | "tokudb" | "ndbcluster" | "xtradb")
    }
}

/// Reads what is known of a database's tables.
pub(in crate::engine::mysql) async fn read(session: &mut Session, database: &str) -> Result<Vec<TableData>> {
    let schema = literal(database);
    let sql = format!(
        "SELECT TABLE_NAME, ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_TYPE FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {schema} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME"
    );
    let mut tables: Vec<TableData> = session
        .query(&sql, "listing the tables")
        .await?
        .into_iter()
        .map(|row| {
            let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
            let number = |i: usize| text(i).parse().unwrap_or(0);
            TableData {
                database: database.to_owned(),
                name: text(0),
                engine: text(1),
                rows: number(2),
                bytes: number(3),
                columns: Vec::new(),
                key: Vec::new(),
                history: text(4) == "SYSTEM VERSIONED" && session.version.is_mariadb(10, 11),
                insert_only: false,
            }
        })
        .collect();
    let at: HashMap<String, usize> = tables.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, EXTRA, COALESCE(GENERATION_EXPRESSION, ''), NUMERIC_SCALE, \
         CHARACTER_OCTET_LENGTH \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {schema} ORDER BY TABLE_NAME, ORDINAL_POSITION"
    );
    let mariadb = session.version.mariadb;
    let mut types: HashMap<(usize, String), String> = HashMap::new();
    for row in session.query(&sql, "listing the columns").await? {
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        let Some(&index) = at.get(&text(0)) else { continue };
        let (name, kind, expression) = (text(1), text(2).to_ascii_lowercase(), text(4));
        types.insert((index, name.clone()), kind.clone());
        let table = &mut tables[index];
        let period = matches!(expression.as_str(), "ROW START" | "ROW END");
        let dumped = expression.is_empty() || (period && table.history);
        if !dumped || text(3).contains("VIRTUAL GENERATED") {
            continue;
        }
        table.insert_only |= kind == "json" && !mariadb;
        let (scaled, octets) = (text(5).parse::<u32>().is_ok(), text(6).parse().ok());
        table.columns.push(Column { most: most(&kind, octets), ..column(name, &kind, scaled, mariadb) });
    }
    for table in &mut tables {
        let has_period = table.columns.iter().any(|c| c.name.eq_ignore_ascii_case("row_start"));
        // A period that was not spelled out is in no list, but can be asked for.
        if table.history && !has_period && !explicit_period(session, table).await? {
            for name in ["row_start", "row_end"] {
                table.columns.push(Column { name: name.into(), select: name.into(), form: Form::Text, most: 0 });
            }
        }
    }
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = {schema} AND INDEX_NAME = 'PRIMARY' ORDER BY TABLE_NAME, SEQ_IN_INDEX"
    );
    for row in session.query(&sql, "listing the primary keys").await? {
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        let Some(&index) = at.get(&text(0)) else { continue };
        let kind = types.get(&(index, text(1))).map_or(KeyKind::Other, |kind| key_kind(kind));
        let kind = if text(2).is_empty() { kind } else { KeyKind::Other };
        tables[index].key.push(KeyColumn { name: text(1), kind });
    }
    Ok(tables)
}

/// Whether the table's columns for the period are its own.
async fn explicit_period(session: &mut Session, table: &TableData) -> Result<bool> {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
         AND GENERATION_EXPRESSION = 'ROW START'",
        literal(&table.database),
        literal(&table.name)
    );
    Ok(session.query_one(&sql, "looking for a period").await?.as_deref() != Some("0"))
}

fn column(name: String, kind: &str, scaled: bool, mariadb: bool) -> Column {
    let quoted = ident(&name);
    let (select, form) = match kind {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => (quoted, Form::Number),
        // The text of a FLOAT has six digits only; as a DOUBLE it has all of them.
        "float" => (format!("{quoted} * 1e0"), Form::Number),
        // As many digits as it has, not as many as are shown.
        "double" if scaled => (format!("{quoted} * 1e0"), Form::Number),
        "double" => (quoted, Form::Number),
        // Bytes, because text of no character set is not taken for these.
        "uuid" | "inet6" => (format!("CAST({quoted} AS BINARY(16))"), Form::Text),
        "inet4" => (format!("CAST({quoted} AS BINARY(4))"), Form::Text),
        "json" if !mariadb => (format!("CONVERT({quoted} USING utf8mb4)"), Form::Json),
        _ => (quoted, Form::Text),
    };
    Column { name, select, form, most: 0 }
}

/// The most bytes that a value of this type can have, where the server says how many or there is no end to them.
fn most(kind: &str, octets: Option<u64>) -> u64 {
    let endless =
        matches!(kind, "json" | "geometry" | "linestring" | "polygon" | "geometrycollection" | "geomcollection")
            || kind.starts_with("multi");
    octets.unwrap_or(if endless { u64::from(u32::MAX) } else { 0 })
}

fn key_kind(kind: &str) -> KeyKind {
    match kind {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => KeyKind::Integer,
        "char" | "varchar" | "date" | "datetime" | "decimal" | "uuid" | "inet6" | "inet4" => KeyKind::Text,
        "binary" | "varbinary" => KeyKind::Binary,
        _ => KeyKind::Other,
    }
}
