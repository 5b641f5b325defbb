//! The entries of an oplog, as mongodump keeps them in `oplog.bson`, with transactions resolved.
//!
//! An entry is what `local.oplog.rs` holds: `op` is `i`, `u`, `d`, `c` (a command) or `n` (nothing), `ns` the namespace, `o`
//! the document or the command, `o2` the `_id` of what is updated. A transaction is a chain of `applyOps` commands of one
//! session (`lsid`, `txnNumber`): with `partialTxn` more follows, with `prepare` another entry commits or aborts it, without
//! either it is committed.

use std::collections::HashMap;

use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp};

use crate::error::{Code, Error, Result};

/// What mongodump calls the file of the oplog.
pub(super) const FILE: &str = "oplog.bson";

/// Bytes of transactions that are not committed yet, at most: they wait in memory. 256 MiB.
const MOST_OPEN: usize = 256 << 20;

/// `applyOps` in `applyOps`, at most: servers write one in the other once.
const DEEPEST: usize = 4;

/// What tells a transaction: its session, and its number in it.
type Transaction = (Vec<u8>, i64);

/// Entries one after the other, and the transactions that they leave open.
#[derive(Debug, Default)]
pub(super) struct Oplog {
    /// The operations of each.
    open: HashMap<Transaction, Vec<RawDocumentBuf>>,
    open_bytes: usize,
    /// The time of the first entry. What ended before it was there before anything was read.
    first: Option<Timestamp>,
}

/// What a transaction's entry means for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Its operations wait for what follows.
    Wait,
    Commit,
    Abort,
}

impl Oplog {
    /// The operations that take effect with this entry, in their order, none of them an `applyOps`.
    ///
    /// # Errors
    /// `Damaged` for what is no entry, and for the end of a transaction whose beginning is not there.
    pub(super) fn take(&mut self, entry: &RawDocument) -> Result<Vec<RawDocumentBuf>> {
        self.first = self.first.or_else(|| entry.get_timestamp("ts").ok());
        let mut found = Vec::new();
        let Some((transaction, turn)) = transaction(entry)? else {
            flatten(entry, &mut found, 0)?;
            return Ok(found);
        };
        if turn == Turn::Abort {
            self.forget(&transaction);
            return Ok(found);
        }
        let command = object(entry)?;
        if command.get("commitTransaction").ok().flatten().is_none() {
            flatten(entry, &mut found, 0)?;
        }
        if turn == Turn::Wait {
            self.open_bytes += found.iter().map(|op| op.as_bytes().len()).sum::<usize>();
            if self.open_bytes > MOST_OPEN {
                let message = format!("the oplog's open transactions are of more than {} MiB", MOST_OPEN >> 20);
                return Err(Error::new(Code::UnsupportedObject, message)
                    .next("restore this dump with mongorestore --oplogReplay"));
            }
            self.open.entry(transaction).or_default().append(&mut found);
            return Ok(found);
        }
        match self.forget(&transaction) {
            Some(mut waiting) => {
                waiting.append(&mut found);
                Ok(waiting)
            }
            None if before(entry) >= self.first && self.first.is_some() => {
                Err(damaged("a transaction ends whose beginning is not in it"))
            }
            // An oplog begins with the oldest transaction that was open: one that began earlier had ended, and is in what was read.
            None => Ok(found),
        }
    }

    fn forget(&mut self, transaction: &Transaction) -> Option<Vec<RawDocumentBuf>> {
        let operations = self.open.remove(transaction)?;
        self.open_bytes -= operations.iter().map(|op| op.as_bytes().len()).sum::<usize>();
        Some(operations)
    }
}

/// The transaction that an entry is of, and what becomes of it.
fn transaction(entry: &RawDocument) -> Result<Option<(Transaction, Turn)>> {
    let (Ok(session), Ok(number)) = (entry.get_document("lsid"), entry.get_i64("txnNumber")) else { return Ok(None) };
    // Inserts that were written together and may be tried again have a session and a number, too.
    let together = entry.get_i32("multiOpType").is_ok_and(|kind| kind == 1);
    if together || entry.get_str("op").is_ok_and(|op| op != "c") {
        return Ok(None);
    }
    let command = object(entry)?;
    let has = |key| command.get(key).ok().flatten().is_some();
    let is = |key| command.get_bool(key).unwrap_or(false);
    let turn = match () {
        () if has("abortTransaction") => Turn::Abort,
        () if has("commitTransaction") => Turn::Commit,
        () if !has("applyOps") => return Ok(None),
        () if is("partialTxn") || is("prepare") => Turn::Wait,
        () => Turn::Commit,
    };
    Ok(Some(((session.as_bytes().to_vec(), number), turn)))
}

/// The time of the entry before this one in its transaction; none of the first.
fn before(entry: &RawDocument) -> Option<Timestamp> {
    let before = entry.get_document("prevOpTime").and_then(|time| time.get_timestamp("ts"));
    before.ok().filter(|time| time.time != 0)
}

/// Whether an entry is of a transaction that another one ends.
pub(super) fn is_open(entry: &RawDocument) -> Result<bool> {
    Ok(transaction(entry)?.is_some_and(|(_, turn)| turn == Turn::Wait))
}

/// The command or the document of an entry.
pub(super) fn object(entry: &RawDocument) -> Result<&RawDocument> {
    entry.get_document("o").map_err(|_| damaged("an entry has no `o`"))
}

/// An entry, or those within it.
fn flatten(entry: &RawDocument, found: &mut Vec<RawDocumentBuf>, depth: usize) -> Result<()> {
    let nested = match entry.get_str("op") {
        Ok("c") => object(entry)?.get_array("applyOps").ok(),
        Ok(_) => None,
        Err(_) => return Err(damaged("an entry has no `op`")),
    };
    let Some(nested) = nested.filter(|_| depth < DEEPEST) else {
        found.push(entry.to_owned());
        return Ok(());
    };
    for inner in nested {
        match inner.map(|inner| inner.as_document()) {
            Ok(Some(inner)) => flatten(inner, found, depth + 1)?,
            _ => return Err(damaged("an applyOps holds no list of entries")),
        }
    }
    Ok(())
}

/// A command as a document of our own.
pub(super) fn command(entry: &RawDocument) -> Result<Document> {
    Document::try_from(object(entry)?).map_err(|_| damaged("an entry cannot be read"))
}

/// The name that a command begins with, and the collection that it is of.
pub(super) fn of_collection(command: &Document) -> Result<(&str, &str)> {
    match command.iter().next() {
        Some((name, Bson::String(collection))) => Ok((name, collection)),
        Some((name, _)) => Ok((name, "")),
        None => Err(damaged("a command is empty")),
    }
}

pub(super) fn damaged(what: &str) -> Error {
    Error::new(Code::Damaged, format!("the oplog cannot be read: {what}"))
        .next("use another copy of the dump, or another backup")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mongodb::bson::{Bson, doc};

    use super::*;

    /// As mongod 7.0 writes them, shortened.
    fn entry(increment: u32, op: &str, o: Document) -> Document {
        let ts = Timestamp { time: 1_763_690_401, increment };
        doc! { "ts": ts, "t": 1_i64, "v": 2_i64, "op": op, "ns": if op == "c" { "admin.$cmd" } else { "shop.a" }, "o": o }
    }

    fn of_session(mut entry: Document, number: i64, before: u32) -> Document {
        let ts = if before == 0 {
            Timestamp { time: 0, increment: 0 }
        } else {
            Timestamp { time: 1_763_690_401, increment: before }
        };
        entry.extend(doc! { "lsid": { "id": 7 }, "txnNumber": number, "prevOpTime": { "ts": ts, "t": -1_i64 } });
        entry
    }

    fn insert(id: i32) -> Bson {
        doc! { "op": "i", "ns": "shop.a", "o": { "_id": id } }.into()
    }

    /// The `_id`s of what takes effect with each entry.
    fn effects(entries: &[Document]) -> Vec<Result<Vec<i32>>> {
        let mut oplog = Oplog::default();
        let id = |op: &RawDocumentBuf| object(op).unwrap().get_i32("_id").unwrap();
        let raw = |entry: &Document| RawDocumentBuf::try_from(entry).unwrap();
        entries.iter().map(|e| oplog.take(&raw(e)).map(|ops| ops.iter().map(id).collect())).collect()
    }

    fn oks(entries: &[Document]) -> Vec<Vec<i32>> {
        effects(entries).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn a_transaction_takes_effect_when_it_is_committed() {
        let partial = |id| doc! { "applyOps": [insert(id)], "partialTxn": true };
        let whole = [
            entry(1, "i", doc! { "_id": 1 }),
            of_session(entry(2, "c", partial(2)), 1, 0),
            entry(3, "i", doc! { "_id": 3 }),
            of_session(entry(4, "c", doc! { "applyOps": [insert(4), insert(5)], "count": 3_i64 }), 1, 2),
        ];
        assert_eq!(oks(&whole), [vec![1], vec![], vec![3], vec![2, 4, 5]]);
        let prepared = |end: &str| {
            [
                entry(1, "i", doc! { "_id": 1 }),
                of_session(entry(2, "c", doc! { "applyOps": [insert(2)], "prepare": true }), 2, 0),
                of_session(entry(3, "c", doc! { "applyOps": [insert(3)] }), 3, 0),
                of_session(entry(4, "c", doc! { end: 1 }), 2, 2),
            ]
        };
        assert_eq!(oks(&prepared("commitTransaction")), [vec![1], vec![], vec![3], vec![2]]);
        assert_eq!(oks(&prepared("abortTransaction")), [vec![1], vec![], vec![3], vec![]]);
        assert_eq!(oks(&prepared("commitTransaction")[..3]), [vec![1], vec![], vec![3]], "still open at the end");
    }

    #[test]
    fn a_transaction_whose_beginning_is_missing_is_damage_unless_it_was_there_before() {
        let first = entry(2, "i", doc! { "_id": 1 });
        let end = |before| of_session(entry(4, "c", doc! { "commitTransaction": 1 }), 2, before);
        assert_eq!(oks(&[first.clone(), end(1)]), [vec![1], vec![]]);
        let e = effects(&[first.clone(), end(3)]).remove(1).unwrap_err();
        assert_eq!(e.code(), Code::Damaged, "{e}");
        let last = |before| of_session(entry(4, "c", doc! { "applyOps": [insert(2)] }), 2, before);
        assert_eq!(oks(&[first.clone(), last(1)]), [vec![1], vec![2]]);
        assert!(effects(&[first, last(3)]).remove(1).is_err());
    }

    #[test]
    fn lists_of_operations_are_taken_apart_and_inserts_together_are_no_transaction() {
        let mut together = of_session(entry(3, "c", doc! { "applyOps": [insert(4), insert(5)] }), 2, 1);
        together.insert("multiOpType", 1);
        let inner = Bson::Document(entry(0, "c", doc! { "applyOps": [insert(2), insert(3)] }));
        let told = oks(&[entry(1, "i", doc! { "_id": 1 }), entry(2, "c", doc! { "applyOps": [inner] }), together]);
        assert_eq!(told, [vec![1], vec![2, 3], vec![4, 5]]);
    }

    #[test]
    fn what_is_no_entry_is_damage() {
        for bad in [doc! {}, doc! { "op": "c" }, doc! { "op": "c", "o": { "applyOps": [1] } }] {
            assert_eq!(effects(&[bad]).remove(0).unwrap_err().code(), Code::Damaged);
        }
    }
}
