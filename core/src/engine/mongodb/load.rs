//! Loads a dump: collections with their options, documents in parallel, then indexes, then views.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use tokio::sync::Mutex;

use super::address::{Address, Place};
use super::catalog::{self, BUCKETS, is_the_servers};
use super::changes::Changes;
use super::connect::Server;
use super::define;
use super::documents::Documents;
use super::failure::{failure, server_code};
use super::globals::Coming;
use super::incoming::{Incoming, Namespace, namespace};
use super::metadata::{Kind, Metadata};
use super::names;
use super::oplog;
use super::replay::{self, Replay};
use super::select::Scope;
use crate::engine::{ByteStream, PartPlace, RestoreOptions, StoredFile, Target};
use crate::error::{Code, Error, Result};
use crate::report::Warning;

/// A deployment that is being restored into.
pub(super) struct MongoTarget {
    server: Server,
    options: RestoreOptions,
    /// What there is already, by database.
    present: BTreeMap<String, BTreeSet<String>>,
    /// What comes, in the order of the dump's names.
    incoming: Vec<Incoming>,
    /// Where each file's documents go.
    files: HashMap<String, Namespace>,
    warnings: Vec<Warning>,
    /// What this restore made, for taking it back.
    made: Vec<Namespace>,
    /// Users and roles that are missing.
    coming: Coming,
    /// The dump's oplog, if it has one: applied when all documents are there.
    replay: Option<Mutex<Replay>>,
}

impl MongoTarget {
    /// Connects, and looks at what is there.
    pub(super) async fn find(address: &Address, options: &RestoreOptions) -> Result<Self> {
        let server = Server::connect(address).await?;
        let mut present = BTreeMap::new();
        for database in server.databases().await? {
            let (collections, _) = catalog::list(&server, &database).await?;
            let names: BTreeSet<String> = collections.iter().map(|c| c.name().to_owned()).collect();
            if !names.is_empty() {
                present.insert(database, names);
            }
        }
        let alone = matches!(address.place, Place::One(_));
        // A part is restored beside what is there; what collides is refused later.
        let may_hold_something = options.overwrite || options.clean || !options.select.is_everything();
        if alone
            && !may_hold_something
            && let Some((database, names)) = present.first_key_value()
        {
            let one = names.first().map(String::as_str).unwrap_or_default();
            let message = format!("database {database} holds {} collections, for example {one}", names.len());
            return Err(Error::new(Code::TargetNotEmpty, message).next(
                "restore into another database, or allow it to hold others (overwrite) or to be replaced (clean)",
            ));
        }
        let (incoming, files, warnings, made, coming, replay) = Default::default();
        Ok(Self { server, options: options.clone(), present, incoming, files, warnings, made, coming, replay })
    }

    /// Understands the dump's metadata and finds out where each collection goes.
    fn understand(&mut self, schema: &[(String, Bytes)], data: &[StoredFile]) -> Result<()> {
        let select = self.options.select.clone();
        let scope = Scope::new(&select)?;
        let mut dumped: BTreeMap<(String, String), (String, Metadata)> = BTreeMap::new();
        for (file, text) in schema {
            let Some((database, stem, names::Kind::Metadata)) = names::parse(file) else { continue };
            let metadata = Metadata::decode(text, names::unescaped(stem).as_deref()).map_err(|e| e.at(file))?;
            dumped.insert((database.to_owned(), metadata.collection.clone()), (stem.to_owned(), metadata));
        }
        let mut owners = HashMap::new();
        for file in data {
            if let Some(owner) = self.place_file(file, &mut dumped)? {
                owners.insert(file.name.clone(), owner);
            }
        }
        scope.check_all_fit(dumped.keys().map(|(d, c)| (d.as_str(), c.as_str())))?;
        for ((database, collection), (_, metadata)) in dumped {
            let Some(taken) = scope.takes(&database, &collection) else { continue };
            let to = self.namespace(&database, &collection)?;
            self.incoming.push(Incoming::new(&database, to, metadata, taken.definition));
        }
        // By their names in the dump: several of its databases may have one name here.
        let wanted = |file: &String| owners.get(file).and_then(|(database, name)| scope.takes(database, name));
        self.files.retain(|file, _| wanted(file).is_some_and(|taken| taken.documents));
        self.check_one_database()
    }

    /// Finds out which collection a data file is of. Without metadata it becomes one without options and indexes.
    fn place_file(
        &mut self,
        file: &StoredFile,
        dumped: &mut BTreeMap<(String, String), (String, Metadata)>,
    ) -> Result<Option<(String, String)>> {
        let Some((database, stem, names::Kind::Data)) = names::parse(&file.name) else { return Ok(None) };
        let known =
            dumped.iter().find(|((d, _), (s, _))| d == database && s == stem).map(|((_, name), _)| name.clone());
        let collection = match known.or_else(|| names::unescaped(stem)) {
            Some(name) => name,
            None => {
                return Err(Error::new(
                    Code::Damaged,
                    format!("{}: its collection's name is cut and it has no metadata", file.name),
                )
                .next("use a dump with its metadata.json"));
            }
        };
        if super::address::OWN.contains(&database) || collection.starts_with('$') {
            let message = format!("{} belongs to the server: it is left out", file.name);
            self.warnings.push(Warning::new("server_collection", message));
            return Ok(None);
        }
        let series = collection.strip_prefix(BUCKETS);
        if series.is_none() && is_the_servers(&collection) {
            return Ok(None);
        }
        let owner = series.unwrap_or(&collection).to_owned();
        dumped.entry((database.to_owned(), owner.clone())).or_insert_with(|| {
            let options = Document::new();
            let (indexes, uuid, kind) = (Vec::new(), String::new(), Kind::Collection);
            (stem.to_owned(), Metadata { options, indexes, uuid, collection: owner.clone(), kind })
        });
        let to = self.namespace(database, &collection)?;
        self.files.insert(file.name.clone(), to);
        Ok(Some((database.to_owned(), owner)))
    }

    fn namespace(&self, dumped: &str, collection: &str) -> Result<Namespace> {
        namespace(&self.options, &self.server.address().place, dumped, collection)
    }

    /// Gets ready for the dump's oplog, and finds out whether it may be applied.
    async fn expect_oplog(&mut self, data: &[StoredFile]) -> Result<()> {
        if !data.iter().any(|file| file.name == oplog::FILE && file.bytes != Some(0)) {
            return Ok(());
        }
        if let Some(first) = self.incoming.first() {
            replay::check(&self.server, &first.to).await?;
        }
        let changes = Changes::new(&self.options, &self.server.address().place, &self.incoming);
        self.replay = Some(Mutex::new(Replay::new(changes)));
        Ok(())
    }

    /// Several databases of a dump do not fit into one.
    fn check_one_database(&self) -> Result<()> {
        let mut dumped: Vec<&str> = self.incoming.iter().map(|i| i.dumped.as_str()).collect();
        dumped.dedup();
        match (&self.server.address().place, dumped.as_slice()) {
            (Place::One(name), [_, _, ..]) => Err(Error::new(
                Code::InvalidOption,
                format!(
                    "the dump holds {} databases ({}), the target is {name} alone",
                    dumped.len(),
                    dumped.join(", ")
                ),
            )
            .next("select one of them as a schema, or give a URL without a database")),
            _ => Ok(()),
        }
    }

    /// Refuses what is in the way, or makes a list of what has to be dropped.
    fn in_the_way(&self) -> Result<Vec<Namespace>> {
        let there = |n: &Namespace| self.present.get(&n.database).is_some_and(|names| names.contains(&n.collection));
        let collide: Vec<Namespace> =
            self.incoming.iter().filter(|i| i.define && there(&i.to)).map(|i| i.to.clone()).collect();
        match collide.first() {
            Some(first) if !self.options.clean => {
                Err(Error::new(Code::TargetNotEmpty, format!("collection {first} is there already"))
                    .next("restore into another database, or allow what is there to be dropped (clean)"))
            }
            _ => {
                let missing = self.incoming.iter().find(|i| !i.define && !there(&i.to));
                match missing {
                    Some(i) => {
                        Err(Error::new(Code::DatabaseNotFound, format!("there is no collection {} to load into", i.to))
                            .next("restore its definition as well"))
                    }
                    None => Ok(collide),
                }
            }
        }
    }

    async fn run(&self, database: &str, doing: &str, command: Document) -> Result<()> {
        let database = self.server.database(database);
        database.run_command(command).await.map(|_| ()).map_err(|e| failure(doing, e))
    }

    /// Builds the indexes of a collection; of those that the server refuses it tells.
    async fn build_indexes(&self, incoming: &Incoming) -> Result<Vec<Warning>> {
        let indexes = define::indexes(&incoming.metadata, self.options.rehearsal);
        if indexes.is_empty() || !incoming.define {
            return Ok(Vec::new());
        }
        let to = &incoming.to;
        let create = |indexes: Vec<Document>| {
            let database = self.server.database(&to.database);
            let command = doc! { "createIndexes": &to.collection, "indexes": indexes };
            async move { database.run_command(command).await }
        };
        // A kind of index that this server does not know must not cost the others, nor the data.
        let unknown = |e: &mongodb::error::Error| matches!(server_code(e), Some(67 | 72 | 197 | 238));
        match create(indexes.clone()).await {
            Ok(_) => return Ok(Vec::new()),
            Err(e) if unknown(&e) => {}
            Err(e) => return Err(failure(format!("building the indexes of {to}"), e)),
        }
        let mut warnings = Vec::new();
        for index in indexes {
            let name = index.get_str("name").unwrap_or_default().to_owned();
            if let Err(e) = create(vec![index]).await {
                if !unknown(&e) {
                    return Err(failure(format!("building index {name} of {to}"), e));
                }
                let e = failure(format!("index {name} of {to} is not built"), e);
                warnings.push(Warning::new("index_not_built", e.message()));
            }
        }
        Ok(warnings)
    }
}

#[async_trait]
impl Target for MongoTarget {
    async fn prepare(&mut self, schema: Vec<(String, Bytes)>, data: &[StoredFile]) -> Result<()> {
        self.understand(&schema, data)?;
        let in_the_way = self.in_the_way()?;
        self.expect_oplog(data).await?;
        if self.options.globals {
            let databases = self.incoming.iter().map(|i| (i.dumped.clone(), i.to.database.clone())).collect();
            self.coming = Coming::find(&self.server, &schema, &databases).await?;
        }
        for namespace in in_the_way {
            self.server.drop_collection(&namespace.database, &namespace.collection).await?;
        }
        let rehearsal = self.options.rehearsal;
        for i in 0..self.incoming.len() {
            let Incoming { to, metadata, define, .. } = &self.incoming[i];
            // Views come last; and stored functions lie in a collection that is made by writing to it.
            if *define && metadata.kind != Kind::View && !to.collection.starts_with("system.") {
                let command = define::create(&to.collection, metadata, rehearsal);
                self.run(&to.database, &format!("creating {to}"), command).await?;
            }
            if *define {
                self.made.push(to.clone());
            }
        }
        Ok(())
    }

    fn wants(&self, file: &str) -> bool {
        self.files.contains_key(file) || (self.replay.is_some() && file == oplog::FILE)
    }

    fn comes_last(&self, file: &str) -> bool {
        file == oplog::FILE
    }

    async fn load(&self, place: PartPlace<'_>, mut data: ByteStream<'_>) -> Result<()> {
        if let Some(replay) = self.replay.as_ref().filter(|_| place.file == oplog::FILE) {
            return replay.lock().await.apply(&self.server, data).await.map_err(|e| e.at(place.file));
        }
        let Some(to) = self.files.get(place.file) else {
            return Err(Error::new(Code::Internal, format!("{} was not expected", place.file)));
        };
        let collection = self.server.database(&to.database).collection::<RawDocumentBuf>(&to.collection);
        // What was valid when it was written stays, whatever a validator asks for by now. It takes a privilege of its own.
        let of = |i: &&Incoming| i.to.database == to.database && (i.data == to.collection || i.to == *to);
        let validated = self.incoming.iter().find(of).is_some_and(|i| i.metadata.options.contains_key("validator"));
        let insert = |batch: Vec<RawDocumentBuf>| {
            let collection = collection.clone();
            async move {
                if batch.is_empty() {
                    return Ok(());
                }
                let mut insert = collection.insert_many(batch).ordered(true);
                if validated {
                    insert = insert.bypass_document_validation(true);
                }
                insert.await.map(|_| ()).map_err(|e| failure(format!("loading {to}"), e))
            }
        };
        let mut documents = Documents::default();
        while let Some(bytes) = data.try_next().await? {
            documents.push(&bytes);
            while let Some(batch) = documents.full_batch().map_err(|e| e.at(place.file))? {
                insert(batch).await?;
            }
        }
        insert(documents.finish().map_err(|e| e.at(place.file))?).await
    }

    async fn finish(&mut self) -> Result<Vec<Warning>> {
        let mut warnings = std::mem::take(&mut self.warnings);
        if let Some(replay) = &mut self.replay {
            let (incoming, more) = replay.get_mut().changes.finish()?;
            self.incoming = incoming;
            warnings.extend(more);
        }
        let mut builds = Vec::new();
        for incoming in &self.incoming {
            if incoming.metadata.kind != Kind::View {
                builds.push(self.build_indexes(incoming));
            }
        }
        let built: Vec<Vec<Warning>> = stream::iter(builds).buffered(self.options.jobs.max(1)).try_collect().await?;
        warnings.extend(built.into_iter().flatten());
        let views: Vec<&Incoming> =
            self.incoming.iter().filter(|i| i.define && i.metadata.kind == Kind::View).collect();
        let mut databases: Vec<&str> = views.iter().map(|i| i.to.database.as_str()).collect();
        databases.dedup();
        for database in databases {
            let of_database: Vec<(&str, &Metadata)> = views
                .iter()
                .filter(|i| i.to.database == database)
                .map(|i| (i.to.collection.as_str(), &i.metadata))
                .collect();
            for name in define::views_in_order(&of_database) {
                let Some((_, metadata)) = of_database.iter().find(|(n, _)| *n == name) else { continue };
                let command = define::create(name, metadata, self.options.rehearsal);
                self.run(database, &format!("creating the view {database}.{name}"), command).await?;
            }
        }
        // Nothing after them can fail: they are not taken back.
        warnings.extend(self.coming.create(&self.server).await?);
        Ok(warnings)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let replayed = self.replay.map(|replay| replay.into_inner().changes.made).unwrap_or_default();
        for namespace in self.made.iter().chain(&replayed) {
            self.server.drop_collection(&namespace.database, &namespace.collection).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for MongoTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoTarget").field("to", self.server.address()).field("made", &self.made).finish()
    }
}
