//! Runs a script on the target, or the INSERT statements that an archive has in place of rows.

use bytes::Bytes;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::engine::ByteStream;
use crate::engine::postgres::connect::execute;
use crate::engine::postgres::failure::{failure, state};
use crate::engine::script::{BATCH, Events, LeftOut, refused};
use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::command;
use super::sections::Sections;
use super::split::{Event, Splitter};
use super::words::{Kind, kind};

/// A script finds the session as psql would open it, but for what only makes it slow or stops it.
const START: &str = "RESET ALL; SET synchronous_commit = off; SET statement_timeout = 0; SET lock_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; SET default_transaction_read_only = off";

/// What of a script is run, and how.
#[derive(Debug, Clone, Default)]
pub(in crate::engine::postgres) struct Rules {
    /// Leave owners as the restoring user.
    pub(in crate::engine::postgres) no_owner: bool,
    /// Leave out grants.
    pub(in crate::engine::postgres) no_privileges: bool,
    /// Everything or nothing: the target is in use, and nothing of a failed restore may stay.
    pub(in crate::engine::postgres) one_transaction: bool,
    /// Which database of a script of pg_dumpall.
    pub(in crate::engine::postgres) from_database: Option<String>,
}

/// Runs a whole script. Returns what was left out.
///
/// # Errors
/// `UnsupportedScript`, `Damaged`, and what the server says.
pub(in crate::engine::postgres) async fn run(
    conn: &mut PgConnection,
    data: ByteStream<'_>,
    rules: &Rules,
) -> Result<Vec<Warning>> {
    let mut run = Run {
        source: Events::of(data),
        rules,
        sections: Sections::new(rules.from_database.clone()),
        batch: Batch::default(),
        left_out: LeftOut::default(),
    };
    execute(conn, START, "beginning the script").await?;
    if rules.one_transaction {
        execute(conn, "BEGIN", "beginning the script").await?;
    }
    run.all(conn).await?;
    // What the script set is its own.
    let end = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET client_encoding; SET search_path = ''";
    execute(conn, end, "ending the script").await?;
    if rules.one_transaction {
        execute(conn, "COMMIT", "ending the script").await?;
    }
    Ok(run.left_out.warnings())
}

/// Runs the INSERT statements of one table, and nothing else.
///
/// # Errors
/// `Damaged` when there is something else among them; what the server says.
pub(in crate::engine::postgres) async fn inserts(
    conn: &mut PgConnection,
    data: ByteStream<'_>,
    doing: &str,
) -> Result<()> {
    let mut source = Events::<Splitter>::of(data);
    let mut batch = Batch::default();
    while let Some(event) = source.next().await.map_err(|e| e.at(doing))? {
        match event {
            Event::Statement { sql, line } if matches!(kind(&sql), Kind::Insert | Kind::Setting) => {
                batch.add(conn, &sql, line).await.map_err(|e| e.at(doing))?;
            }
            _ => {
                let line = source.splitter.line();
                return Err(Error::new(Code::Damaged, format!("{doing}: line {line} is no INSERT"))
                    .next("use another copy of this dump or another backup"));
            }
        }
    }
    batch.send(conn).await.map_err(|e| e.at(doing))
}

/// INSERT statements that wait to be sent together.
#[derive(Default)]
struct Batch {
    sql: String,
    lines: (u64, u64),
}

impl Batch {
    async fn add(&mut self, conn: &mut PgConnection, sql: &str, line: u64) -> Result<()> {
        if self.sql.is_empty() {
            self.lines.0 = line;
        }
        self.lines.1 = line;
        self.sql.push_str(sql);
        self.sql.push_str(";\n");
        if self.sql.len() >= BATCH { self.send(conn).await } else { Ok(()) }
    }

    async fn send(&mut self, conn: &mut PgConnection) -> Result<()> {
        if self.sql.is_empty() {
            return Ok(());
        }
        let sql = std::mem::take(&mut self.sql);
        execute(conn, &sql, &format!("lines {} to {}", self.lines.0, self.lines.1)).await
    }
}

struct Run<'a> {
    source: Events<'a, Splitter>,
    rules: &'a Rules,
    sections: Sections,
    batch: Batch,
    left_out: LeftOut,
}

impl Run<'_> {
    async fn all(&mut self, conn: &mut PgConnection) -> Result<()> {
        while let Some(event) = self.source.next().await? {
            match event {
                Event::Cluster => self.sections.enter_cluster(),
                Event::Command { text, line } => {
                    self.batch.send(conn).await?;
                    self.sections.follow(command::parse(&text, line)?, line)?;
                }
                Event::Statement { sql, .. } if !self.sections.active() => {
                    if kind(&sql) == Kind::Global {
                        self.left_out.add("globals_left_out", "roles and tablespaces belong to the server".to_owned());
                    }
                }
                Event::Statement { sql, line } => self.statement(conn, &sql, line).await?,
                Event::Copy { sql, line } => {
                    self.batch.send(conn).await?;
                    self.copy(conn, &sql, line).await?;
                }
                Event::Rows(_) | Event::EndOfRows => {
                    return Err(Error::new(Code::Internal, "rows of a script without their statement"));
                }
            }
        }
        self.batch.send(conn).await?;
        self.sections.finish()
    }

    async fn statement(&mut self, conn: &mut PgConnection, sql: &str, line: u64) -> Result<()> {
        let kind = kind(sql);
        if kind == Kind::Insert {
            return self.batch.add(conn, sql, line).await;
        }
        self.batch.send(conn).await?;
        match kind {
            Kind::Owner if self.rules.no_owner => Ok(()),
            Kind::Privilege if self.rules.no_privileges => Ok(()),
            Kind::Transaction if self.rules.one_transaction => Ok(()),
            Kind::Database => {
                let why = format!("line {line}: the target keeps its own name, options and settings");
                self.left_out.add("database_property", why);
                Ok(())
            }
            Kind::Global => {
                self.left_out
                    .add("globals_left_out", format!("line {line}: roles and tablespaces belong to the server"));
                Ok(())
            }
            Kind::ServerFile => Err(refused(line, "COPY moves data between the server and its own files or programs")),
            Kind::Removal | Kind::Remark | Kind::Setting => self.forgiving(conn, sql, line, kind).await,
            _ => execute(conn, sql, &format!("line {line}")).await,
        }
    }

    /// Runs a statement that may fail without harm.
    async fn forgiving(&mut self, conn: &mut PgConnection, sql: &str, line: u64, kind: Kind) -> Result<()> {
        let doing = format!("line {line}");
        if self.rules.one_transaction {
            execute(conn, "SAVEPOINT lastgood_statement", &doing).await?;
        }
        let end = match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await {
            Ok(_) => "RELEASE lastgood_statement",
            Err(e) if forgiven(kind, state(&e).as_deref().unwrap_or_default()) => {
                if kind != Kind::Removal {
                    let code = if kind == Kind::Remark { "remark_left_out" } else { "setting_left_out" };
                    self.left_out.add(code, failure(&doing, e).message().to_owned());
                }
                "ROLLBACK TO lastgood_statement; RELEASE lastgood_statement"
            }
            Err(e) => return Err(failure(doing, e)),
        };
        if self.rules.one_transaction { execute(conn, end, &doing).await } else { Ok(()) }
    }

    async fn copy(&mut self, conn: &mut PgConnection, sql: &str, line: u64) -> Result<()> {
        let active = self.sections.active();
        let mut copy = match active {
            true => Some(conn.copy_in_raw(sql).await.map_err(|e| failure(format_args!("line {line}"), e))?),
            false => None,
        };
        let mut message: Vec<u8> = Vec::with_capacity(if active { 2 * BATCH } else { 0 });
        loop {
            let rows: Bytes = match self.source.next().await? {
                Some(Event::Rows(rows)) => rows,
                Some(Event::EndOfRows) => break,
                _ => return Err(Error::new(Code::Internal, format!("line {line}: rows without an end"))),
            };
            let Some(copy) = &mut copy else { continue };
            message.extend_from_slice(&rows);
            if message.len() >= BATCH {
                copy.send(&message[..]).await.map_err(|e| failure(format_args!("line {line}"), e))?;
                message.clear();
            }
        }
        if let Some(mut copy) = copy {
            let failed = |e| failure(format_args!("line {line}"), e);
            if !message.is_empty() {
                copy.send(&message[..]).await.map_err(failed)?;
            }
            copy.finish().await.map_err(failed)?;
        }
        Ok(())
    }
}

/// Whether a statement of this kind may fail so.
fn forgiven(kind: Kind, state: &str) -> bool {
    match kind {
        // What a script of pg_dump --clean removes first need not be there.
        Kind::Removal => matches!(state, "42P01" | "42703" | "42704" | "42883" | "3F000"),
        // Of an extension that the provider installed, for example.
        Kind::Remark => state == "42501",
        // A parameter, or a value of it, that this version of the server does not know.
        Kind::Setting => matches!(state, "42704" | "22023"),
        _ => false,
    }
}
