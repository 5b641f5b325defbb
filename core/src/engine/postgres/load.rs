//! Restores a dump into a database.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::engine::{ByteStream, Engine, Mapping, PartPlace, RestoreOptions, Selection, StoredFile, Suffix, Target};
use crate::error::{Code, Error, Result};
use crate::report::{Promoted, Warning};

use super::Postgres;
use super::archive::{self, Archive, Header, blob_oid};
use super::build::{Build, Sessions};
use super::clean;
use super::connect::{Role, Server, execute, query};
use super::copy::rows_in;
use super::database::{self, Options, maintenance};
use super::dialect;
use super::existing;
use super::fit::{Fit, fit};
use super::globals::{self, Coming, Created};
use super::large_object;
use super::place::{self, Place, Replaced};
use super::preflight;
use super::present::Present;
use super::promote;
use super::quote::ident;
use super::script::{self, Rules};
use super::statements::{Pass, describe, pass, split};
use super::superuser;
use crate::engine::pool::{Pool, fewer_connections};
use crate::engine::script::is_all;

/// A database that a dump is restored into.
#[derive(Debug)]
pub(super) struct PgTarget {
    server: Server,
    options: RestoreOptions,
    place: Place,
    /// Roles and tablespaces that were missing.
    created: Created,
    restore: Option<Restore>,
}

/// A restore that has begun.
struct Restore {
    /// Where the objects and rows go: the target itself or the database that will take its name.
    server: Server,
    build: Build,
    sessions: Sessions,
    /// Data files: the entry each belongs to, and its size.
    tables: HashMap<String, (usize, Option<u64>)>,
    /// Whether the dump is a script, which is run rather than loaded.
    script: bool,
    writers: Pool<PgConnection>,
    /// How many of them there are, as long as none is lost.
    connections: usize,
    warnings: Vec<Warning>,
}

impl fmt::Debug for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restore").field("server", &self.server).finish_non_exhaustive()
    }
}

impl PgTarget {
    /// Looks at the target and decides where the restore will go; changes nothing.
    pub(super) async fn find(server: &Server, options: &RestoreOptions) -> Result<Self> {
        // What was named, or goes into schemas of its own, may come beside what is there: collisions are looked for.
        let beside = options.select.names_some() || !options.map.schemas.is_empty();
        let into = options.clean || options.select.data_only;
        let overwrite = options.overwrite || beside || into;
        let place = Place::find(server, &RestoreOptions { overwrite, ..options.clone() }).await?;
        if options.select.data_only && matches!(place, Place::Staging { .. }) {
            let message = format!("{server} has no tables that rows alone could be restored into");
            return Err(Error::new(Code::DatabaseNotFound, message).next("restore definitions as well"));
        }
        if options.select.data_only && options.clean {
            return Err(Error::new(Code::InvalidOption, "clean drops definitions, data only restores none")
                .next("leave out one of them"));
        }
        tracing::debug!(?place, "restoring");
        Ok(Self { server: server.clone(), options: options.clone(), place, created: Created::default(), restore: None })
    }

    /// Checks, creates the database if there has to be one, and runs what comes before the data.
    async fn begin(
        &mut self,
        mut archive: Archive,
        globals: Option<&Bytes>,
        data: &[StoredFile],
        script: bool,
    ) -> Result<()> {
        let (mut conn, creates) = match &self.place {
            Place::Direct => (self.server.connect(Role::Catalog).await?, false),
            Place::Staging { .. } => (maintenance(&self.server).await?, true),
        };
        let present = match &self.place {
            Place::Direct => Some(Present::read(&mut conn).await?),
            Place::Staging { .. } => None,
        };
        let Fit { drops, mut warnings } = fit(&mut archive, &self.options, present.as_ref())?;
        let major = conn.server_version_num().unwrap_or(0) / 10_000;
        warnings.extend(dialect::adapt(&mut archive, major)?);
        warnings.extend(superuser::check(&mut conn, &mut archive, &self.options, present.as_ref()).await?);
        let tables = data_files(&archive, data)?;
        let coming = match self.options.globals {
            true => Coming::choose(&mut conn, globals, &archive, &self.options).await?,
            false => Coming::default(),
        };
        let (mut adapt, told) = preflight::check(&mut conn, &archive, creates, &coming.roles(), &self.options).await?;
        warnings.extend(told);
        let rows_only = self.options.select.data_only;
        if rows_only {
            existing::check(&mut conn, &archive.entries, self.options.overwrite).await?;
        }
        // Only now, when everything else is as it should be.
        let told = coming.create(&mut conn, &mut self.created).await?;
        for name in &self.created.tablespaces {
            adapt.missing_tablespaces.remove(name);
            warnings
                .retain(|w| w.code != "missing_tablespace" || !w.message.starts_with(&format!("tablespace {name} ")));
        }
        warnings.extend(told);
        let server = match &self.place {
            Place::Direct => self.server.clone(),
            Place::Staging { name, replaces } => {
                warnings.extend(create_database(&mut conn, name, replaces.as_ref(), &archive, &self.options).await?);
                self.server.sibling(name)
            }
        };
        clean::drop_all(&mut conn, &drops).await?;
        let settings = if rows_only { existing::settings(&mut conn).await? } else { "" };
        drop(conn.close().await);

        let mut sessions = Sessions::new(&archive, settings);
        let mut writer = sessions.open(&server).await?;
        let sql = "SELECT extname FROM pg_catalog.pg_extension";
        let extensions =
            query(&mut writer, sql, "checking the target").await?.into_iter().flatten().flatten().collect();
        let weights = weights(&archive, &tables);
        let build = Build::new(archive, adapt, weights, extensions);
        let mut writers = vec![writer];
        let writers_yet = Pool::new(vec![]);
        let restore = self.restore.insert(Restore {
            server,
            build,
            sessions,
            tables,
            script,
            writers: writers_yet,
            connections: 0,
            warnings,
        });
        let (before, _) = split(&restore.build.archive.entries);
        restore.build.run_in_order(&mut writers[0], &before).await?;
        let wanted = self.options.jobs.max(1);
        while writers.len() < wanted {
            match restore.sessions.open(&restore.server).await {
                Ok(writer) => writers.push(writer),
                Err(e) if e.code() == Code::TooManyConnections => {
                    restore.warnings.push(fewer_connections(writers.len(), wanted, &e));
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        restore.connections = writers.len();
        restore.writers = Pool::new(writers);
        Ok(())
    }

    /// Takes back what the restore did.
    async fn undo(&mut self) -> Result<()> {
        self.undo_database().await?;
        match self.created.listed().is_empty() {
            true => Ok(()),
            false => self.created.undo(&mut maintenance(&self.server).await?).await,
        }
    }

    async fn undo_database(&mut self) -> Result<()> {
        let restore = self.restore.take();
        match &self.place {
            Place::Staging { name, replaces } => {
                if replaces.is_some() {
                    // There only if the end of the restore was cut off.
                    database::drop_database(&self.server, &replaced_name(name)).await?;
                }
                database::drop_database(&self.server, name).await
            }
            Place::Direct => match restore {
                Some(restore) => {
                    let mut conn = self.server.connect(Role::Catalog).await?;
                    restore.sessions.end(&mut conn).await?;
                    // Rows that were added to others cannot be told from them.
                    if self.options.select.data_only && !self.options.overwrite {
                        return existing::empty(&mut conn, &restore.build.archive.entries).await;
                    }
                    restore.build.drop_all(&mut conn).await
                }
                None => Ok(()),
            },
        }
    }

    /// Everything after the data, up to what makes the result visible.
    async fn complete(&mut self) -> Result<Vec<Warning>> {
        let restore = self.restore.as_mut().ok_or_else(not_prepared)?;
        let (_, after) = split(&restore.build.archive.entries);
        let of_pass = |wanted: Pass| -> Vec<usize> {
            let entries = &restore.build.archive.entries;
            let wanted = |index: &usize| pass(&entries[*index]) == wanted;
            after.iter().copied().filter(wanted).collect()
        };
        let (main, privileges, last) = (of_pass(Pass::Main), of_pass(Pass::Privileges), of_pass(Pass::Last));
        // From here on there are no more leases; what is lost here is lost with this call.
        let mut writers = restore.writers.drain();
        if writers.len() < restore.connections {
            return Err(Error::new(Code::Internal, "a connection was lost while data was loaded"));
        }
        restore.build.run_scheduled(&mut writers, &main).await?;
        if !self.options.no_privileges {
            restore.build.run_in_order(&mut writers[0], &privileges).await?;
        }
        restore.build.run_scheduled(&mut writers, &last).await?;
        if self.options.select.data_only {
            existing::check_foreign_keys(&mut writers[0], &restore.build.archive.entries).await?;
        }
        restore.warnings.extend(restore.build.take_warnings());
        restore.warnings.extend(restore.build.analyze(&mut writers).await?);
        // The writers commit without waiting for the disk; one commit that waits makes all before it durable.
        let durable = "RESET synchronous_commit; SELECT pg_catalog.pg_current_xact_id()";
        execute(&mut writers[0], durable, "making the restore durable").await?;
        for conn in writers {
            drop(conn.close().await);
        }
        Ok(std::mem::take(&mut restore.warnings))
    }

    /// Gives the restored database the source's settings, if it is new, and the target's name.
    async fn appear(&self, staging: &str, replaces: bool) -> Result<Vec<Warning>> {
        let archive = &self.restore.as_ref().ok_or_else(not_prepared)?.build.archive;
        if replaces {
            let mut conn = self.server.connect(Role::Catalog).await?;
            if let Some(contents) = place::contents(&mut conn).await? {
                let message = format!("{} is no longer empty: it holds {contents}", self.server);
                return Err(Error::new(Code::TargetNotEmpty, message).next("restore into a new database"));
            }
            drop(conn.close().await);
        }
        if !replaces {
            let mut conn = maintenance(&self.server).await?;
            let warnings = database::set_properties(&mut conn, staging, archive, self.options.no_privileges).await;
            drop(conn.close().await);
            promote::swap(&self.server, staging, None).await?;
            return Ok(warnings);
        }
        let old = replaced_name(staging);
        promote::swap(&self.server, staging, Some(&old)).await?;
        let mut warnings = properties_left_out(archive);
        if let Err(e) = database::drop_database(&self.server, &old).await {
            warnings.push(Warning::new("database_left", format!("the empty database {old} remains: {}", e.message())));
        }
        Ok(warnings)
    }
}

#[async_trait]
impl Target for PgTarget {
    async fn prepare(&mut self, schema: Vec<(String, Bytes)>, data: &[StoredFile]) -> Result<()> {
        let file = |name: &str| schema.iter().find(|(n, _)| n == name).map(|(_, bytes)| bytes);
        if is_all(schema.len(), data) {
            let RestoreOptions { select, map, clean, no_superuser, .. } = &self.options;
            if *select != Selection::default() || *map != Mapping::default() || *clean || *no_superuser {
                return Err(Error::new(
                    Code::InvalidOption,
                    "a script is restored whole: nothing can be selected or renamed",
                )
                .next("import it first, and restore a part of the backup"));
            }
            let archive = Archive { header: Header::default(), entries: Vec::new() };
            return self.begin(archive, None, data, true).await;
        }
        let toc = file("toc.dat").ok_or_else(|| missing("toc.dat"))?;
        let archive = archive::read(toc)?;
        if archive.entries.iter().any(|e| e.desc == "BLOBS") {
            let list = archive::read_blobs(file("blobs.toc").ok_or_else(|| missing("blobs.toc"))?)?;
            let there = |oid: &u32| data.iter().any(|f| blob_oid(&f.name) == Some(*oid));
            if let Some(oid) = list.iter().find(|oid| !there(oid)) {
                return Err(missing(&archive::blob_file(*oid)));
            }
        }
        self.begin(archive, file(globals::FILE), data, false).await
    }

    fn wants(&self, file: &str) -> bool {
        let Some(restore) = &self.restore else { return false };
        let large_objects = || restore.build.archive.entries.iter().any(|e| e.desc == "BLOBS");
        restore.script || restore.tables.contains_key(file) || (blob_oid(file).is_some() && large_objects())
    }

    async fn load(&self, place: PartPlace<'_>, data: ByteStream<'_>) -> Result<()> {
        let restore = self.restore.as_ref().ok_or_else(not_prepared)?;
        let mut writer = restore.writers.lease().await?;
        if restore.script {
            let rules = Rules {
                no_owner: self.options.no_owner,
                no_privileges: self.options.no_privileges,
                one_transaction: matches!(self.place, Place::Direct),
                from_database: self.options.from_database.clone(),
            };
            restore.build.warn(script::run(&mut writer, data, &rules).await?);
        } else if let Some(oid) = blob_oid(place.file) {
            let written = large_object::write(&mut writer, oid, place.offset, data).await?;
            if place.bytes.is_some_and(|bytes| written != bytes) {
                return Err(Error::new(
                    Code::Internal,
                    format!("{}: a part has another length than planned", place.file),
                ));
            }
        } else {
            let (entry, bytes) = restore.tables.get(place.file).ok_or_else(|| {
                Error::new(Code::Damaged, format!("toc.dat knows no file {}", place.file)).next("use another backup")
            })?;
            let entry = &restore.build.archive.entries[*entry];
            let doing = format!("loading {}", describe(entry));
            let last = place.bytes.is_none_or(|part| *bytes == Some(place.offset + part));
            match entry.copy.as_deref().filter(|copy| !copy.is_empty()) {
                Some(copy) => rows_in(&mut writer, copy, &doing, place, last, data).await?,
                None => script::inserts(&mut writer, data, &doing).await?,
            }
        }
        writer.done();
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<Warning>> {
        let mut warnings = self.complete().await?;
        warnings.extend(match &self.place {
            Place::Staging { name, replaces } => self.appear(name, replaces.is_some()).await?,
            Place::Direct => properties_left_out(&self.restore.as_ref().ok_or_else(not_prepared)?.build.archive),
        });
        Ok(warnings)
    }

    async fn stage(&mut self) -> Result<(Arc<dyn Engine>, Vec<Warning>)> {
        let mut warnings = self.complete().await?;
        let restore = self.restore.as_ref().ok_or_else(not_prepared)?;
        let archive = &restore.build.archive;
        let mut conn = maintenance(&self.server).await?;
        let (name, privileges) = (restore.server.database(), self.options.no_privileges);
        warnings.extend(database::set_properties(&mut conn, name, archive, privileges).await);
        Ok((Arc::new(Postgres { server: restore.server.clone() }), warnings))
    }

    async fn promote(&mut self, suffix: &Suffix) -> Result<(Promoted, Vec<Warning>)> {
        match &self.place {
            Place::Staging { name, replaces: None } => promote::promote(&self.server, name, suffix).await,
            _ => Err(not_prepared()),
        }
    }

    fn created(&self) -> Vec<String> {
        self.created.listed()
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.undo().await
    }
}

fn missing(file: &str) -> Error {
    Error::new(Code::Damaged, format!("{file} is missing in the dump")).next("use another backup")
}

fn not_prepared() -> Error {
    Error::new(Code::Internal, "the target was not prepared")
}

/// What an empty database is called between giving way and being dropped. Not longer than the staging name.
fn replaced_name(staging: &str) -> String {
    staging.replace("_restoring_", "_replaced_")
}

/// A database that was there keeps its own settings.
fn properties_left_out(archive: &Archive) -> Vec<Warning> {
    let left_out: Vec<String> =
        archive.entries.iter().filter(|e| database::is_property(e)).map(|e| e.desc.to_lowercase()).collect();
    if left_out.is_empty() {
        return Vec::new();
    }
    let message = format!("the target was there before: it does not get the source's {}", left_out.join(", "));
    vec![Warning::new("database_property", message)]
}

/// The files of tables: the entry each belongs to, and its size.
fn data_files(archive: &Archive, data: &[StoredFile]) -> Result<HashMap<String, (usize, Option<u64>)>> {
    let sizes: HashMap<&str, Option<u64>> = data.iter().map(|f| (f.name.as_str(), f.bytes)).collect();
    let mut files = HashMap::new();
    for (index, entry) in archive.entries.iter().enumerate().filter(|(_, e)| e.desc == "TABLE DATA") {
        let Some(file) = &entry.file else { continue };
        let bytes = sizes.get(file.as_str()).ok_or_else(|| missing(file))?;
        files.insert(file.clone(), (index, *bytes));
    }
    Ok(files)
}

/// The bytes of each table's data, by the number of the table's entry.
fn weights(archive: &Archive, files: &HashMap<String, (usize, Option<u64>)>) -> HashMap<i32, u64> {
    let entries = files.values().map(|(index, bytes)| (&archive.entries[*index], bytes.unwrap_or(0)));
    entries.flat_map(|(entry, bytes)| entry.dependencies.iter().map(move |id| (*id, bytes))).collect()
}

/// Creates the database that the restore goes into, in the likeness of the one it replaces or else of the source.
async fn create_database(
    conn: &mut PgConnection,
    name: &str,
    replaces: Option<&Replaced>,
    archive: &Archive,
    options: &RestoreOptions,
) -> Result<Option<Warning>> {
    let source = archive.entries.iter().find(|e| e.desc == "DATABASE").and_then(Options::from_entry);
    let like = replaces.map(|r| &r.0).or(source.as_ref());
    let warning = database::create(conn, name, like).await?;
    let keep_owner = replaces.is_some() || !options.no_owner;
    if let Some(owner) = like.map(|o| &o.owner).filter(|owner| keep_owner && !owner.is_empty()) {
        let sql = format!("ALTER DATABASE {} OWNER TO {}", ident(name), ident(owner));
        execute(conn, &sql, &format!("setting the owner of database {name}")).await?;
    }
    Ok(warning)
}
