//! `export`: the dump as stock tools load it.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::progress::Run;
use crate::report::ExportReport;
use crate::secret::Secret;
use crate::vault::Vault;

/// Options of [`Vault::export`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Export {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
    /// The folder to write: new, or empty; for classic artifacts any folder.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "path")))]
    pub folder: Option<PathBuf>,
    /// What is written. Default: the dump directory.
    pub format: ExportFormat,
    /// The passphrase that a classic artifact is encrypted with. Absent: the vault's.
    pub artifact_passphrase: Option<Secret>,
    /// Do not encrypt a classic artifact.
    pub plain: bool,
    /// Leave the files compressed as they are stored.
    pub keep_compression: bool,
}

/// What an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ExportFormat {
    /// The engine's dump directory: `pg_restore -j`, myloader, mongorestore load it.
    #[default]
    Directory,
    /// The artifact of old scripts: `backup-….dump.gz`, encrypted `.dump.gz.enc`, and its `.sha256`.
    Classic,
}

impl Verb<Export> {
    /// Writes this instead of the dump directory.
    pub fn format(self, format: ExportFormat) -> Self {
        self.with(|o| o.format = format)
    }

    /// Encrypts a classic artifact with this passphrase instead of the vault's.
    pub fn artifact_passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.with(|o| o.artifact_passphrase = Some(passphrase.into()))
    }

    /// Leaves a classic artifact without encryption.
    pub fn plain(self) -> Self {
        self.with(|o| o.plain = true)
    }

    /// Writes into this folder: new, or empty.
    pub fn folder(self, folder: impl Into<PathBuf>) -> Self {
        self.with(|o| o.folder = Some(folder.into()))
    }

    /// Leaves the files compressed as they are stored.
    pub fn keep_compression(self) -> Self {
        self.with(|o| o.keep_compression = true)
    }
}

impl Perform for Export {
    type Report = ExportReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<ExportReport> {
        let session = vault.session().await?;
        let id = session.resolve(&self.backup).await?;
        let folder = self.folder.ok_or_else(|| {
            Error::new(Code::MissingSetting, "no folder was given").next("name the folder to export into")
        })?;
        if self.format == ExportFormat::Classic {
            let passphrase = self.artifact_passphrase.or_else(|| vault.0.place.passphrase()).filter(|_| !self.plain);
            if passphrase.is_none() && session.marker.encrypted && !self.plain {
                return Err(Error::new(
                    Code::KeyRequired,
                    "the store is encrypted, and there is no passphrase for the artifact",
                )
                .next("give one, or say that the artifact is to be plain"));
            }
            return ops::classic::export(&session, &id, &folder, passphrase.as_ref(), &run).await;
        }
        ops::export::export(&session, &id, &folder, self.keep_compression, &run).await
    }
}
