//! Work on a database file that others have open, where need be in a process of its own.
//!
//! POSIX locks belong to a process: when one copy of the SQLite library closes a file, the locks that another copy in
//! the same process holds on it are gone, and the database can be corrupted ("How To Corrupt An SQLite Database
//! File", section 2.2.1). So a host that brings a SQLite of its own, as Node and Python do, names a command line of
//! ours ([`Settings::command`](crate::Settings::command)), and what touches a live file is done by that.

use std::path::PathBuf;
use std::process::Stdio;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::blocking::{Stop, blocking};
use super::{doctor, dump, load, probe, stats};
use crate::error::{Code, Error, Result};

/// What is done on a live file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    /// Copies one moment of the database into a file that is there: answers [`dump::Copied`].
    Copy { from: PathBuf, to: PathBuf },
    /// Who it is: answers [`Probe`](crate::Probe).
    Probe { path: PathBuf },
    /// How it is doing: answers [`DatabaseStats`](crate::DatabaseStats).
    Stats { path: PathBuf },
    /// What the doctor sees of it: answers a list of [`Check`](crate::Check).
    Look { path: PathBuf, work_dir: PathBuf, tables: Vec<String>, indexes: Vec<String> },
    /// Whether it is damaged: answers a [`Check`](crate::Check).
    Check { path: PathBuf },
    /// Whether a query holds: answers `true` or `false`.
    Smoke { path: PathBuf, query: String },
    /// That nobody uses it, so that another file may take its place: answers nothing.
    Unused { path: PathBuf },
}

impl Task {
    fn perform(self, stop: &Stop) -> Result<Value> {
        match self {
            Self::Copy { from, to } => answer(dump::copy(&from, &to, stop)?),
            Self::Probe { path } => answer(probe::probe(&path, stop)?),
            Self::Stats { path } => answer(stats::stats(&path, stop)?),
            Self::Look { path, work_dir, tables, indexes } => {
                let wanted = [("table", tables), ("index", indexes)];
                answer(doctor::look(&path, &work_dir, &wanted, stop)?)
            }
            Self::Check { path } => answer(doctor::integrity(&path, stop)?),
            Self::Smoke { path, query } => answer(probe::smoke(&path, &query, stop)?),
            Self::Unused { path } => answer(load::unused(&path, stop)?),
        }
    }

    /// Does the work here, or through this command line if there is one. Dropping the future stops it in both cases.
    pub(super) async fn run<T: DeserializeOwned>(self, command: &[String]) -> Result<T> {
        let value = match command {
            [] => blocking(move |stop| self.perform(stop)).await?,
            [program, arguments @ ..] => self.run_apart(program, arguments).await?,
        };
        serde_json::from_value(value).map_err(|e| internal(&e))
    }

    async fn run_apart(self, program: &str, arguments: &[String]) -> Result<Value> {
        let broken = |e: std::io::Error| {
            Error::new(Code::LocalFile, format!("the command `{program}` for SQLite files cannot be run: {e}"))
                .next("correct the setting `command`")
                .because(e)
        };
        // Its standard input stays open: when it ends, so does the child, even if this process was killed.
        let mut child = Command::new(program)
            .args(arguments)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(broken)?;
        let mut stdin = child.stdin.take();
        if let Some(stdin) = &mut stdin {
            let task = serde_json::to_string(&self).map_err(|e| internal(&e))? + "\n";
            stdin.write_all(task.as_bytes()).await.map_err(broken)?;
        }
        let output = child.wait_with_output().await.map_err(broken)?;
        drop(stdin);
        match serde_json::from_slice::<Answer>(&output.stdout) {
            Ok(Answer::Done(value)) => Ok(value),
            Ok(Answer::Failed(e)) => Err(e),
            Err(_) => Err(Error::new(
                Code::Internal,
                format!("the command `{program}` for SQLite files gave no answer ({})", output.status),
            )
            .next("check the setting `command`: it must start lastgood's command line")),
        }
    }
}

/// The hidden subcommand that serves a task.
pub(crate) const SUBCOMMAND: &str = "sqlite-task";

/// What came of a task.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// What the task answers.
    Done(Value),
    /// What went wrong.
    Failed(Error),
}

/// Serves the task that one line of standard input holds. When standard input ends before that, so does the process,
/// for then nobody waits for it.
#[cfg(feature = "cli")]
pub(crate) async fn serve() -> Result<Answer> {
    let mut line = String::new();
    let unread = |e: std::io::Error| Error::new(Code::LocalFile, format!("standard input: {e}"));
    std::io::stdin().read_line(&mut line).map_err(unread)?;
    let task: Task = serde_json::from_str(&line).map_err(|e| Error::new(Code::InvalidOption, format!("task: {e}")))?;
    // A thread, since a read that blocks cannot be cancelled and the end of the process does not wait for it.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(130);
    });
    Ok(match blocking(move |stop| task.perform(stop)).await {
        Ok(value) => Answer::Done(value),
        Err(e) => Answer::Failed(e),
    })
}

fn answer(value: impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| internal(&e))
}

fn internal(e: &serde_json::Error) -> Error {
    Error::new(Code::Internal, format!("a task on a SQLite file: {e}"))
}
