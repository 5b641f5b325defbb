//! Runs a script on the target.

use std::borrow::Cow;

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::engine::ByteStream;
use crate::engine::mysql::connect::{execute, query};
use crate::engine::mysql::databases::OWN;
use crate::engine::mysql::failure::{failure, number};
use crate::engine::mysql::quote::ident;
use crate::engine::script::{BATCH, Databases, Events, LeftOut, refused};
use crate::error::Result;
use crate::report::Warning;

use super::split::{Splitter, Statement};
use super::words::{Kind, kind, without_definer};

/// Rows of this many bytes are committed together.
const TRANSACTION: usize = 16 << 20;

/// A script finds the session as the stock client would open it, but for what only makes it slow, and for modes that
/// change where statements end. What a value loses is an error, unless the script says otherwise.
const START: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES', time_zone = @@global.time_zone, \
    foreign_key_checks = 0, unique_checks = 0, autocommit = 0";

/// What dump tools let their scripts set first, unless they were told to leave that out (`--compact`).
const OF_TOOL: &str = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'";

/// What of a script is run, and how.
#[derive(Debug, Clone, Default)]
pub(in crate::engine::mysql) struct Rules {
    /// Leave out definers: objects belong to the restoring account.
    pub(in crate::engine::mysql) no_owner: bool,
    /// The target was made for this restore: it takes the script's character set and collation.
    pub(in crate::engine::mysql) fresh: bool,
    /// Which database of a script that holds several.
    pub(in crate::engine::mysql) from_database: Option<String>,
}

/// An event that waits to be created until all else is there: it may run at once.
#[derive(Debug)]
pub(in crate::engine::mysql) struct Event {
    /// What sets the session as the script had it.
    settings: String,
    sql: Vec<u8>,
    line: u64,
}

/// Runs a whole script in the connection's database, which has this name. Returns what was left out, and the events.
/// The session is the script's own afterwards: close it.
///
/// # Errors
/// `UnsupportedScript`, `Damaged`, and what the server says.
pub(in crate::engine::mysql) async fn run(
    conn: &mut Conn,
    database: &str,
    data: ByteStream<'_>,
    rules: &Rules,
) -> Result<(Vec<Warning>, Vec<Event>)> {
    execute(conn, START, "beginning the script").await?;
    let mut run = Run {
        source: Events::of(data),
        database,
        rules,
        databases: Databases::new(rules.from_database.clone()),
        active: true,
        batch: Batch::default(),
        options: (String::new(), String::new()),
        events: Vec::new(),
        left_out: LeftOut::default(),
    };
    run.all(conn).await?;
    execute(conn, "COMMIT", "ending the script").await?;
    Ok((run.left_out.warnings(), run.events))
}

/// Creates the events of a script.
///
/// # Errors
/// What the server says.
pub(in crate::engine::mysql) async fn create_events(conn: &mut Conn, events: &[Event]) -> Result<()> {
    for event in events {
        let doing = format!("line {}", event.line);
        execute(conn, &event.settings, &doing).await?;
        conn.query_drop(&event.sql[..]).await.map_err(|e| failure(doing, e))?;
    }
    Ok(())
}

/// INSERT statements that wait to be sent together.
#[derive(Default)]
struct Batch {
    sql: Vec<u8>,
    lines: (u64, u64),
    /// Bytes sent since the last commit.
    sent: usize,
}

impl Batch {
    async fn add(&mut self, conn: &mut Conn, statement: Statement) -> Result<()> {
        if self.sql.is_empty() {
            self.lines.0 = statement.line;
            self.sql = statement.sql;
        } else {
            self.sql.extend_from_slice(b";\n");
            self.sql.extend_from_slice(&statement.sql);
        }
        self.lines.1 = statement.line;
        if self.sql.len() < BATCH {
            return Ok(());
        }
        self.send(conn).await?;
        if self.sent < TRANSACTION {
            return Ok(());
        }
        self.commit(conn).await
    }

    async fn send(&mut self, conn: &mut Conn) -> Result<()> {
        let sql = std::mem::take(&mut self.sql);
        if sql.is_empty() {
            return Ok(());
        }
        self.sent += sql.len();
        let (first, last) = self.lines;
        let place = if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
        conn.query_drop(sql).await.map_err(|e| failure(place, e))
    }

    async fn commit(&mut self, conn: &mut Conn) -> Result<()> {
        self.send(conn).await?;
        match std::mem::take(&mut self.sent) {
            0 => Ok(()),
            _ => execute(conn, "COMMIT", "writing rows").await,
        }
    }
}

struct Run<'a> {
    source: Events<'a, Splitter>,
    database: &'a str,
    rules: &'a Rules,
    databases: Databases,
    /// Whether statements are of the database that is restored: all are, before the first `USE`.
    active: bool,
    batch: Batch,
    /// The database that the script last created, and its options.
    options: (String, String),
    events: Vec<Event>,
    left_out: LeftOut,
}

impl Run<'_> {
    async fn all(&mut self, conn: &mut Conn) -> Result<()> {
        let mut next = self.source.next().await?;
        if self.source.splitter.is_of_tool() {
            execute(conn, OF_TOOL, "beginning the script").await?;
        }
        while let Some(statement) = next {
            let kind = kind(&statement.sql);
            match kind {
                Kind::Insert if self.active => self.batch.add(conn, statement).await?,
                kind => {
                    self.batch.commit(conn).await?;
                    self.statement(conn, statement, kind).await?;
                }
            }
            next = self.source.next().await?;
        }
        self.batch.commit(conn).await?;
        self.databases.finish(false)
    }

    async fn statement(&mut self, conn: &mut Conn, statement: Statement, kind: Kind) -> Result<()> {
        let line = statement.line;
        match kind {
            Kind::Refused(why) => Err(refused(line, why)),
            Kind::Use(name) => {
                let options = (self.options.0 == name).then(|| std::mem::take(&mut self.options.1));
                let everywhere = OWN.contains(&name.to_ascii_lowercase().as_str());
                self.active = self.databases.enter(name, line, everywhere)?;
                if !self.active {
                    return Ok(());
                }
                self.set_options(conn, &options.unwrap_or_default(), line).await
            }
            Kind::CreateDatabase(name, options) => {
                self.options = (name, options);
                Ok(())
            }
            // Settings are given and taken back across all of a script.
            Kind::Setting => self.setting(conn, &statement).await,
            Kind::Global => {
                self.left_out
                    .add("globals_left_out", format!("line {line}: accounts and settings belong to the server"));
                Ok(())
            }
            Kind::Replication => {
                let why = format!("line {line}: positions and the binary log belong to the server that was dumped");
                self.left_out.add("replication_left_out", why);
                Ok(())
            }
            _ if !self.active => Ok(()),
            Kind::AlterDatabase(options) => self.set_options(conn, &options, line).await,
            // The target is nobody else's, or stays as it is.
            Kind::Lock | Kind::DropDatabase => Ok(()),
            Kind::Event => {
                let settings = "SELECT CONCAT('SET SESSION sql_mode = ', QUOTE(@@sql_mode), ', time_zone = ', \
                    QUOTE(@@time_zone), ', character_set_client = ', @@character_set_client, \
                    ', collation_connection = ', @@collation_connection)";
                let rows = query(conn, settings, &format!("line {line}")).await?;
                let settings = rows.into_iter().flatten().flatten().next().unwrap_or_default();
                self.events.push(Event { settings, sql: self.owned(&statement.sql).into_owned(), line });
                Ok(())
            }
            Kind::Plain | Kind::Insert => {
                let sql = self.owned(&statement.sql);
                conn.query_drop(&*sql).await.map_err(|e| failure(format_args!("line {line}"), e))
            }
        }
    }

    /// A statement with the owner that its object is to have.
    fn owned<'s>(&self, sql: &'s [u8]) -> Cow<'s, [u8]> {
        if self.rules.no_owner { without_definer(sql) } else { Cow::Borrowed(sql) }
    }

    /// Sets a parameter of the session, if the server knows it and the value.
    async fn setting(&mut self, conn: &mut Conn, statement: &Statement) -> Result<()> {
        // No such variable, no such value, no such character set, no such collation.
        const UNKNOWN: [u16; 4] = [1193, 1231, 1115, 1273];
        let place = format!("line {}", statement.line);
        let Err(mut e) = conn.query_drop(&statement.sql[..]).await else { return Ok(()) };
        if let (Some(1231), Some(sql)) = (number(&e), without_old_mode(&statement.sql)) {
            match conn.query_drop(sql).await {
                Ok(()) => return Ok(()),
                Err(again) => e = again,
            }
        }
        let unknown = number(&e).is_some_and(|number| UNKNOWN.contains(&number));
        let e = failure(place, e);
        if !unknown {
            return Err(e);
        }
        self.left_out.add("setting_left_out", e.message().to_owned());
        Ok(())
    }

    async fn set_options(&mut self, conn: &mut Conn, options: &str, line: u64) -> Result<()> {
        if options.is_empty() {
            return Ok(());
        }
        if !self.rules.fresh {
            let why = format!("line {line}: the target keeps its own character set and collation");
            self.left_out.add("database_property", why);
            return Ok(());
        }
        execute(conn, &format!("ALTER DATABASE {} {options}", ident(self.database)), &format!("line {line}")).await
    }
}

/// The statement without the mode that MySQL 5.7 had by default and MySQL 8 does not know.
fn without_old_mode(sql: &[u8]) -> Option<String> {
    const OLD: &str = "NO_AUTO_CREATE_USER";
    let sql = std::str::from_utf8(sql).ok().filter(|sql| sql.contains(OLD))?;
    Some(sql.replace(&format!("{OLD},"), "").replace(&format!(",{OLD}"), "").replace(OLD, ""))
}
