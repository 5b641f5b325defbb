//! Restores a dump into a database.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::engine::pool::{Pool, open_up_to};
use crate::engine::script::is_all;
use crate::engine::{ByteStream, Engine, PartPlace, RestoreOptions, StoredFile, Suffix, Target};
use crate::error::{Code, Error, Result};
use crate::report::{Promoted, Warning};

use super::Mysql;
use super::arrive;
use super::build::{self, Site, Waiting, not_prepared};
use super::catalog::{Dump, Kind, Object};
use super::collations;
use super::connect::{Role, Server, Session};
use super::existing;
use super::globals::{self, Account};
use super::infile::{self, Begun};
use super::insert::{self, Large};
use super::keys;
use super::place::{self, Home};
use super::promote;
use super::script;
use super::select::fit;

/// The databases that a dump is restored into.
pub(super) struct MyTarget {
    server: Server,
    options: RestoreOptions,
    /// Accounts of the dump, and the names of those that were missing.
    accounts: Vec<Account>,
    created: Vec<String>,
    restore: Option<Restore>,
    /// Set when the dump is a script, which is run rather than loaded: what was left out of it.
    script: Option<Mutex<Vec<Warning>>>,
}

/// A restore that has begun.
struct Restore {
    homes: Vec<Home>,
    /// Whose rows are in which file: the index of a database and that of an object in it.
    tables: HashMap<String, (usize, usize)>,
    /// Tables whose keys are built when their rows are there.
    waiting: Waiting,
    /// How many files of each table are not loaded yet.
    left: Mutex<HashMap<(usize, usize), usize>>,
    writers: Pool<Session>,
    /// How many of them there are, as long as none is lost.
    connections: usize,
    /// Whether the server takes LOAD DATA LOCAL.
    infile: bool,
    /// Whether a server that counts by itself lets one LOAD DATA at a time into a table.
    counts_in_turn: bool,
    /// Held by whoever sends a large row in a statement.
    large: Semaphore,
    warnings: Vec<Warning>,
}

impl Restore {
    /// How rows go into a table: by LOAD DATA LOCAL, or else by statements, with what becomes of large rows then.
    fn way(&self, table: &Object) -> Option<Large<'_>> {
        if !self.infile || table.insert_only {
            return Some(Large::InTurn(&self.large));
        }
        // LOAD DATA keeps the counter to its end: the table's other files would wait for it.
        let would_wait = self.counts_in_turn && table.files.len().min(self.connections) > 1 && keys::counts(table);
        would_wait.then_some(Large::InPieces)
    }

    /// Whose rows are in a file, and where they go.
    fn table(&self, file: &str) -> Result<(usize, &Home, &Object)> {
        let found = self.tables.get(file).and_then(|(index, object)| {
            let home = self.homes.get(*index)?;
            Some((*index, home, home.catalog.objects.get(*object).filter(|o| o.kind == Kind::Table)?))
        });
        found.ok_or_else(|| missing(file))
    }

    /// Whether databases of our own are filled, rather than the target's.
    fn is_staged(&self) -> bool {
        self.homes.iter().any(|home| home.staging.is_some())
    }

    /// Whether this was the last file of its table.
    fn was_last_of(&self, file: &str) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.tables.get(file).and_then(|index| left.get_mut(index));
        count.is_some_and(|count| {
            *count -= 1;
            *count == 0
        })
    }
}

/// Smaller tables get all their keys at once: an ALTER takes longer than it saves.
const WORTH_WAITING: u64 = 64 << 10;

/// The tables whose keys wait for their rows.
fn waiting(sites: &[Site<'_>], data: &[StoredFile]) -> Waiting {
    let names = place::names(sites);
    let sizes: HashMap<&str, u64> = data.iter().map(|f| (f.name.as_str(), f.bytes.unwrap_or(0))).collect();
    let bytes = |o: &Object| o.files.iter().filter_map(|f| sizes.get(f.as_str())).sum::<u64>();
    let mut waiting = Waiting::new();
    for (index, site) in sites.iter().enumerate() {
        for table in site.catalog.of(Kind::Table).filter(|o| bytes(o) >= WORTH_WAITING) {
            let steps = keys::steps(&Object { sql: names.in_definition(&table.sql), ..table.clone() });
            waiting.insert((index, table.name.clone()), steps);
        }
    }
    waiting
}

/// Whose rows are in which file.
fn tables(homes: &[Home], data: &[StoredFile]) -> Result<HashMap<String, (usize, usize)>> {
    let there: HashSet<&str> = data.iter().map(|f| f.name.as_str()).collect();
    let mut tables = HashMap::new();
    for (home, catalog) in homes.iter().map(|home| &home.catalog).enumerate() {
        for (index, object) in catalog.objects.iter().enumerate() {
            for file in &object.files {
                if !there.contains(file.as_str()) {
                    return Err(missing(file));
                }
                tables.insert(file.clone(), (home, index));
            }
        }
    }
    Ok(tables)
}

impl MyTarget {
    /// Makes sure that the server can be reached; changes nothing. What is to come is not known yet.
    pub(super) async fn find(server: &Server, options: &RestoreOptions) -> Result<Self> {
        server.connect_outside(Role::Catalog).await?.close().await;
        Ok(Self {
            server: server.clone(),
            options: options.clone(),
            accounts: Vec::new(),
            created: Vec::new(),
            restore: None,
            script: None,
        })
    }

    /// Checks everything, creates the databases that there have to be, and the tables in them.
    async fn begin(&mut self, mut dump: Dump, data: &[StoredFile]) -> Result<()> {
        let names = fit(&mut dump, &self.options, self.server.databases())?;
        if self.options.promote && names.len() > 1 {
            let message = format!("the dump holds {} databases: only one can take the place of another", names.len());
            return Err(Error::new(Code::InvalidOption, message)
                .next("restore them under other names (map_schema), and let the application use those"));
        }
        let mut outside = self.server.connect_outside(Role::Catalog).await?;
        let mut warnings = collations::adapt(&mut outside, &mut dump.databases).await?;
        let catalogs = dump.databases.into_iter().zip(names).collect();
        let mut homes = Home::find(&mut outside, &self.server, catalogs, &self.options).await?;
        if self.options.rehearsal {
            warnings.extend(place::let_go(&mut homes));
        }
        warnings.extend(place::names(&place::finished(&homes)).warnings(homes.iter().map(|home| &home.catalog)));
        let tables = tables(&homes, data)?;
        for Home { catalog, name, .. } in homes.iter().filter(|home| home.staging.is_none() && home.exists) {
            if self.options.select.data_only {
                existing::check(&mut outside, catalog, name, self.options.overwrite).await?;
            } else if !self.options.clean {
                build::no_collisions(&mut outside, catalog, name).await?;
            }
        }
        if self.options.globals {
            let pairs = place::pairs(&homes);
            self.accounts = dump.accounts.into_iter().filter(|account| account.concerns(&pairs)).collect();
            globals::create(&mut outside, &self.accounts, &mut self.created).await?;
        }
        let waiting = match self.options.select.data_only {
            true => Waiting::new(),
            false => waiting(&place::working(&homes), data),
        };
        let left = tables.values().fold(HashMap::new(), |mut left, index| {
            *left.entry(*index).or_insert(0) += 1;
            left
        });
        let restore = self.restore.insert(Restore {
            homes,
            tables,
            waiting,
            left: Mutex::new(left),
            writers: Pool::new(Vec::new()),
            connections: 0,
            infile: false,
            counts_in_turn: false,
            large: Semaphore::new(1),
            warnings,
        });
        if self.options.clean {
            for home in restore.homes.iter().filter(|home| home.staging.is_none() && home.exists) {
                build::drop_all(&mut outside, &home.catalog, &home.name).await?;
            }
        }
        arrive::make_room(&mut outside, &mut restore.homes).await?;
        outside.close().await;
        let first = restore.homes.first().ok_or_else(not_prepared)?;
        let server = self.server.one(first.working());
        let mut first = server.connect(Role::Writer).await?;
        if !self.options.select.data_only {
            build::tables(&mut first, &place::working(&restore.homes), &restore.waiting).await?;
        }
        let local = first.query_one("SELECT @@GLOBAL.local_infile", "asking for LOAD DATA LOCAL").await?;
        restore.infile = local.as_deref() == Some("1");
        let counting = first.query_one("SELECT @@GLOBAL.innodb_autoinc_lock_mode", "asking how tables count").await?;
        restore.counts_in_turn = counting.as_deref() != Some("2");
        if !restore.infile {
            let message =
                "the server takes no LOAD DATA LOCAL (local_infile = OFF): rows went in by INSERT, which is slower";
            restore.warnings.push(Warning::new("no_local_infile", message));
        }
        let more = self.options.jobs.max(1) - 1;
        let (mut writers, fewer) = open_up_to(more, || server.connect(Role::Writer)).await?;
        restore.warnings.extend(fewer);
        writers.push(first);
        for writer in &mut writers {
            if writer.version.is_mariadb(10, 11) {
                writer.execute("SET SESSION system_versioning_insert_history = 1", "setting up the session").await?;
            }
        }
        restore.connections = writers.len();
        restore.writers = Pool::new(writers);
        Ok(())
    }

    /// Everything after the rows, in the databases that they went into.
    async fn complete(&mut self) -> Result<Session> {
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        // From here on there are no more leases; what is lost here is lost with this call.
        let mut writers = restore.writers.drain();
        if writers.len() < restore.connections {
            return Err(Error::new(Code::Internal, "a connection was lost while data was loaded"));
        }
        let mut session = writers.pop().ok_or_else(not_prepared)?;
        for writer in writers {
            writer.close().await;
        }
        if let Some(left_out) = &self.script {
            session.close().await;
            let home = restore.homes.first_mut().ok_or_else(not_prepared)?;
            let (fresh, catalog, warnings) = script::made(&self.server, home.working()).await?;
            session = fresh;
            if home.staging.is_some() {
                home.catalog = catalog;
            }
            restore.warnings = std::mem::take(&mut *left_out.lock().unwrap_or_else(PoisonError::into_inner));
            restore.warnings.extend(warnings);
        }
        let sites = place::working(&restore.homes);
        build::foreign_keys(&mut session, &sites, &restore.waiting).await?;
        for site in &sites {
            let told = build::check_foreign_keys(&mut session, site.database).await?;
            let which = if sites.len() > 1 { format!("{}: ", site.catalog.database) } else { String::new() };
            restore.warnings.extend(told.into_iter().map(|w| Warning::new(&w.code, format!("{which}{}", w.message))));
        }
        // What a script made is there already.
        if self.script.is_none() {
            restore.warnings.extend(build::programs(&mut session, &sites, &self.options).await?);
        }
        Ok(session)
    }

    /// Moves everything into the target, which is empty or not there yet, and lets it act.
    async fn appear(&mut self, session: &mut Session) -> Result<()> {
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        if restore.is_staged() {
            arrive::appear(session, &self.server, &mut restore.homes, &self.options).await?;
        }
        if !self.options.rehearsal {
            build::enable_events(session, &place::finished(&restore.homes), &self.options).await?;
        }
        Ok(())
    }

    /// Takes back what the restore did.
    async fn undo(&mut self) -> Result<()> {
        self.undo_databases().await?;
        if self.created.is_empty() {
            return Ok(());
        }
        let mut session = self.server.connect_outside(Role::Catalog).await?;
        globals::undo(&mut session, &self.accounts, &self.created).await
    }

    async fn undo_databases(&mut self) -> Result<()> {
        let Some(restore) = self.restore.take() else { return Ok(()) };
        drop(restore.writers.drain());
        let mut session = self.server.connect_outside(Role::Catalog).await?;
        arrive::take_back(&mut session, &restore.homes, &self.options).await?;
        session.close().await;
        Ok(())
    }
}

#[async_trait]
impl Target for MyTarget {
    async fn prepare(&mut self, schema: Vec<(String, Bytes)>, data: &[StoredFile]) -> Result<()> {
        if is_all(schema.len(), data) {
            script::check(&self.options)?;
            self.script = Some(Mutex::new(Vec::new()));
            return self.begin(script::blank(&self.server).await?, &[]).await;
        }
        self.begin(Dump::of_files(&schema)?, data).await
    }

    fn wants(&self, file: &str) -> bool {
        // The other files say for stock tools what the catalog says.
        self.script.is_some() || self.restore.as_ref().is_some_and(|restore| restore.tables.contains_key(file))
    }

    async fn load(&self, place: PartPlace<'_>, data: ByteStream<'_>) -> Result<()> {
        let restore = self.restore.as_ref().ok_or_else(not_prepared)?;
        if let Some(left_out) = &self.script {
            let home = restore.homes.first().ok_or_else(not_prepared)?;
            let mut writer = restore.writers.lease().await?;
            let fresh = home.staging.is_some();
            let warnings = script::fill(&mut writer, home.working(), &self.options, fresh, data).await?;
            left_out.lock().unwrap_or_else(PoisonError::into_inner).extend(warnings);
            writer.done();
            return Ok(());
        }
        let (index, home, object) = restore.table(place.file)?;
        let mut writer = restore.writers.lease().await?;
        writer.enter(home.working()).await?;
        let (conn, database) = (&mut writer.conn, home.working());
        match restore.way(object) {
            None => infile::load_data(conn, database, object, place.file, Begun::default(), data).await?,
            Some(large) => insert::insert(conn, database, object, place.file, data, large).await?,
        }
        if restore.was_last_of(place.file)
            && let Some(steps) = restore.waiting.get(&(index, object.name.clone()))
            && let Some(sql) = &steps.keys
        {
            writer.execute(sql, &format!("building the keys of {}", object.name)).await?;
        }
        writer.done();
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<Warning>> {
        let mut session = self.complete().await?;
        self.appear(&mut session).await?;
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        if !self.options.no_privileges {
            let told =
                globals::grant(&mut session, &self.accounts, &self.created, &place::pairs(&restore.homes)).await?;
            restore.warnings.extend(told);
        }
        session.close().await;
        Ok(std::mem::take(&mut restore.warnings))
    }

    async fn stage(&mut self) -> Result<(Arc<dyn Engine>, Vec<Warning>)> {
        let session = self.complete().await?;
        session.close().await;
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        let warnings = std::mem::take(&mut restore.warnings);
        let home = restore.homes.first().ok_or_else(not_prepared)?;
        Ok((Arc::new(Mysql { server: self.server.one(home.working()) }), warnings))
    }

    async fn promote(&mut self, suffix: &Suffix) -> Result<(Promoted, Vec<Warning>)> {
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        let [Home { catalog, name, exists, staging: Some(staging), .. }] = restore.homes.as_slice() else {
            return Err(not_prepared());
        };
        if *exists {
            let live = promote::Live { server: &self.server, name, staging, options: &self.options };
            return live.give_way(catalog, suffix).await;
        }
        let mut session = self.server.one(staging).connect(Role::Writer).await?;
        self.appear(&mut session).await?;
        session.close().await;
        Ok((Promoted::default(), Vec::new()))
    }

    fn created(&self) -> Vec<String> {
        self.created.iter().map(|name| format!("account {name}")).collect()
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.undo().await
    }
}

fn missing(file: &str) -> Error {
    Error::new(Code::Damaged, format!("{file} is missing in the dump")).next("use another backup")
}

impl fmt::Debug for MyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MyTarget").field("server", &self.server).finish_non_exhaustive()
    }
}
