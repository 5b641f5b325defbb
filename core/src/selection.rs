//! Which part of a database a verb is about, and under which names it comes back. Words of no engine in particular.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

/// A part of a database, named by patterns. Empty: all of it.
///
/// A pattern is a name in which `*` stands for any characters and `?` for one; double quotes keep what is between them
/// as it is. A table's pattern may have its schema's before it: `sales.order*`. What is named by any of `schemas` and
/// `tables` is taken, without what is named by one that excludes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Selection {
    /// Only these schemas, with everything in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Only these tables (or views, or sequences), with what belongs to them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Not these schemas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_schemas: Vec<String>,
    /// Not these tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Of these tables the definition alone, without rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_data: Vec<String>,
    /// Definitions without rows.
    #[serde(skip_serializing_if = "is_false")]
    pub schema_only: bool,
    /// Rows without definitions.
    #[serde(skip_serializing_if = "is_false")]
    pub data_only: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg_attr(not(all(feature = "postgres", feature = "sqlite")), allow(dead_code, reason = "engines use them"))]
impl Selection {
    /// Whether nothing is left out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says what is taken, rather than what is not.
    #[must_use]
    pub fn names_some(&self) -> bool {
        !(self.schemas.is_empty() && self.tables.is_empty())
    }

    /// Refuses choices that exclude each other.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub(crate) fn check(&self) -> Result<()> {
        if self.schema_only && self.data_only {
            return Err(Error::new(Code::InvalidOption, "schema only and data only leave nothing")
                .next("give one of them, or neither"));
        }
        Ok(())
    }

    /// For engines whose backups are of one piece.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub(crate) fn must_be_everything(&self, engine: &str) -> Result<()> {
        if self.is_everything() {
            return Ok(());
        }
        Err(Error::new(Code::InvalidOption, format!("a backup of {engine} is whole: no part of it can be selected"))
            .next(format!("restore into another file and take from it what you need with {engine} itself")))
    }
}

impl fmt::Display for Selection {
    /// `schemas app, tables public.orders, without table *.log, without rows of audit.*`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (what, patterns) in [
            ("schemas", &self.schemas),
            ("tables", &self.tables),
            ("not schemas", &self.exclude_schemas),
            ("not tables", &self.exclude_tables),
            ("no rows of", &self.exclude_data),
        ] {
            if !patterns.is_empty() {
                parts.push(format!("{what} {}", patterns.join(", ")));
            }
        }
        parts.extend(self.schema_only.then(|| "no rows".to_owned()));
        parts.extend(self.data_only.then(|| "no definitions".to_owned()));
        f.write_str(if parts.is_empty() { "everything" } else { "" })?;
        f.write_str(&parts.join("; "))
    }
}

/// Other names in the target, by the name in the backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Mapping {
    /// Schemas: everything in them is created under the other name.
    pub schemas: BTreeMap<String, String>,
    /// Roles that own something, are granted something or are named by policies.
    pub owners: BTreeMap<String, String>,
    /// Tablespaces.
    pub tablespaces: BTreeMap<String, String>,
}

#[cfg_attr(not(all(feature = "postgres", feature = "sqlite")), allow(dead_code, reason = "engines use them"))]
impl Mapping {
    /// Whether all names stay.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses names that cannot be given, and two schemas under one name.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub(crate) fn check(&self) -> Result<()> {
        for (from, to) in self.schemas.iter().chain(&self.owners).chain(&self.tablespaces) {
            if from.is_empty() || to.is_empty() {
                return Err(Error::new(Code::InvalidOption, format!("`{from}={to}` maps no name to a name"))
                    .next("write it as old=new"));
            }
        }
        let mut taken = BTreeMap::new();
        for (from, to) in &self.schemas {
            if let Some(other) = taken.insert(to, from) {
                let message = format!("schemas {other} and {from} would both become {to}");
                return Err(Error::new(Code::InvalidOption, message).next("give each a name of its own"));
            }
        }
        Ok(())
    }

    /// For engines that know none of these names.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub(crate) fn must_be_empty(&self, engine: &str) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Error::new(Code::InvalidOption, format!("{engine} has no schemas, owners or tablespaces to map"))
            .next("leave the mapping out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_told_in_words() {
        let selection = Selection {
            schemas: vec!["app".into()],
            tables: vec!["public.a".into(), "b*".into()],
            exclude_data: vec!["log".into()],
            schema_only: true,
            ..Selection::default()
        };
        assert_eq!(selection.to_string(), "schemas app; tables public.a, b*; no rows of log; no rows");
        assert_eq!(Selection::default().to_string(), "everything");
        assert_eq!(serde_json::to_string(&Selection::default()).ok().as_deref(), Some("{}"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let both = Selection { schema_only: true, data_only: true, ..Selection::default() };
        assert!(both.check().is_err_and(|e| e.code() == Code::InvalidOption));
        let mapping = |pairs: &[(&str, &str)]| Mapping {
            schemas: pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            ..Mapping::default()
        };
        assert!(mapping(&[("a", "b"), ("b", "a")]).check().is_ok());
        assert!(mapping(&[("a", "c"), ("b", "c")]).check().is_err());
        assert!(mapping(&[("a", "")]).check().is_err());
    }
}
