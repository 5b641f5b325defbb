//! Names that are safe to use as object names: backups, repositories, databases, engines.

use std::fmt;
use std::str::FromStr;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

/// The name of one backup: `backup-20251121-020001`, its UTC start time, with `-2`, `-3` … on a collision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// The id of the `attempt`-th backup (counted from 1) that starts at this second.
    pub(crate) fn at(time: Timestamp, attempt: u32) -> Self {
        let base = time.to_zoned(TimeZone::UTC).strftime("backup-%Y%m%d-%H%M%S").to_string();
        Self(if attempt < 2 { base } else { format!("{base}-{attempt}") })
    }

    /// The id as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The second at which the backup was started.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        // Checked at construction, so the fallback is never seen.
        Self::parse_time(&self.0).map_or(Timestamp::UNIX_EPOCH, |(time, _)| time)
    }

    /// Order in time: by second, then by the number after it.
    pub(crate) fn order(&self) -> (Timestamp, u32) {
        Self::parse_time(&self.0).unwrap_or((Timestamp::UNIX_EPOCH, 0))
    }

    fn parse_time(text: &str) -> Option<(Timestamp, u32)> {
        let rest = text.strip_prefix("backup-")?;
        let (stamp, attempt) = match rest.get(15..) {
            Some("") => (rest, 1),
            Some(tail) => {
                let n = tail.strip_prefix('-')?;
                if n.starts_with('0') || n.starts_with('+') {
                    return None;
                }
                (rest.get(..15)?, n.parse().ok().filter(|n| *n >= 2)?)
            }
            None => return None,
        };
        if stamp.bytes().enumerate().any(|(i, b)| if i == 8 { b != b'-' } else { !b.is_ascii_digit() }) {
            return None;
        }
        let time = civil::DateTime::strptime("%Y%m%d-%H%M%S", stamp).ok()?;
        Some((time.to_zoned(TimeZone::UTC).ok()?.timestamp(), attempt))
    }
}

impl FromStr for BackupId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::parse_time(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(Error::new(Code::InvalidOption, format!("`{text}` is not a backup id"))
                .next("ids look like backup-20251121-020001; `list` shows them")),
        }
    }
}

impl TryFrom<String> for BackupId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl AsRef<str> for BackupId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of one store: 128 random bits, as 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryId(String);

impl RepositoryId {
    pub(crate) fn random() -> Result<Self> {
        Ok(Self(random_hex::<16>()?))
    }

    /// The id as 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RepositoryId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let ok = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        ok.then_some(Self(text)).ok_or_else(|| Error::new(Code::Damaged, "the repository id is not 32 hex digits"))
    }
}

impl From<RepositoryId> for String {
    fn from(id: RepositoryId) -> Self {
        id.0
    }
}

/// `N` random bytes as hex digits: nonces and ids.
pub(crate) fn random_hex<const N: usize>() -> Result<String> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(Code::Internal, format!("the system gave no random bytes: {e}")))?;
    Ok(hex::encode(bytes))
}

/// The folder of one database in a store: 1 to 100 of `A-Z a-z 0-9 . _ -`, not starting with a dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

/// Folders of a store's root that are not databases.
const RESERVED: [&str; 2] = ["keys", "control"];

impl DatabaseName {
    /// Makes a safe name of whatever the database is called: other characters become `_`.
    #[must_use]
    pub fn sanitize(text: &str) -> Self {
        let mut safe: String = text
            .chars()
            .take(100)
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
            .collect();
        if safe.starts_with('.') {
            safe.replace_range(..1, "_");
        }
        if safe.is_empty() || RESERVED.contains(&safe.as_str()) {
            safe.insert(0, '_');
        }
        safe.truncate(100);
        Self(safe)
    }

    /// The name as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if Self::sanitize(text).0 == text {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(Code::InvalidOption, format!("`{text}` cannot name a database in a store"))
            .next("use 1 to 100 letters, digits, `.`, `_` or `-`, not `keys` or `control`"))
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> Self {
        name.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which database system a backup is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EngineKind {
    /// PostgreSQL, dumped as pg_dump's directory format.
    Postgres,
    /// MySQL or MariaDB, dumped in mydumper's layout.
    Mysql,
    /// MongoDB, dumped as mongodump's directory layout.
    Mongodb,
    /// SQLite, dumped as the database file itself.
    Sqlite,
}

impl EngineKind {
    /// The kind's name, as in manifests and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mongodb => "mongodb",
            Self::Sqlite => "sqlite",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_ids_round_trip_and_refuse_anything_else() {
        let time: Timestamp = "2025-11-21T02:00:01Z".parse().unwrap();
        assert_eq!(BackupId::at(time, 1).as_str(), "backup-20251121-020001");
        assert_eq!(BackupId::at(time, 3).as_str(), "backup-20251121-020001-3");
        assert_eq!(BackupId::at(time, 3).order(), (time, 3));
        for bad in [
            "backup-",
            "backup-20251321-020001",
            "backup-20251121-020001-1",
            "backup-20251121-020001-02",
            "backup-20251121-020001/x",
            "../backup-20251121-020001",
            "backup-2025112é-020001",
        ] {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn database_names_are_made_safe() {
        assert_eq!(DatabaseName::sanitize("shop").as_str(), "shop");
        assert_eq!(DatabaseName::sanitize("../é x").as_str(), "_.___x");
        assert_eq!(DatabaseName::sanitize("keys").as_str(), "_keys");
        assert_eq!(DatabaseName::sanitize("").as_str(), "_");
        assert!("a/b".parse::<DatabaseName>().is_err());
    }
}
