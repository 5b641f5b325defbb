//! Reads the definitions of a database from its server.

use std::collections::HashMap;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Row, Value};

use crate::error::Result;
use crate::format::checksum::RowHasher;
use crate::report::Warning;

use super::super::connect::Session;
use super::super::failure::{failure, is_denied, is_gone};
use super::super::program::definer_of;
use super::super::quote::{ident, literal, qualified};
use super::super::select::Picks;
use super::super::snapshot::changed;
use super::tables::TableData;
use super::{Catalog, Kind, Object, Settings};

/// Reads everything of a database but rows. `tables` are those whose rows are dumped.
pub(in crate::engine::mysql) async fn read(
    session: &mut Session,
    database: &str,
    tables: &[TableData],
    picks: &Picks,
) -> Result<(Catalog, Vec<Warning>)> {
    // Definitions are shown without the name of the database that the session is in.
    session.enter(database).await?;
    let mut reader = Reader { session, database, picks, warnings: Vec::new() };
    let mut catalog = reader.database().await?;
    reader.tables(&mut catalog, tables).await?;
    reader.routines(&mut catalog).await?;
    reader.triggers(&mut catalog).await?;
    reader.events(&mut catalog).await?;
    catalog.objects.retain(|o| picks.takes_object(database, o));
    catalog.objects.sort_by_key(|o| o.kind);
    Ok((catalog, reader.warnings))
}

/// What changes whenever a definition in one of these databases does.
pub(in crate::engine::mysql) async fn fingerprint(session: &mut Session, databases: &[String]) -> Result<String> {
    let mut hasher = RowHasher::default();
    for database in databases {
        hasher.add(database.as_bytes());
        add_definitions(session, database, &mut hasher).await?;
    }
    Ok(hasher.hash())
}

async fn add_definitions(session: &mut Session, database: &str, hasher: &mut RowHasher) -> Result<()> {
    let schema = literal(database);
    for sql in [
        format!(
            "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema}"
        ),
        format!(
            "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, COLUMN_DEFAULT, IS_NULLABLE, EXTRA FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = {schema}"
        ),
        format!(
            "SELECT TABLE_NAME, DEFINER, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {schema}"
        ),
        format!(
            "SELECT ROUTINE_NAME, ROUTINE_TYPE, LAST_ALTERED, DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema}"
        ),
        format!(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT, DEFINER FROM information_schema.TRIGGERS \
             WHERE TRIGGER_SCHEMA = {schema}"
        ),
        format!(
            "SELECT EVENT_NAME, LAST_ALTERED, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema}"
        ),
    ] {
        for row in session.query(&sql, "comparing definitions").await? {
            hasher.add(format!("{database} {row:?}").as_bytes());
        }
    }
    Ok(())
}

struct Reader<'a> {
    session: &'a mut Session,
    database: &'a str,
    picks: &'a Picks,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    async fn database(&mut self) -> Result<Catalog> {
        let comment = if self.session.version.is_mariadb(10, 5) { "SCHEMA_COMMENT" } else { "''" };
        let sql = format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME, {comment} FROM information_schema.SCHEMATA \
             WHERE SCHEMA_NAME = {}",
            literal(self.database)
        );
        let row = self.session.query(&sql, "reading the database's options").await?.into_iter().next();
        let row = row.ok_or_else(|| changed("the database is not there any more"))?;
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        Ok(Catalog {
            database: self.database.to_owned(),
            server: self.session.version.text.clone(),
            charset: text(0),
            collation: text(1),
            comment: text(2),
            ..Catalog::default()
        })
    }

    async fn tables(&mut self, catalog: &mut Catalog, tables: &[TableData]) -> Result<()> {
        let own = tables.iter().filter(|t| t.database == self.database);
        let data: HashMap<&str, &TableData> = own.map(|t| (t.name.as_str(), t)).collect();
        let sql = format!(
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME",
            literal(self.database)
        );
        let columns = self.view_columns().await?;
        for row in self.session.query(&sql, "listing the tables").await? {
            let mut row = row.into_iter().map(Option::unwrap_or_default);
            let (name, kind) = (row.next().unwrap_or_default(), row.next().unwrap_or_default());
            if !self.picks.takes(self.database, &name) {
                continue;
            }
            match kind.as_str() {
                "VIEW" => self.view(catalog, name, &columns).await?,
                "SEQUENCE" => self.sequence(catalog, name).await?,
                "BASE TABLE" | "SYSTEM VERSIONED" => {
                    let table = data.get(name.as_str());
                    let table =
                        table.ok_or_else(|| changed(&format!("table {name} appeared while definitions were read")))?;
                    let Some(row) = self.show(Kind::Table, &name).await? else { continue };
                    let mut object = Object::new(Kind::Table, name, row.text("Create Table"));
                    object.columns = table.names();
                    object.history = table.history;
                    object.insert_only = table.insert_only;
                    catalog.objects.push(object);
                }
                // `SYSTEM VIEW`, `TEMPORARY` …
                other => self.warn("unsupported_object", format!("{name} is a {other}, which is not dumped")),
            }
        }
        Ok(())
    }

    /// The columns of each view. A view that cannot be used any more has none.
    async fn view_columns(&mut self) -> Result<HashMap<String, Vec<String>>> {
        let sql = format!(
            "SELECT c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c JOIN information_schema.VIEWS v \
             ON v.TABLE_SCHEMA = c.TABLE_SCHEMA AND v.TABLE_NAME = c.TABLE_NAME \
             WHERE c.TABLE_SCHEMA = {} ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION",
            literal(self.database)
        );
        let mut columns: HashMap<String, Vec<String>> = HashMap::new();
        for row in self.session.query(&sql, "listing the columns of views").await? {
            if let [Some(view), Some(column)] = row.as_slice() {
                columns.entry(view.clone()).or_default().push(column.clone());
            }
        }
        Ok(columns)
    }

    async fn view(
        &mut self,
        catalog: &mut Catalog,
        name: String,
        columns: &HashMap<String, Vec<String>>,
    ) -> Result<()> {
        let Some(row) = self.show(Kind::View, &name).await? else { return Ok(()) };
        let mut object = Object::new(Kind::View, name, row.text("Create View"));
        object.columns = columns.get(&object.name).cloned().unwrap_or_default();
        if object.columns.is_empty() {
            self.warn(
                "invalid_view",
                format!("view {} refers to what is not there: it was dumped as it is", object.name),
            );
        }
        object.definer = definer_of(&object.sql);
        object.session = Some(row.settings(false));
        catalog.objects.push(object);
        Ok(())
    }

    async fn sequence(&mut self, catalog: &mut Catalog, name: String) -> Result<()> {
        let Some(row) = self.show(Kind::Sequence, &name).await? else { return Ok(()) };
        let mut object = Object::new(Kind::Sequence, name, row.text("Create Table"));
        let sql = format!("SELECT next_not_cached_value, cycle_count FROM {}", qualified(self.database, &object.name));
        let values = self.session.query(&sql, &format!("reading {}", object.describe())).await?;
        if let Some([Some(next), Some(cycle)]) = values.first().map(Vec::as_slice) {
            object.state = format!("DO SETVAL({}, {next}, 0, {cycle})", ident(&object.name));
        }
        catalog.objects.push(object);
        Ok(())
    }

    async fn routines(&mut self, catalog: &mut Catalog) -> Result<()> {
        let sql = format!(
            "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {} \
             ORDER BY ROUTINE_TYPE, ROUTINE_NAME",
            literal(self.database)
        );
        for row in self.session.query(&sql, "listing the routines").await? {
            let mut row = row.into_iter().map(Option::unwrap_or_default);
            let (kind, name) = (row.next().unwrap_or_default(), row.next().unwrap_or_default());
            let (kind, column) = match kind.as_str() {
                "FUNCTION" => (Kind::Function, "Create Function"),
                "PROCEDURE" => (Kind::Procedure, "Create Procedure"),
                "PACKAGE" => (Kind::Package, "Create Package"),
                "PACKAGE BODY" => (Kind::PackageBody, "Create Package Body"),
                other => {
                    self.warn("unsupported_object", format!("{name} is a {other}, which is not dumped"));
                    continue;
                }
            };
            if let Some(row) = self.show(kind, &name).await? {
                self.program(catalog, kind, name, &row, column);
            }
        }
        Ok(())
    }

    async fn triggers(&mut self, catalog: &mut Catalog) -> Result<()> {
        let sql = format!(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, DEFINER \
             FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {} \
             ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
            literal(self.database)
        );
        for row in self.session.query(&sql, "listing the triggers").await? {
            let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
            let (name, table) = (text(0), text(1));
            if !self.picks.takes(self.database, &table) {
                continue;
            }
            let Some(shown) = self.show(Kind::Trigger, &name).await? else { continue };
            self.program(catalog, Kind::Trigger, name.clone(), &shown, "SQL Original Statement");
            if let Some(object) = catalog.objects.last_mut().filter(|o| o.name == name) {
                if names_a_database(&object.sql) {
                    // It would be created in that database wherever it is restored.
                    object.sql = format!(
                        "CREATE DEFINER={} TRIGGER {} {} {} ON {} FOR EACH ROW {}",
                        account(&text(5)),
                        ident(&name),
                        text(2),
                        text(3),
                        ident(&table),
                        text(4)
                    );
                }
                object.definer = text(5);
                object.table = table;
            }
        }
        Ok(())
    }

    async fn events(&mut self, catalog: &mut Catalog) -> Result<()> {
        let sql = format!(
            "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {} ORDER BY EVENT_NAME",
            literal(self.database)
        );
        for name in self.session.query(&sql, "listing the events").await?.into_iter().flatten().flatten() {
            if let Some(row) = self.show(Kind::Event, &name).await? {
                self.program(catalog, Kind::Event, name, &row, "Create Event");
            }
        }
        Ok(())
    }

    fn program(&mut self, catalog: &mut Catalog, kind: Kind, name: String, row: &Shown, column: &str) {
        let sql = row.text(column);
        if sql.is_empty() {
            self.unreadable(kind, &name);
            return;
        }
        let mut object = Object::new(kind, name, sql);
        object.definer = definer_of(&object.sql);
        let mut settings = row.settings(kind == Kind::Event);
        if settings.database_collation.as_deref() == Some(&catalog.collation) {
            settings.database_collation = None;
        }
        object.session = Some(settings);
        catalog.objects.push(object);
    }

    /// What the server shows of an object; none if the account may not see it, which is told.
    async fn show(&mut self, kind: Kind, name: &str) -> Result<Option<Shown>> {
        // Without the database's name the text has none either. The session is in it.
        let sql = format!("SHOW CREATE {} {}", kind.word(), ident(name));
        let doing = format!("reading {} {name}", kind.word().to_lowercase());
        match self.session.conn.query_first::<Row, _>(&sql).await {
            Ok(row) => Ok(row.map(Shown::new)),
            Err(e) if is_denied(&e) => {
                self.unreadable(kind, name);
                Ok(None)
            }
            Err(e) if is_gone(&e) => Err(changed(failure(doing, e).message())),
            Err(e) => Err(failure(doing, e)),
        }
    }

    fn unreadable(&mut self, kind: Kind, name: &str) {
        let next = match kind {
            Kind::View => "grant SHOW VIEW",
            Kind::Trigger => "grant TRIGGER",
            Kind::Event => "grant EVENT",
            Kind::Table | Kind::Sequence => "grant SELECT",
            _ => "grant SELECT on mysql.proc (MariaDB), SHOW CREATE ROUTINE (11.3 and later) or SHOW_ROUTINE (MySQL)",
        };
        let word = kind.word().to_lowercase();
        self.warn("unreadable_definition", format!("{word} {name} is missing: the account may not read it; {next}"));
    }

    fn warn(&mut self, code: &str, message: String) {
        self.warnings.push(Warning::new(code, message));
    }
}

/// A row of SHOW CREATE, by the names of its columns.
struct Shown(HashMap<String, String>);

impl Shown {
    fn new(row: Row) -> Self {
        let names: Vec<String> = row.columns_ref().iter().map(|c| c.name_str().into_owned()).collect();
        let values = row.unwrap().into_iter().map(|value| match value {
            Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            _ => String::new(),
        });
        Self(names.into_iter().zip(values).collect())
    }

    fn text(&self, column: &str) -> String {
        self.0.get(column).cloned().unwrap_or_default()
    }

    fn settings(&self, event: bool) -> Settings {
        Settings {
            sql_mode: self.0.get("sql_mode").cloned(),
            charset: self.text("character_set_client"),
            collation: self.text("collation_connection"),
            database_collation: self.0.get("Database Collation").cloned(),
            time_zone: event.then(|| self.text("time_zone")),
        }
    }
}

/// `user@host` as SQL wants it.
pub(in crate::engine::mysql) fn account(name: &str) -> String {
    match name.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", ident(user), ident(host)),
        None => ident(name),
    }
}

/// Whether the head of a trigger's text, up to `FOR EACH ROW`, names a database.
fn names_a_database(sql: &str) -> bool {
    let upper = sql.to_ascii_uppercase();
    let start = upper.find("TRIGGER").map_or(0, |at| at + "TRIGGER".len());
    let end = upper.find("FOR EACH ROW").or_else(|| upper.find("EACH ROW")).unwrap_or(sql.len());
    sql.get(start..end.max(start)).is_some_and(|head| head.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_that_name_their_database_are_noticed() {
        assert!(names_a_database("CREATE TRIGGER shop.t BEFORE INSERT ON orders FOR EACH ROW SET NEW.a = 1"));
        assert!(names_a_database("create trigger t before insert on `shop`.`orders` for each row set new.a = 1"));
        assert!(!names_a_database("CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.a = 1"));
    }
}
