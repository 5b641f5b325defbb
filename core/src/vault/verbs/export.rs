//! `export`: the dump as the directory that stock tools load.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::progress::Run;
use crate::report::ExportReport;
use crate::vault::Vault;

/// Options of [`Vault::export`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Export {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
    /// The folder to write: new, or empty.
    pub folder: Option<PathBuf>,
    /// Leave the files compressed as they are stored.
    pub keep_compression: bool,
}

impl Verb<Export> {
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
        ops::export::export(&session, &id, &folder, self.keep_compression, &run).await
    }
}
