//! What the doctor answers.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Whether backups can be relied on here: every check that the doctor made, in the order in which they build on each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DoctorReport {
    /// The worst of the checks.
    pub status: CheckStatus,
    /// Each check.
    pub checks: Vec<Check>,
    /// Milliseconds it took.
    pub duration_ms: u64,
}

impl DoctorReport {
    /// The report of these checks.
    pub(crate) fn of(checks: Vec<Check>, duration_ms: u64) -> Self {
        let status = checks.iter().map(|c| c.status).max().unwrap_or(CheckStatus::Pass);
        Self { status, checks, duration_ms }
    }
}

/// How a check ended. The later is the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// As it should be.
    Pass,
    /// Backups work, and there is something to know; or it could not be checked.
    Warn,
    /// Backups fail, or will not be what is expected.
    Fail,
}

impl CheckStatus {
    /// The status as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that the doctor looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// What was looked at, a stable name: `privileges`.
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// What was found, and what it means.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Check {
    /// All is well.
    pub fn pass(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), status: CheckStatus::Pass, message: message.into(), next: None }
    }

    /// Something to know, and to do.
    pub fn warn(name: &str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: CheckStatus::Warn, next: Some(next.into()), ..Self::pass(name, message) }
    }

    /// Something that has to be mended.
    pub fn fail(name: &str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: CheckStatus::Fail, ..Self::warn(name, message, next) }
    }

    /// An error, with its own next step.
    pub fn failed(name: &str, e: &Error) -> Self {
        let next = e.next_step().map(str::to_owned);
        Self { status: CheckStatus::Fail, next, ..Self::pass(name, e.message()) }
    }

    /// It depends on something that is broken.
    pub fn not_checked(name: &str, why: impl std::fmt::Display) -> Self {
        Self { status: CheckStatus::Warn, ..Self::pass(name, format!("not checked: {why}")) }
    }
}
