//! Restores a dump into a database.

use std::collections::HashMap;
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
use super::build::{self, not_prepared};
use super::catalog::{self, Catalog, Kind, Object};
use super::collations;
use super::connect::{Role, Server, Session};
use super::existing;
use super::files::create_database;
use super::globals::{self, Account};
use super::infile::{self, Begun};
use super::insert::{self, Large};
use super::keys::{self, Steps};
use super::place::{self, Place};
use super::promote;
use super::quote::ident;
use super::script;
use super::select::fit;

/// A database that a dump is restored into.
pub(super) struct MyTarget {
    server: Server,
    options: RestoreOptions,
    place: Place,
    /// Accounts of the dump, and the names of those that were missing.
    accounts: Vec<Account>,
    created: Vec<String>,
    restore: Option<Restore>,
    /// Set when the dump is a script, which is run rather than loaded: what was left out of it.
    script: Option<Mutex<Vec<Warning>>>,
}

/// A restore that has begun.
struct Restore {
    /// Where tables and rows go: the target itself or the database whose tables will be moved there.
    server: Server,
    catalog: Catalog,
    /// Whose rows are in which file: the index of an object.
    tables: HashMap<String, usize>,
    /// Tables whose keys are built when their rows are there.
    waiting: HashMap<String, Steps>,
    /// How many files of each table are not loaded yet.
    left: Mutex<HashMap<usize, usize>>,
    writers: Pool<Session>,
    /// How many of them there are, as long as none is lost.
    connections: usize,
    /// Whether the server takes LOAD DATA LOCAL.
    infile: bool,
    /// Whether a server that counts by itself lets one LOAD DATA at a time into a table.
    counts_in_turn: bool,
    /// Held by whoever sends a large row in a statement.
    large: Semaphore,
    /// Whether the target's database was created by the end of the restore.
    target_created: bool,
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
fn waiting(catalog: &Catalog, data: &[StoredFile]) -> HashMap<String, Steps> {
    let sizes: HashMap<&str, u64> = data.iter().map(|f| (f.name.as_str(), f.bytes.unwrap_or(0))).collect();
    let bytes = |o: &Object| o.files.iter().filter_map(|f| sizes.get(f.as_str())).sum::<u64>();
    catalog.of(Kind::Table).filter(|o| bytes(o) >= WORTH_WAITING).map(|o| (o.name.clone(), keys::steps(o))).collect()
}

impl MyTarget {
    /// Looks at the target and decides where the restore will go; changes nothing.
    pub(super) async fn find(server: &Server, options: &RestoreOptions) -> Result<Self> {
        let place = Place::find(server, options).await?;
        tracing::debug!(?place, "restoring");
        Ok(Self {
            server: server.clone(),
            options: options.clone(),
            place,
            accounts: Vec::new(),
            created: Vec::new(),
            restore: None,
            script: None,
        })
    }

    /// Creates the database if there has to be one, and the tables in it.
    async fn begin(&mut self, mut catalog: Catalog, data: &[StoredFile]) -> Result<()> {
        fit(&mut catalog, &self.options)?;
        let mut outside = self.server.connect_outside(Role::Catalog).await?;
        let warnings = collations::adapt(&mut outside, &mut catalog).await?;
        if self.options.globals {
            let result = globals::create(&mut outside, &catalog.accounts, &mut self.created).await;
            self.accounts.clone_from(&catalog.accounts);
            result?;
        }
        outside.close().await;
        let mut tables = HashMap::new();
        for (index, object) in catalog.objects.iter().enumerate() {
            for file in &object.files {
                if !data.iter().any(|f| f.name == *file) {
                    return Err(missing(file));
                }
                tables.insert(file.clone(), index);
            }
        }
        let server = match &self.place {
            Place::Direct => {
                let mut session = self.server.connect(Role::Catalog).await?;
                let database = self.server.database();
                if self.options.select.data_only {
                    existing::check(&mut session, &catalog, database, self.options.overwrite).await?;
                } else if self.options.clean {
                    build::drop_all(&mut session, &catalog, database).await?;
                } else {
                    build::no_collisions(&mut session, &catalog, database).await?;
                }
                session.close().await;
                self.server.clone()
            }
            Place::Staging { name, .. } => {
                let mut session = self.server.connect_outside(Role::Catalog).await?;
                let sql = create_database(&catalog, name);
                session.execute(sql.trim_end_matches(";\n"), &format!("creating database {name}")).await?;
                session.close().await;
                self.server.sibling(name)
            }
        };
        let waiting = if self.options.select.data_only { HashMap::new() } else { waiting(&catalog, data) };
        let left = tables.values().fold(HashMap::new(), |mut left, index| {
            *left.entry(*index).or_insert(0) += 1;
            left
        });
        let restore = self.restore.insert(Restore {
            server,
            catalog,
            tables,
            waiting,
            left: Mutex::new(left),
            writers: Pool::new(Vec::new()),
            connections: 0,
            infile: false,
            counts_in_turn: false,
            large: Semaphore::new(1),
            target_created: false,
            warnings,
        });
        let mut first = restore.server.connect(Role::Writer).await?;
        if !self.options.select.data_only {
            build::tables(&mut first, &restore.catalog, &restore.waiting).await?;
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
        let server = restore.server.clone();
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

    /// Everything after the rows, in the database that they went into.
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
            let (mut session, catalog, warnings) = script::made(&restore.server).await?;
            if self.place != Place::Direct {
                restore.catalog = catalog;
            }
            restore.warnings = std::mem::take(&mut *left_out.lock().unwrap_or_else(PoisonError::into_inner));
            restore.warnings.extend(warnings);
            restore.warnings.extend(build::check_foreign_keys(&mut session, restore.server.database()).await?);
            return Ok(session);
        }
        build::foreign_keys(&mut session, &restore.waiting).await?;
        restore.warnings.extend(build::check_foreign_keys(&mut session, restore.server.database()).await?);
        restore.warnings.extend(build::programs(&mut session, &restore.catalog, &self.options).await?);
        Ok(session)
    }

    /// Moves everything into the target, which is empty or not there yet.
    async fn appear(&mut self, mut session: Session, staging: &str, exists: bool) -> Result<Session> {
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        let target = self.server.database().to_owned();
        if exists {
            if let Some(contents) = place::contents(&mut session, &target).await? {
                let message = format!("{} is no longer empty: it holds {contents}", self.server);
                return Err(Error::new(Code::TargetNotEmpty, message).next("restore into a new database"));
            }
        } else {
            let sql = create_database(&restore.catalog, &target);
            session.execute(sql.trim_end_matches(";\n"), &format!("creating database {target}")).await?;
        }
        restore.target_created = true;
        build::drop_programs(&mut session, &restore.catalog, staging).await?;
        build::move_tables(&mut session, &restore.catalog, staging, &target).await?;
        session.execute(&format!("USE {}", ident(&target)), "entering the database").await?;
        // Each of them was created once already, so nothing of it is new to the server.
        build::programs(&mut session, &restore.catalog, &self.options).await?;
        place::drop_database(&mut session, staging).await?;
        Ok(session)
    }

    /// Takes back what the restore did.
    async fn undo(&mut self) -> Result<()> {
        self.undo_database().await?;
        if self.created.is_empty() {
            return Ok(());
        }
        let mut session = self.server.connect_outside(Role::Catalog).await?;
        globals::undo(&mut session, &self.accounts, &self.created).await
    }

    async fn undo_database(&mut self) -> Result<()> {
        let Some(restore) = self.restore.take() else { return Ok(()) };
        drop(restore.writers.drain());
        let mut session = self.server.connect_outside(Role::Catalog).await?;
        if self.place == Place::Direct {
            let database = self.server.database();
            match (self.options.select.data_only, self.options.overwrite) {
                (false, _) => build::drop_all(&mut session, &restore.catalog, database).await?,
                (true, false) => existing::empty(&mut session, &restore.catalog, database).await?,
                // Rows that were added to others cannot be told from them.
                (true, true) => {}
            }
        }
        if let Place::Staging { name, exists } = &self.place {
            let target = self.server.database();
            if restore.target_created && *exists {
                build::drop_all(&mut session, &restore.catalog, target).await?;
            } else if restore.target_created {
                place::drop_database(&mut session, target).await?;
            }
            place::drop_database(&mut session, name).await?;
        }
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
        let file = schema.iter().find(|(name, _)| name == catalog::FILE);
        let (_, bytes) = file.ok_or_else(|| missing(catalog::FILE))?;
        let catalog = Catalog::decode(bytes)?;
        self.begin(catalog, data).await
    }

    fn wants(&self, file: &str) -> bool {
        // The other files say for stock tools what the catalog says.
        self.script.is_some() || self.restore.as_ref().is_some_and(|restore| restore.tables.contains_key(file))
    }

    async fn load(&self, place: PartPlace<'_>, data: ByteStream<'_>) -> Result<()> {
        let restore = self.restore.as_ref().ok_or_else(not_prepared)?;
        if let Some(left_out) = &self.script {
            let mut writer = restore.writers.lease().await?;
            let fresh = self.place != Place::Direct;
            let warnings = script::fill(&mut writer, &restore.server, &self.options, fresh, data).await?;
            left_out.lock().unwrap_or_else(PoisonError::into_inner).extend(warnings);
            writer.done();
            return Ok(());
        }
        let object = restore.tables.get(place.file).and_then(|index| restore.catalog.objects.get(*index));
        let object = object.filter(|o| o.kind == Kind::Table).ok_or_else(|| missing(place.file))?;
        let mut writer = restore.writers.lease().await?;
        let (conn, database) = (&mut writer.conn, restore.server.database());
        match restore.way(object) {
            None => infile::load_data(conn, database, object, place.file, Begun::default(), data).await?,
            Some(large) => insert::insert(conn, database, object, place.file, data, large).await?,
        }
        if restore.was_last_of(place.file)
            && let Some(sql) = restore.waiting.get(&object.name).and_then(|steps| steps.keys.as_ref())
        {
            writer.execute(sql, &format!("building the keys of {}", object.name)).await?;
        }
        writer.done();
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<Warning>> {
        let mut session = self.complete().await?;
        if let Place::Staging { name, exists } = self.place.clone() {
            session = self.appear(session, &name, exists).await?;
        }
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        if !self.options.rehearsal {
            build::enable_events(&mut session, &restore.catalog, &self.options).await?;
        }
        if !self.options.no_privileges {
            let names = (restore.catalog.database.as_str(), self.server.database());
            let told = globals::grant(&mut session, &self.accounts, &self.created, names).await?;
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
        Ok((Arc::new(Mysql { server: restore.server.clone() }), warnings))
    }

    async fn promote(&mut self, suffix: &Suffix) -> Result<(Promoted, Vec<Warning>)> {
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        let Place::Staging { name, exists } = self.place.clone() else { return Err(not_prepared()) };
        if exists {
            let live = promote::Live { server: &self.server, staging: &name, options: &self.options };
            return live.give_way(&restore.catalog, suffix).await;
        }
        let session = restore.server.connect(Role::Writer).await?;
        let session = self.appear(session, &name, exists).await?;
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        let mut session = session;
        build::enable_events(&mut session, &restore.catalog, &self.options).await?;
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
        f.debug_struct("MyTarget").field("server", &self.server).field("place", &self.place).finish_non_exhaustive()
    }
}
