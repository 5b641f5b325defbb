//! Loads one file of rows by LOAD DATA LOCAL.
//!
//! The lines of an INSERT statement's rows are what LOAD DATA reads as well, so nothing is translated: what is not a row
//! is left out. Only this stream is ever sent, whatever file the server asks for.

use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::engine::ByteStream;
use crate::error::{Code, Error, Result};

use super::catalog::Object;
use super::failure::failure;
use super::lines::Lines;
use super::quote::{idents, qualified};
use super::taken;

/// Pieces that wait for the server.
const AHEAD: usize = 4;

/// Where a file was left: what was read of it, and the beginning of a row that is not complete.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) lines: Lines,
    pub(super) row: Vec<u8>,
}

/// Loads rows by LOAD DATA LOCAL, in one transaction: all of a file, or what is left of one that was begun.
pub(super) async fn load_data(
    conn: &mut Conn,
    database: &str,
    table: &Object,
    file: &str,
    begun: Begun,
    data: ByteStream<'_>,
) -> Result<()> {
    let doing = format!("loading {file}");
    let sql = format!(
        "LOAD DATA LOCAL INFILE 'lastgood' INTO TABLE {} CHARACTER SET binary \
         FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\\'' ESCAPED BY '\\\\' \
         LINES STARTING BY '(' TERMINATED BY ')\\n' ({})",
        qualified(database, &table.name),
        idents(&table.columns)
    );
    taken::expect(conn, table, &doing).await?;
    let (sender, receiver) = futures::channel::mpsc::channel::<std::io::Result<Bytes>>(AHEAD);
    conn.set_infile_handler(async move { Ok(receiver.boxed()) });
    let mut expected = 0;
    let loaded = {
        let mut sending = std::pin::pin!(send(sender, begun, data, file, &mut expected));
        let mut loading = std::pin::pin!(conn.query_drop(&sql));
        let mut sent = None;
        let loaded = loop {
            tokio::select! {
                biased;
                result = &mut sending, if sent.is_none() => sent = Some(result),
                // A server that refuses the statement does not ask for the data: nobody waits for that.
                result = &mut loading => break result,
            }
        };
        // What went wrong with the data is told before what the server makes of it.
        sent.unwrap_or(Ok(()))?;
        loaded
    };
    loaded.map_err(|e| failure(&doing, e))?;
    let went_in = conn.affected_rows();
    taken::check(conn, database, table, &doing).await?;
    if went_in == expected {
        return Ok(());
    }
    // LOCAL means IGNORE: what does not fit is skipped.
    let message = format!("{doing}: the server took {went_in} of {expected} rows");
    Err(Error::new(Code::DatabaseError, message).next("see the server's log; restore into a new database"))
}

/// Sends the rows, and counts their lines.
async fn send(
    mut sender: futures::channel::mpsc::Sender<std::io::Result<Bytes>>,
    begun: Begun,
    mut data: ByteStream<'_>,
    file: &str,
    expected: &mut u64,
) -> Result<()> {
    let Begun { mut lines, row } = begun;
    if !row.is_empty() && sender.send(Ok(row.into())).await.is_err() {
        return Ok(());
    }
    loop {
        let piece = match data.try_next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => match lines.end(file) {
                Ok(()) => return Ok(()),
                Err(e) => {
                    drop(sender.send(Err(std::io::Error::other("incomplete"))).await);
                    return Err(e);
                }
            },
            Err(e) => {
                drop(sender.send(Err(std::io::Error::other("unreadable"))).await);
                return Err(e);
            }
        };
        let mut rows = BytesMut::with_capacity(piece.len());
        lines.take(&piece, &mut rows);
        *expected += rows.iter().filter(|b| **b == b'\n').count() as u64;
        if !rows.is_empty() && sender.send(Ok(rows.freeze())).await.is_err() {
            // The server did not ask for it or does not listen any more: it says why.
            return Ok(());
        }
    }
}
