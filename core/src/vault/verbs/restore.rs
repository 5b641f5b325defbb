//! `restore`: one backup into a database.

use serde::Deserialize;

use super::{Perform, Selects, Verb};
use crate::engine;
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::progress::Run;
use crate::report::RestoreReport;
use crate::secret::Secret;
use crate::selection::{Mapping, Selection};
use crate::vault::Vault;

/// Options of [`Vault::restore`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Restore {
    /// The backup: an id, the beginning of one, or `latest`; or an artifact's name, path or URL.
    pub backup: String,
    /// The passphrase that openssl encrypted the artifact with. Absent: the vault's.
    pub artifact_passphrase: Option<Secret>,
    /// URL of the database to restore into: empty, or not there yet.
    pub target: Option<Secret>,
    /// Restore even though the target holds something.
    pub overwrite: bool,
    /// Leave everything to the restoring user.
    pub no_owner: bool,
    /// Leave out grants.
    pub no_privileges: bool,
    /// Create the roles, users and tablespaces that the backup needs and the server lacks.
    pub globals: bool,
    /// Restore beside the target, check, and let the result take its place; the database that was there is kept.
    pub promote: bool,
    /// Queries to run before a promotion; each must succeed, and not answer `false` or `0`.
    pub queries: Vec<String>,
    /// What of the backup is restored; the default is everything.
    pub select: Selection,
    /// Other names for schemas, owners and tablespaces.
    pub map: Mapping,
    /// Drop what the backup brings before it is created.
    pub clean: bool,
    /// Leave out what only a superuser may create.
    pub no_superuser: bool,
    /// Which database of a dump that holds several: a script of pg_dumpall.
    pub from_database: Option<String>,
}

impl Verb<Restore> {
    /// Restores into this database: empty, or not there yet.
    pub fn target(self, url: impl Into<Secret>) -> Self {
        self.with(|o| o.target = Some(url.into()))
    }

    /// Restores even though the target holds something.
    pub fn overwrite(self) -> Self {
        self.with(|o| o.overwrite = true)
    }

    /// Leaves everything to the restoring user.
    pub fn no_owner(self) -> Self {
        self.with(|o| o.no_owner = true)
    }

    /// Leaves out grants.
    pub fn no_privileges(self) -> Self {
        self.with(|o| o.no_privileges = true)
    }

    /// Creates the roles, users and tablespaces that the backup needs and the server lacks. What is there is not
    /// changed. The backup was made with globals.
    pub fn globals(self) -> Self {
        self.with(|o| o.globals = true)
    }

    /// Restores beside the live database, compares counts and hashes, and lets the result take its place. The
    /// database that was there is kept under another name.
    pub fn promote(self) -> Self {
        self.with(|o| o.promote = true)
    }

    /// Adds a query that must succeed before a promotion, and not answer `false` or `0`.
    pub fn query(self, query: impl Into<String>) -> Self {
        self.with(|o| o.queries.push(query.into()))
    }

    /// Restores rows into tables that are there, and empty.
    pub fn data_only(self) -> Self {
        self.with(|o| o.select.data_only = true)
    }

    /// Restores what is in one schema into another.
    pub fn map_schema(self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.with(|o| drop(o.map.schemas.insert(from.into(), to.into())))
    }

    /// Gives one role what belongs or is granted to another.
    pub fn map_owner(self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.with(|o| drop(o.map.owners.insert(from.into(), to.into())))
    }

    /// Restores what is in one tablespace into another.
    pub fn map_tablespace(self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.with(|o| drop(o.map.tablespaces.insert(from.into(), to.into())))
    }

    /// Drops what the backup brings before it is created; all else was checked before.
    pub fn clean(self) -> Self {
        self.with(|o| o.clean = true)
    }

    /// Leaves out what only a superuser may create.
    pub fn no_superuser(self) -> Self {
        self.with(|o| o.no_superuser = true)
    }

    /// Opens an artifact with this passphrase instead of the vault's.
    pub fn artifact_passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.with(|o| o.artifact_passphrase = Some(passphrase.into()))
    }

    /// Restores this database of a dump that holds several: a script of pg_dumpall.
    pub fn from_database(self, name: impl Into<String>) -> Self {
        self.with(|o| o.from_database = Some(name.into()))
    }
}

impl Selects for Restore {
    fn selection(&mut self) -> &mut Selection {
        &mut self.select
    }
}

impl Perform for Restore {
    type Report = RestoreReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<RestoreReport> {
        self.check()?;
        let target = match &self.target {
            Some(url) => engine::open(url.expose(), &vault.0.settings)?,
            None => {
                return Err(Error::new(Code::MissingSetting, "no target was given")
                    .next("name the database to restore into; the vault's own is never the default"));
            }
        };
        let options = engine::RestoreOptions {
            jobs: vault.0.settings.jobs,
            overwrite: self.overwrite,
            no_owner: self.no_owner,
            no_privileges: self.no_privileges,
            promote: self.promote,
            globals: self.globals,
            select: self.select,
            map: self.map,
            clean: self.clean,
            no_superuser: self.no_superuser,
            from_database: self.from_database,
            rehearsal: false,
        };
        if let Some(artifact) = vault.artifact(&self.backup, self.artifact_passphrase).await? {
            if self.promote || self.globals {
                return Err(Error::new(
                    Code::InvalidOption,
                    "an artifact has neither counts to promote by nor globals",
                )
                .next("import it, and restore the backup that comes of it"));
            }
            return ops::artifact::restore(&artifact, &*target, &options, &run).await;
        }
        let session = vault.session().await?;
        let id = session.resolve(&self.backup).await?;
        let suffix = engine::Suffix(session.clock.now());
        let promotion = self.promote.then_some(ops::promote::Promotion { queries: self.queries, suffix });
        let backup = run.until_cancelled(session.open_backup(&id)).await?;
        ops::restore::restore(&session, backup, &*target, &options, promotion.as_ref(), &run).await
    }
}

impl Restore {
    /// Refuses options that contradict each other.
    fn check(&self) -> Result<()> {
        let refuse = |what: &str, next: &str| Err(Error::new(Code::InvalidOption, what).next(next));
        match self {
            Self { promote: true, overwrite: true, .. } => {
                refuse("`promote` keeps the database that is there, `overwrite` does not", "give one of them")
            }
            Self { promote: true, select, map, clean, .. }
                if *clean || !map.schemas.is_empty() || *select != Selection::default() =>
            {
                refuse(
                    "a part of a backup, or one under other names, cannot take the place of a whole database",
                    "restore it beside the live one, without `promote`",
                )
            }
            Self { promote: false, queries, .. } if !queries.is_empty() => {
                refuse("queries are run before a promotion only", "add `promote`, or give them to `drill`")
            }
            _ => Ok(()),
        }
    }
}
