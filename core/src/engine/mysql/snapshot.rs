//! Takes one consistent snapshot of one database or several on several connections.
//!
//! Every connection holds every table's definition as it is. Then all commits are held back for an instant in which each
//! reader opens its view of the rows: by `BACKUP STAGE` (MariaDB), else by `FLUSH TABLES WITH READ LOCK`, else by `LOCK TABLES`. An
//! account that may do none of these reads on one connection.

use futures::future::try_join_all;
use jiff::Timestamp;
use mysql_async::prelude::Queryable as _;

use crate::engine::pool::open_up_to;
use crate::error::{Code, Error, Result};
use crate::report::{ConsistencyPoint, Warning};

use super::catalog::tables::{self, TableData};
use super::catalog::{self, Catalog};
use super::connect::{Role, Server, Session};
use super::failure::{failure, is_denied, is_gone, number};
use super::privileges;
use super::quote::{ident, literal};
use super::select::Picks;

/// How often a snapshot is tried while tables and definitions come and go.
const ATTEMPTS: usize = 8;

/// How long commits, and whoever waits behind us, are held up at most while a lock is being waited for, in seconds.
const LOCK_WAIT: u32 = 10;

/// The shortest time that all servers wait for a lock, in seconds.
const SHORT_WAIT: u32 = 1;

/// A snapshot, and the definitions in it.
pub(super) struct Taken {
    /// Keeps every table as it is until it ends its transaction.
    pub(super) guard: Session,
    /// Whether the guard shows the snapshot, too.
    pub(super) guard_reads: bool,
    /// Each of them shows the snapshot.
    pub(super) readers: Vec<Session>,
    pub(super) catalogs: Vec<Catalog>,
    pub(super) tables: Vec<TableData>,
    pub(super) point: ConsistencyPoint,
    pub(super) warnings: Vec<Warning>,
}

/// What holds back commits while the readers open their snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// `BACKUP STAGE BLOCK_COMMIT`.
    Stage,
    /// `FLUSH TABLES WITH READ LOCK`.
    Flush,
    /// `LOCK TABLES … READ`.
    Tables,
    /// Nothing can: one reader has to do.
    Nothing,
}

impl Taken {
    /// Takes a snapshot on up to `jobs` connections. Tries again when definitions change while it is being taken.
    pub(super) async fn new(server: &Server, picks: &Picks, jobs: usize) -> Result<Self> {
        for _ in 1..ATTEMPTS {
            match Self::attempt(server, picks, jobs).await {
                Err(e) if e.code() == Code::DatabaseChanged => tracing::debug!(%e, "taking the snapshot again"),
                result => return result,
            }
        }
        Self::attempt(server, picks, jobs).await
    }

    async fn attempt(server: &Server, picks: &Picks, jobs: usize) -> Result<Self> {
        let mut session = server.connect(Role::Catalog).await?;
        // Until this session ends, and so only as long as definitions are read.
        lock_instance(&mut session).await?;
        let mut guard = reader(server).await?;
        let databases = selected(&mut session, server, picks).await?;
        let mut tables = Vec::new();
        for database in &databases {
            tables.extend(tables::read(&mut session, database).await?);
        }
        tables.retain(|table| picks.takes(&table.database, &table.name));
        let (mut readers, fewer) = open_up_to(jobs.max(1), || reader(server)).await?;
        let mut warnings: Vec<Warning> = fewer.into_iter().collect();
        if readers.is_empty() {
            return Err(Error::new(Code::TooManyConnections, format!("{server} has no connection left for reading"))
                .next("use fewer jobs, or raise max_connections"));
        }
        // The guard alone waits for a migration to end. The others come right behind it: a migration that began in between
        // waits for the guard and lets nobody at the table who comes later, so waiting for it is of no use.
        touch(&mut guard, &tables, LOCK_WAIT).await?;
        try_join_all(readers.iter_mut().map(|reader| touch(reader, &tables, SHORT_WAIT))).await?;
        let before = catalog::fingerprint(&mut session, &databases).await?;
        let hold = hold(&mut session, &tables).await?;
        if hold == Hold::Nothing {
            let jobs = readers.len();
            readers.truncate(1);
            if jobs > 1 {
                let message = "the account may hold commits back by none of BACKUP STAGE, FLUSH TABLES WITH READ LOCK and \
                    LOCK TABLES, so one connection reads everything; grant RELOAD";
                warnings.push(Warning::new("one_connection", message));
            }
        }
        let guard_reads = hold != Hold::Nothing;
        let all = readers.iter_mut().chain(guard_reads.then_some(&mut guard));
        let opened = try_join_all(all.map(|session| open(session, &tables))).await;
        let point = match opened {
            Ok(_) => point(&mut session, &mut readers[0]).await,
            Err(e) => Err(e),
        };
        // Whatever happened, nobody is to wait for us any longer.
        release(&mut session, hold).await?;
        let point = point?;
        let mut catalogs = Vec::with_capacity(databases.len());
        for database in &databases {
            let (catalog, told) = catalog::read(&mut session, database, &tables, picks).await?;
            catalogs.push(catalog);
            let which = if databases.len() > 1 { format!("{database}: ") } else { String::new() };
            warnings.extend(told.into_iter().map(|w| Warning::new(&w.code, format!("{which}{}", w.message))));
        }
        // Whoever takes definitions only, or not the rows of some, still gets all of the definitions.
        tables.retain(|table| picks.takes_rows(&table.database, &table.name));
        warnings.extend(privileges::warn(&mut session, server.databases(), &databases).await?);
        if selected(&mut session, server, picks).await? != databases
            || catalog::fingerprint(&mut session, &databases).await? != before
        {
            return Err(changed("definitions changed while they were read"));
        }
        warnings.extend(moving(&tables, hold));
        session.close().await;
        Ok(Self { guard, guard_reads, readers, catalogs, tables, point, warnings })
    }
}

/// Keeps everybody from changing definitions, where the server and the account can (MySQL 8, BACKUP_ADMIN). Elsewhere changes
/// are noticed.
async fn lock_instance(session: &mut Session) -> Result<()> {
    if session.version.mariadb || session.version.number < (8, 0, 0) {
        return Ok(());
    }
    session.execute(&lock_wait(LOCK_WAIT), "setting up the session").await?;
    match session.conn.query_drop("LOCK INSTANCE FOR BACKUP").await {
        Err(e) if is_denied(&e) => Ok(()),
        Err(e) if number(&e) == Some(LOCK_WAIT_TIMEOUT) => Err(changed("a migration is running")),
        other => other.map_err(|e| failure("locking the instance for the backup", e)),
    }
}

/// `seconds` is how long statements of the session wait for the locks of others.
fn lock_wait(seconds: u32) -> String {
    format!("SET SESSION lock_wait_timeout = {seconds}")
}

/// The databases that are dumped.
async fn selected(session: &mut Session, server: &Server, picks: &Picks) -> Result<Vec<String>> {
    let databases = session.databases(server).await?;
    if databases.is_empty() {
        return Err(Error::new(Code::DatabaseNotFound, format!("the account sees no database of {server}"))
            .next("create one, or grant the account SELECT on those that are to be backed up"));
    }
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE {}",
        server.databases().within("TABLE_SCHEMA")
    );
    let names = session.query(&sql, "listing the tables").await?.into_iter();
    let names: Vec<(String, String)> = names
        .filter_map(|row| {
            let mut row = row.into_iter().flatten();
            row.next().zip(row.next())
        })
        .collect();
    picks.databases(databases, &names)
}

async fn reader(server: &Server) -> Result<Session> {
    let mut session = server.connect(Role::Reader).await?;
    session.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "setting up the session").await?;
    Ok(session)
}

/// Opens a reader's view of the rows. Its transaction began before, to hold the tables, but has read no row yet: the
/// view is that of the first read. `START TRANSACTION WITH CONSISTENT SNAPSHOT` would let go of the tables.
async fn open(session: &mut Session, tables: &[TableData]) -> Result<()> {
    let Some(table) = tables.iter().find(|table| table.is_transactional()) else { return Ok(()) };
    let sql = format!("SELECT 1 FROM {} LIMIT 1", table.qualified());
    session.query(&sql, "opening the snapshot").await.map(drop)
}

/// Makes sure that no table is changed, emptied or dropped until the session's transaction ends. Rows can be written as
/// before. Finds out as well whether the tables may be read, before anything else is done.
async fn touch(session: &mut Session, tables: &[TableData], wait: u32) -> Result<()> {
    session.execute(&lock_wait(wait), "setting up the session").await?;
    session.execute("START TRANSACTION READ ONLY", "opening the snapshot").await?;
    let mut closed = Vec::new();
    for table in tables {
        let columns: Vec<&str> = table.columns.iter().map(|c| c.select.as_str()).collect();
        let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
        // No row is read, so no view is opened yet.
        let sql = format!("SELECT {columns} FROM {} LIMIT 0", table.qualified());
        match session.conn.query_drop(&sql).await {
            Ok(()) => {}
            Err(e) if is_denied(&e) => closed.push(table),
            Err(e) => {
                // A migration waits for us: it goes first.
                let again = is_gone(&e) || number(&e) == Some(LOCK_WAIT_TIMEOUT);
                let e = failure(format_args!("reading {}", table.name), e);
                return Err(if again { changed(e.message()) } else { e });
            }
        }
    }
    let Some(first) = closed.first() else { return Ok(()) };
    let more = if closed.len() > 1 { format!(" and {} more", closed.len() - 1) } else { String::new() };
    Err(Error::new(Code::DatabaseDenied, format!("the account may not read table {}{more}", first.name))
        .next(format!("grant SELECT on {}.*, or exclude the tables", ident(&first.database))))
}

/// Holds commits back, by the first way that the account may take.
async fn hold(session: &mut Session, tables: &[TableData]) -> Result<Hold> {
    session.execute(&lock_wait(LOCK_WAIT), "setting up the session").await?;
    let names: Vec<String> = tables.iter().map(|t| format!("{} READ", t.qualified())).collect();
    let mut ways = Vec::new();
    if session.version.is_mariadb(10, 4) {
        ways.push((Hold::Stage, vec!["BACKUP STAGE START".to_owned(), "BACKUP STAGE BLOCK_COMMIT".to_owned()]));
    }
    ways.push((Hold::Flush, vec!["FLUSH TABLES WITH READ LOCK".to_owned()]));
    if !names.is_empty() {
        ways.push((Hold::Tables, vec![format!("LOCK TABLES {}", names.join(", "))]));
    }
    for (hold, statements) in ways {
        if attempt(session, hold, &statements).await? {
            tracing::debug!(?hold, "commits are held back");
            return Ok(hold);
        }
    }
    Ok(Hold::Nothing)
}

/// Whether a way was open.
async fn attempt(session: &mut Session, hold: Hold, statements: &[String]) -> Result<bool> {
    let mut timeouts = 0;
    'again: loop {
        for statement in statements {
            match session.conn.query_drop(statement).await {
                Ok(()) => {}
                Err(e) if is_denied(&e) => return Ok(false),
                // A long statement or a migration is in the way: let others pass, and try again.
                Err(e) if number(&e) == Some(LOCK_WAIT_TIMEOUT) && timeouts < ATTEMPTS => {
                    timeouts += 1;
                    release(session, hold).await?;
                    continue 'again;
                }
                Err(e) => {
                    release(session, hold).await?;
                    return Err(failure("holding back commits for the snapshot", e));
                }
            }
        }
        return Ok(true);
    }
}

/// The server's number for a lock that could not be had in time.
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// Lets everybody commit again.
async fn release(session: &mut Session, hold: Hold) -> Result<()> {
    let sql = match hold {
        Hold::Stage => "BACKUP STAGE END",
        Hold::Flush | Hold::Tables => "UNLOCK TABLES",
        Hold::Nothing => return Ok(()),
    };
    match session.conn.query_drop(sql).await {
        // The stage was not reached.
        Err(e) if number(&e) == Some(BACKUP_NOT_RUNNING) => Ok(()),
        other => other.map_err(|e| failure("letting commits pass", e)),
    }
}

/// The server's number for ending a backup that did not begin.
const BACKUP_NOT_RUNNING: u16 = 4146;

/// The moment of the snapshot: asked for while nothing is committed.
async fn point(session: &mut Session, reader: &mut Session) -> Result<ConsistencyPoint> {
    let doing = "asking for the moment of the snapshot";
    let micros = session.query_one("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)", doing).await?;
    let at = micros.and_then(|m| m.parse().ok()).and_then(|m| Timestamp::from_microsecond(m).ok());
    let at =
        at.ok_or_else(|| Error::new(Code::Internal, format!("{doing}: the server's answer is not as expected")))?;
    let binlog = match session.version.mariadb {
        // Of the snapshot itself, and for everybody to ask.
        true => binlog_of_snapshot(reader).await?,
        false => binlog_of_server(session).await?,
    };
    Ok(match binlog {
        Some((position, Some(gtid))) if !gtid.is_empty() => {
            ConsistencyPoint { at, kind: "binlog".to_owned(), position: format!("{position}, gtid {gtid}") }
        }
        Some((position, _)) => ConsistencyPoint { at, kind: "binlog".to_owned(), position },
        None => ConsistencyPoint { at, kind: "time".to_owned(), position: at.to_string() },
    })
}

async fn binlog_of_snapshot(reader: &mut Session) -> Result<Option<(String, Option<String>)>> {
    let doing = "asking for the binary log's position";
    let rows = reader.query("SHOW STATUS LIKE 'binlog_snapshot_%'", doing).await?;
    let value = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row.first().and_then(Option::as_deref).is_some_and(|n| n.eq_ignore_ascii_case(name)));
        row.and_then(|row| row.get(1).cloned().flatten()).filter(|v| !v.is_empty())
    };
    let (Some(file), Some(position)) = (value("binlog_snapshot_file"), value("binlog_snapshot_position")) else {
        return Ok(None);
    };
    let sql = format!("SELECT BINLOG_GTID_POS({}, {position})", literal(&file));
    let gtid = reader.query_one(&sql, doing).await?;
    Ok(Some((format!("{file}:{position}"), gtid)))
}

async fn binlog_of_server(session: &mut Session) -> Result<Option<(String, Option<String>)>> {
    let doing = "asking for the binary log's position";
    for sql in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        match session.query(sql, doing).await {
            Ok(rows) => {
                // Nothing is shown where no log is written.
                let Some(row) = rows.into_iter().next() else { continue };
                let text = |i: usize| row.get(i).cloned().flatten();
                return Ok(text(0).zip(text(1)).map(|(file, position)| {
                    (format!("{file}:{position}"), text(4).map(|gtid| gtid.replace('\n', "")))
                }));
            }
            // Each version knows one of them; neither is for everybody.
            Err(e) => tracing::debug!(%e, "no position"),
        }
    }
    Ok(None)
}

/// Tables whose rows are not of the snapshot's moment.
fn moving(tables: &[TableData], hold: Hold) -> Option<Warning> {
    let names: Vec<&str> = tables.iter().filter(|t| !t.is_transactional()).map(|t| t.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    tracing::debug!(?hold, tables = names.len(), "tables without transactions");
    let message = format!(
        "the engines of these tables know no transactions, so their rows are those of the moment of reading: {}",
        names.join(", ")
    );
    Some(Warning::new("not_transactional", message))
}

pub(super) fn changed(what: &str) -> Error {
    Error::new(Code::DatabaseChanged, what).next("run the backup again when no migration is running")
}
