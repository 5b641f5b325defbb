//! Questions to a database: who it is, what its tables hold, and whether a query is satisfied.

use std::sync::Mutex;
use std::sync::PoisonError;

use futures::TryStreamExt as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::error::{Error, Result};
use crate::format::checksum::RowHasher;
use crate::id::EngineKind;
use crate::report::{Probe, TableSummary};

use super::connect::{Role, Server, execute, query};
use super::copy::rows_out;
use super::failure::failure;
use super::large_object;
use super::large_row;
use super::quote::{idents, literal};
use crate::engine::pool::open_up_to;

/// Blocks that are counted and hashed by one statement: 64 MiB.
const BLOCKS: u64 = 8192;

/// Connects and asks for the version and the size.
pub(super) async fn probe(server: &Server) -> Result<Probe> {
    let mut conn = server.connect(Role::Catalog).await?;
    let sql = "SELECT pg_catalog.current_setting('server_version'), \
         pg_catalog.pg_database_size(pg_catalog.current_database())";
    let row = query(&mut conn, sql, "asking for the version").await?.into_iter().next().unwrap_or_default();
    drop(conn.close().await);
    let text = |i: usize| row.get(i).and_then(Option::as_deref);
    let version = text(0).and_then(|v| v.split(' ').next()).unwrap_or_default().to_owned();
    Ok(Probe { engine: EngineKind::Postgres, version, size_bytes: text(1).and_then(|n| n.parse().ok()) })
}

/// Runs a query as the database's users would. False if the first column of its first row says so.
pub(super) async fn smoke(server: &Server, sql: &str) -> Result<bool> {
    let mut conn = server.connect_plain().await?;
    execute(&mut conn, "SET default_transaction_read_only = on", "setting up the session").await?;
    let doing = "running a smoke query";
    let row = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch(&mut conn)
        .try_next()
        .await
        .map_err(|e| failure(doing, e))?;
    let Some(row) = row.filter(|row| !row.is_empty()) else { return Ok(true) };
    // Values that are no text, if a server ever sent them so, are not one of the three.
    let value: Option<&str> = row.try_get_unchecked(0).unwrap_or_default();
    Ok(!matches!(value, Some("f" | "false" | "0")))
}

/// A piece of a table to count and hash.
struct Piece {
    table: usize,
    statement: String,
    /// The query that tells whether it holds a large row.
    any_large_row: Option<String>,
}

/// Counts and hashes these tables' rows on `jobs` connections. What is not there gives no entry.
pub(super) async fn summarize(server: &Server, tables: &[TableSummary], jobs: usize) -> Result<Vec<TableSummary>> {
    let mut conns = vec![server.connect(Role::Reader).await?];
    let mut found = vec![None; tables.len()];
    let mut pieces = Vec::new();
    for (index, table) in tables.iter().enumerate().filter(|(_, t)| t.name != large_object::SUMMARY) {
        if let Some(of_table) = cut(&mut conns[0], index, table).await? {
            found[index] = Some(RowHasher::default());
            pieces.extend(of_table);
        }
    }
    let more = jobs.min(pieces.len()).saturating_sub(1);
    conns.extend(open_up_to(more, || server.connect(Role::Reader)).await?.0);
    let queue = Mutex::new(pieces.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (next, one_large) = (&next, &tokio::sync::Mutex::new(()));
    let work = conns.iter_mut().map(|conn| async move {
        let mut done = Vec::new();
        while let Some(piece) = next() {
            let mut hasher = RowHasher::default();
            let doing = format!("reading {}", tables[piece.table].name);
            let large = large_row::is_among(conn, piece.any_large_row.as_deref(), &doing).await?;
            let _alone = if large { Some(one_large.lock().await) } else { None };
            rows_out(conn, piece.statement, doing.clone(), &mut hasher).try_for_each(|_| async { Ok(()) }).await?;
            if large {
                large_row::let_go(conn, &doing).await?;
            }
            done.push((piece.table, hasher));
        }
        Ok::<_, Error>(done)
    });
    let done: Vec<Vec<(usize, RowHasher)>> = futures::future::try_join_all(work).await?;
    for (index, hasher) in done.into_iter().flatten() {
        if let Some(sum) = &mut found[index] {
            sum.merge(&hasher);
        }
    }
    if let Some(index) = tables.iter().position(|t| t.name == large_object::SUMMARY) {
        found[index] = large_objects(&mut conns[0]).await?;
    }
    for conn in conns {
        drop(conn.close().await);
    }
    let summary = |(table, sum): (&TableSummary, Option<RowHasher>)| {
        sum.map(|sum| TableSummary { rows: sum.rows(), hash: sum.hash(), ..table.clone() })
    };
    Ok(tables.iter().zip(found).filter_map(summary).collect())
}

/// The pieces that together are all rows of a table; none if it, or one of its columns, is not there.
async fn cut(conn: &mut PgConnection, index: usize, table: &TableSummary) -> Result<Option<Vec<Piece>>> {
    let sql = format!(
        "SELECT c.relkind, CASE WHEN m.amname = 'heap' THEN pg_catalog.pg_relation_size(c.oid) \
           / pg_catalog.current_setting('block_size')::pg_catalog.int8 END, a.attname, \
         a.attstorage <> 'p' AND EXISTS (SELECT FROM pg_catalog.pg_class p \
           WHERE (p.oid = c.oid OR p.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid))) \
             AND p.reltoastrelid <> 0 AND pg_catalog.pg_relation_size(p.reltoastrelid) > {}) \
         FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
           AND a.attname = ANY (ARRAY[{}]::pg_catalog.text[]) \
         WHERE c.oid = pg_catalog.to_regclass({}) AND c.relkind IN ('r', 'p')",
        large_row::FEW,
        table.columns.iter().map(|c| literal(c)).collect::<Vec<_>>().join(", "),
        literal(&table.name)
    );
    let rows = query(conn, &sql, &format!("looking for {}", table.name)).await?;
    let text = |row: usize, i: usize| rows.get(row)?.get(i)?.as_deref();
    let columns: Vec<(&str, bool)> =
        (0..rows.len()).filter_map(|row| Some((text(row, 2)?, text(row, 3) == Some("t")))).collect();
    if rows.is_empty() || columns.len() != table.columns.len() {
        return Ok(None);
    }
    let wide: Vec<String> = columns.iter().filter(|(_, wide)| *wide).map(|(name, _)| (*name).to_owned()).collect();
    let (select, name) = (idents(&table.columns), &table.name);
    let piece = |rows: String| Piece {
        table: index,
        statement: format!("COPY (SELECT {select} {rows}) TO STDOUT"),
        any_large_row: large_row::any(&wide, &rows),
    };
    if text(0, 0) == Some("p") {
        return Ok(Some(vec![piece(format!("FROM {name}"))]));
    }
    let blocks: u64 = text(0, 1).and_then(|n| n.parse().ok()).unwrap_or(0);
    let ranges = (0..blocks.div_ceil(BLOCKS).max(1)).map(|i| {
        let (first, end) = (i * BLOCKS, (i + 1) * BLOCKS);
        piece(match (blocks <= BLOCKS, end < blocks) {
            (true, _) => format!("FROM ONLY {name}"),
            (false, true) => format!("FROM ONLY {name} WHERE ctid >= '({first},0)' AND ctid < '({end},0)'"),
            (false, false) => format!("FROM ONLY {name} WHERE ctid >= '({first},0)'"),
        })
    });
    Ok(Some(ranges.collect()))
}

async fn large_objects(conn: &mut PgConnection) -> Result<Option<RowHasher>> {
    execute(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "reading large objects").await?;
    let sql = "SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid";
    let oids = query(conn, sql, "listing large objects").await?;
    let oids: Vec<u32> = oids.into_iter().flatten().flatten().filter_map(|oid| oid.parse().ok()).collect();
    let mut sum = RowHasher::default();
    for object in large_object::sizes(conn, &oids).await? {
        large_object::read(conn, object.oid, 0..object.bytes, &mut sum).try_for_each(|_| async { Ok(()) }).await?;
    }
    execute(conn, "COMMIT", "reading large objects").await?;
    Ok((sum.rows() > 0).then_some(sum))
}
