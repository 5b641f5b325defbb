//! SQLite: the dump is the database file itself.
//!
//! A snapshot copies the database with SQLite's online backup into a private file and reads that, so the source is
//! held for as long as a local copy takes and never waits for a store. A restore writes a new file beside the target,
//! checks it and renames it into place. All work on files and in SQLite runs on blocking threads.

mod blocking;
mod check;
mod doctor;
mod dump;
mod failure;
mod ffi;
pub(crate) mod live;
mod load;
mod probe;
mod promote;
mod source;
mod stats;
mod summary;
mod temp;
mod url;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use self::blocking::blocking;
use self::live::Task;
use super::{DoctorOptions, Engine, RestoreOptions, Snapshot, SnapshotOptions, Target};
use crate::error::{Code, Error, Result};
use crate::id::EngineKind;
use crate::report::{Check, DatabaseStats, Probe, TableSummary};

/// One SQLite database file, which need not exist yet.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    path: PathBuf,
    name: String,
    /// See [`live`].
    command: Vec<String>,
}

impl Sqlite {
    /// The database that a URL or a path names: `sqlite:shop.db`, `sqlite:///var/lib/shop.db`, `file:shop.db`,
    /// `shop.db`. Nothing is opened yet.
    ///
    /// # Errors
    /// `InvalidUrl`.
    pub(crate) fn new(url: &str, command: &[String]) -> Result<Self> {
        Ok(Self { command: command.to_owned(), ..Self::at(url::parse(url)?) })
    }

    /// Whether a text that is no URL looks like the path of an SQLite database.
    pub(crate) fn is_path(text: &str) -> bool {
        url::is_path(text)
    }

    fn at(path: PathBuf) -> Self {
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Self { path, name, command: Vec::new() }
    }
}

fn no_globals(wanted: bool) -> Result<()> {
    match wanted {
        true => Err(Error::new(Code::InvalidOption, "SQLite has no roles").next("leave `globals` out")),
        false => Ok(()),
    }
}

#[async_trait]
impl Engine for Sqlite {
    fn kind(&self) -> EngineKind {
        EngineKind::Sqlite
    }

    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn database(&self) -> &str {
        &self.name
    }

    async fn probe(&self) -> Result<Probe> {
        Task::Probe { path: self.path.clone() }.run(&self.command).await
    }

    async fn snapshot(&self, options: &SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        no_globals(options.globals)?;
        options.select.must_be_everything("SQLite")?;
        Ok(Box::new(dump::snapshot(&self.path, &self.command, options).await?))
    }

    async fn target(&self, options: &RestoreOptions) -> Result<Box<dyn Target>> {
        no_globals(options.globals)?;
        options.select.must_be_everything("SQLite")?;
        options.map.must_be_empty("SQLite")?;
        Ok(Box::new(load::target(&self.path, &self.command, options).await?))
    }

    fn sibling(&self, name: &str, work_dir: Option<&Path>) -> Result<Arc<dyn Engine>> {
        if name.is_empty() || name.contains(['/', '\0']) {
            return Err(Error::new(Code::InvalidOption, format!("`{name}` cannot name a database file"))
                .next("give a name without slashes"));
        }
        let folder = work_dir.map_or_else(std::env::temp_dir, Path::to_owned);
        Ok(Arc::new(Self::at(folder.join(format!("{name}.db")))))
    }

    async fn summarize(&self, tables: &[TableSummary], jobs: usize) -> Result<Vec<TableSummary>> {
        let path = self.path.clone();
        let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
        blocking(move |stop| probe::summarize(&path, &names, jobs, stop)).await
    }

    async fn smoke(&self, query: &str) -> Result<bool> {
        Task::Smoke { path: self.path.clone(), query: query.to_owned() }.run(&self.command).await
    }

    async fn stats(&self) -> Result<DatabaseStats> {
        Task::Stats { path: self.path.clone() }.run(&self.command).await
    }

    async fn discard(&self) -> Result<()> {
        let path = self.path.clone();
        blocking(move |_| {
            temp::remove_if_there(&path)?;
            temp::remove_side_files(&path)
        })
        .await
    }

    async fn doctor(&self, options: &DoctorOptions) -> Vec<Check> {
        doctor::doctor(&self.path, &self.command, options).await
    }
}
