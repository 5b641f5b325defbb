//! What the entries of a dump's oplog mean for a restore: operations on documents, and commands. Indexes and views are kept
//! in mind, and built with all others when the last entry was applied.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, cstr, doc, rawdoc};

use super::address::{OWN, Place};
use super::catalog::{BUCKETS, is_the_servers};
use super::define;
use super::incoming::{Incoming, Namespace, namespace};
use super::metadata::{Kind, Metadata};
use super::oplog::{self, Oplog, damaged};
use super::select::{Scope, Taken};
use crate::engine::RestoreOptions;
use crate::error::{Code, Error, Result};
use crate::report::Warning;

#[cfg(test)]
mod tests;

/// A collection by its names in the dump.
type Key = (String, String);

/// The state of a dump's collections as its oplog is applied.
#[derive(Debug)]
pub(super) struct Changes {
    options: RestoreOptions,
    place: Place,
    /// What there is by now.
    collections: BTreeMap<Key, Incoming>,
    /// What was made on the way, for taking it back.
    pub(super) made: Vec<Namespace>,
    warnings: Vec<Warning>,
    oplog: Oplog,
    /// Collections that were written to and are neither in the dump nor created by its oplog.
    unknown: BTreeSet<Key>,
    /// Databases that have no place here, and were told of.
    elsewhere: BTreeSet<String>,
    /// Databases that the dump itself holds.
    dumped: BTreeSet<String>,
}

/// What is done for an entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// An operation for `applyOps`.
    Write(RawDocumentBuf),
    Drop(Namespace),
    Run {
        database: String,
        doing: String,
        command: Document,
    },
}

impl Changes {
    pub(super) fn new(options: &RestoreOptions, place: &Place, incoming: &[Incoming]) -> Self {
        let key = |i: &Incoming| (i.dumped.clone(), i.to.collection.clone());
        Self {
            options: options.clone(),
            place: place.clone(),
            collections: incoming.iter().map(|i| (key(i), i.clone())).collect(),
            made: Vec::new(),
            warnings: Vec::new(),
            oplog: Oplog::default(),
            unknown: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            dumped: incoming.iter().map(|i| i.dumped.clone()).collect(),
        }
    }

    /// What an entry means here.
    pub(super) fn steps(&mut self, entry: &RawDocument) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for operation in self.oplog.take(entry)? {
            let namespace = text(&operation, "ns");
            let (database, collection) = namespace.split_once('.').unwrap_or((namespace, ""));
            match text(&operation, "op") {
                "i" | "u" | "d" => steps.extend(self.write(&operation, database, collection)?),
                "c" => self.command(&oplog::command(&operation)?, database, &mut steps)?,
                // Nothing, or what the server keeps for itself.
                _ => {}
            }
        }
        Ok(steps)
    }

    /// What is taken of a collection.
    fn takes(&mut self, database: &str, collection: &str) -> Result<Option<Taken>> {
        if OWN.contains(&database) || database.is_empty() || is_the_servers(collection) {
            return Ok(None);
        }
        let taken = Scope::new(&self.options.select)?.takes(database, collection);
        let alone = matches!(self.place, Place::One(_)) && !self.dumped.contains(database);
        if alone && taken.is_some() && self.elsewhere.insert(database.to_owned()) {
            let message =
                format!("what the dump's oplog has of database {database} is not applied: it is not in the dump");
            self.warnings.push(Warning::new("oplog_not_applied", message));
        }
        Ok(taken.filter(|_| !alone))
    }

    /// A document that is written.
    fn write(&mut self, operation: &RawDocument, database: &str, collection: &str) -> Result<Option<Step>> {
        if collection == "system.views" {
            self.view(operation, database)?;
            return Ok(None);
        }
        let owner = owner(collection);
        if !self.takes(database, owner)?.is_some_and(|taken| taken.documents) {
            return Ok(None);
        }
        let key = (database.to_owned(), owner.to_owned());
        let Some(known) = self.collections.get(&key) else {
            self.unknown.insert(key);
            return Ok(None);
        };
        // What else an entry has is of the deployment and the session that it was made in.
        let namespace = format!("{}.{collection}", known.to.database);
        let mut applied = rawdoc! { "op": text(operation, "op"), "ns": namespace };
        applied.append(cstr!("o"), oplog::object(operation)?);
        if let Ok(of) = operation.get_document("o2") {
            applied.append(cstr!("o2"), of);
        }
        if let Ok(flag) = operation.get_bool("b") {
            applied.append(cstr!("b"), flag);
        }
        Ok(Some(Step::Write(applied)))
    }

    /// A view, which is a document of a collection of the server's.
    fn view(&mut self, operation: &RawDocument, database: &str) -> Result<()> {
        let mut document = oplog::command(operation)?;
        let named = operation.get_document(if text(operation, "op") == "u" { "o2" } else { "o" });
        let of = named.and_then(|named| named.get_str("_id")).unwrap_or_default();
        let Some(name) = of.strip_prefix(database).and_then(|name| name.strip_prefix('.')).map(str::to_owned) else {
            return Ok(());
        };
        if !self.takes(database, &name)?.is_some_and(|taken| taken.definition) {
            return Ok(());
        }
        let key = (database.to_owned(), name.clone());
        let is_view = self.collections.get(&key).is_some_and(|known| known.metadata.kind == Kind::View);
        if text(operation, "op") == "d" {
            // A time series goes with its buckets.
            if is_view {
                self.collections.remove(&key);
            }
            return Ok(());
        }
        document.remove("_id");
        match document.get_str("viewOn").map(|on| on.starts_with(BUCKETS)) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let metadata = definition(name, document, Kind::View);
                let view = self.incoming(database, metadata)?;
                self.collections.insert(key, view);
                Ok(())
            }
            Err(_) => {
                let message = format!("a change of the view {of} in the dump's oplog is not applied");
                self.warnings.push(Warning::new("oplog_not_applied", message));
                Ok(())
            }
        }
    }

    fn incoming(&mut self, database: &str, metadata: Metadata) -> Result<Incoming> {
        let to = namespace(&self.options, &self.place, database, &metadata.collection)?;
        self.made.push(to.clone());
        Ok(Incoming::new(database, to, metadata, true))
    }

    /// A command of a database.
    fn command(&mut self, command: &Document, database: &str, steps: &mut Vec<Step>) -> Result<()> {
        let (name, collection) = oplog::of_collection(command)?;
        match name {
            "renameCollection" => return self.rename(command, steps),
            "dropDatabase" => {
                let of: Vec<Key> = self.collections.keys().filter(|(d, _)| d == database).cloned().collect();
                self.unknown.retain(|(d, _)| d != database);
                return of.into_iter().try_for_each(|key| self.drop(key, steps));
            }
            // Each build of an index ends in an entry of its own; the rest is of the server that it was on.
            "startIndexBuild" | "abortIndexBuild" | "setMultikeyMetadata" | "dropIdent" | "dbCheck" => return Ok(()),
            _ => {}
        }
        let owner = owner(collection);
        let Some(taken) = self.takes(database, owner)? else { return Ok(()) };
        let key = (database.to_owned(), owner.to_owned());
        match name {
            "create" if taken.definition => self.create(key, command, steps),
            "drop" => self.drop(key, steps),
            "createIndexes" | "commitIndexBuild" | "dropIndexes" | "deleteIndexes" | "dropIndex" | "deleteIndex"
            | "collMod" | "create"
                if !self.collections.get(&key).is_some_and(|known| known.define) =>
            {
                Ok(())
            }
            "createIndexes" => {
                let spec = match command.get_document("spec") {
                    Ok(spec) => spec.clone(),
                    Err(_) => without(command, &[name]),
                };
                self.add_index(&key, collection, spec)
            }
            "commitIndexBuild" => {
                let indexes = command.get_array("indexes").map_err(|_| damaged("a commitIndexBuild has no indexes"))?;
                let mut indexes = indexes.iter().filter_map(Bson::as_document);
                indexes.try_for_each(|index| self.add_index(&key, collection, index.clone()))
            }
            "dropIndexes" | "deleteIndexes" | "dropIndex" | "deleteIndex" => {
                let Some(known) = self.collections.get_mut(&key) else { return Ok(()) };
                let gone = |index: &Document| match command.get("index") {
                    Some(Bson::String(name)) if name == "*" => true,
                    Some(Bson::String(name)) => index.get_str("name").is_ok_and(|n| n == name),
                    Some(Bson::Document(fields)) => index.get_document("key").is_ok_and(|key| key == fields),
                    _ => false,
                };
                known.metadata.indexes.retain(|index| !gone(index));
                Ok(())
            }
            "collMod" => self.modify(&key, command, steps),
            _ => {
                let message =
                    format!("the dump's oplog holds `{name}` of {database}.{collection}, which is not applied here");
                Err(Error::new(Code::UnsupportedObject, message)
                    .next("make a new dump when no migration is running, or leave this collection out"))
            }
        }
    }

    fn create(&mut self, key: Key, command: &Document, steps: &mut Vec<Step>) -> Result<()> {
        self.unknown.remove(&key);
        // Listed after it was made.
        if self.collections.contains_key(&key) {
            return Ok(());
        }
        let (database, name) = key.clone();
        let mut options =
            without(command, &["create", "idIndex", "uuid", "temp", "recordIdsReplicated", "autoIndexId"]);
        let mut kind = Kind::Collection;
        if options.contains_key("timeseries") {
            // The rest is of its buckets.
            options = with(&options, &["timeseries", "expireAfterSeconds", "collation"]);
            kind = Kind::TimeSeries;
        } else if options.contains_key("viewOn") {
            kind = Kind::View;
        }
        let made = self.incoming(&database, definition(name, options, kind))?;
        if kind != Kind::View {
            let command = define::create(&made.to.collection, &made.metadata, self.options.rehearsal);
            steps.push(Step::Run {
                database: made.to.database.clone(),
                doing: format!("creating {}", made.to),
                command,
            });
        }
        self.collections.insert(key, made);
        Ok(())
    }

    fn drop(&mut self, key: Key, steps: &mut Vec<Step>) -> Result<()> {
        self.unknown.remove(&key);
        if let Some(known) = self.collections.get(&key) {
            check_ours(known, "drops")?;
            steps.push(Step::Drop(known.to.clone()));
            self.collections.remove(&key);
        }
        Ok(())
    }

    fn rename(&mut self, command: &Document, steps: &mut Vec<Step>) -> Result<()> {
        let name = |key: &str| command.get_str(key).ok().and_then(|name| name.split_once('.'));
        let names =
            name("renameCollection").zip(name("to")).ok_or_else(|| damaged("a renameCollection has no names"))?;
        let (from, to) = names;
        let taken = (self.takes(from.0, from.1)?, self.takes(to.0, to.1)?);
        let keys = [from, to].map(|(database, collection)| (database.to_owned(), collection.to_owned()));
        let [from, to] = keys;
        match taken {
            (None, None) => return Ok(()),
            (Some(_), Some(_)) => {}
            _ => {
                let message = format!(
                    "the dump's oplog renames {}.{} to {}.{}, and one of them is left out",
                    from.0, from.1, to.0, to.1
                );
                return Err(Error::new(Code::IncompleteSelection, message).next("select both, or neither"));
            }
        }
        let Some(known) = self.collections.get(&from) else {
            // Listed under its new name, and read after it had it.
            if self.unknown.remove(&from) && !self.collections.contains_key(&to) {
                self.unknown.insert(to);
            }
            return Ok(());
        };
        check_ours(known, "renames")?;
        let mut metadata = known.metadata.clone();
        let old = known.to.to_string();
        metadata.collection.clone_from(&to.1);
        let renamed = self.incoming(&to.0, metadata)?;
        self.collections.remove(&from);
        let command = doc! { "renameCollection": &old, "to": renamed.to.to_string(), "dropTarget": true };
        steps.push(Step::Run { database: "admin".to_owned(), doing: format!("renaming {old}"), command });
        self.unknown.remove(&to);
        self.collections.insert(to, renamed);
        Ok(())
    }

    fn add_index(&mut self, key: &Key, collection: &str, index: Document) -> Result<()> {
        let Ok(name) = index.get_str("name").map(str::to_owned) else { return Err(damaged("an index has no name")) };
        if index.get_document("key").is_err() {
            return Err(damaged(&format!("index {name} has no key")));
        }
        let Some(known) = self.collections.get_mut(key) else { return Ok(()) };
        if collection.starts_with(BUCKETS) {
            let message =
                format!("index {name} of {} is not built: the dump's oplog has it as one of buckets", known.to);
            self.warnings.push(Warning::new("index_not_built", message));
            return Ok(());
        }
        known.metadata.indexes.retain(|old| !old.get_str("name").is_ok_and(|old| old == name));
        known.metadata.indexes.push(index);
        Ok(())
    }

    /// Options that change: those of an index are kept in mind, those of the collection are changed now.
    fn modify(&mut self, key: &Key, command: &Document, steps: &mut Vec<Step>) -> Result<()> {
        let Some(known) = self.collections.get_mut(key) else { return Ok(()) };
        if let Ok(change) = command.get_document("index") {
            let is = |index: &Document| match (change.get_str("name"), change.get_document("keyPattern")) {
                (Ok(name), _) => index.get_str("name").is_ok_and(|n| n == name),
                (_, Ok(fields)) => index.get_document("key").is_ok_and(|key| key == fields),
                _ => false,
            };
            for index in known.metadata.indexes.iter_mut().filter(|index| is(index)) {
                index.extend(without(change, &["name", "keyPattern"]));
            }
        }
        let mut options = without(command, &["collMod", "index", "noPadding", "usePowerOf2Sizes"]);
        if self.options.rehearsal {
            options.remove("expireAfterSeconds");
        }
        if known.metadata.kind == Kind::TimeSeries {
            options = with(&options, &["timeseries", "expireAfterSeconds"]);
        }
        if options.is_empty() {
            return Ok(());
        }
        known.metadata.options.extend(options.clone());
        let mut change = doc! { "collMod": &known.to.collection };
        change.extend(options);
        let doing = format!("changing the options of {}", known.to);
        steps.push(Step::Run { database: known.to.database.clone(), doing, command: change });
        Ok(())
    }

    /// Whether there is a collection that has documents checked.
    pub(super) fn any_validator(&self) -> bool {
        self.collections.values().any(|known| known.metadata.options.contains_key("validator"))
    }

    /// What there is when the last entry was applied, and what has to be told of it.
    ///
    /// # Errors
    /// `Damaged` if not everything had its place.
    pub(super) fn finish(&mut self) -> Result<(Vec<Incoming>, Vec<Warning>)> {
        if let Some((database, collection)) = self.unknown.first() {
            let message = format!("the dump's oplog writes to {database}.{collection}, which the dump does not hold");
            return Err(Error::new(Code::Damaged, message).next("use the whole dump, or leave this collection out"));
        }
        Ok((self.collections.values().cloned().collect(), std::mem::take(&mut self.warnings)))
    }
}

/// A collection that is only filled is not ours to drop.
fn check_ours(known: &Incoming, does: &str) -> Result<()> {
    if known.define {
        return Ok(());
    }
    let message = format!("the dump's oplog {does} {}, of which only the documents are restored", known.to);
    Err(Error::new(Code::IncompleteSelection, message).next("restore its definition as well"))
}

/// The collection whose documents these are: buckets are of a time series.
fn owner(collection: &str) -> &str {
    collection.strip_prefix(BUCKETS).unwrap_or(collection)
}

fn definition(collection: String, options: Document, kind: Kind) -> Metadata {
    Metadata { options, indexes: Vec::new(), uuid: String::new(), collection, kind }
}

fn with(document: &Document, keys: &[&str]) -> Document {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), document.get(key)?.clone()))).collect()
}

fn without(document: &Document, keys: &[&str]) -> Document {
    let others = document.iter().filter(|(key, _)| !keys.contains(&key.as_str()));
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(super) fn text<'a>(document: &'a RawDocument, key: &str) -> &'a str {
    document.get_str(key).unwrap_or_default()
}
