//! What databases hold beside their rows: the definitions, as the server tells them.

mod read;
pub(super) mod tables;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

use super::globals::Account;

pub(super) use read::{account, fingerprint, read};

/// The file of a dump that holds what it is of. Stock tools pass over it: they read the SQL files beside it.
pub(super) const FILE: &str = "lastgood.json";

/// The layout of [`FILE`] in a dump of one database: its catalog.
const OF_ONE: u32 = 1;

/// The layout of [`FILE`] in a dump of several databases.
const OF_SEVERAL: u32 = 2;

/// Everything of a dump but its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dump {
    /// The layout of this file.
    layout: u32,
    /// The databases, by their names.
    pub(super) databases: Vec<Catalog>,
    /// Accounts and roles with what they may do, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) accounts: Vec<Account>,
}

/// Everything of a database but its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Catalog {
    /// The layout of the file, where it is of this database alone.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) layout: u32,
    /// The database's name.
    pub(super) database: String,
    /// The server's version.
    pub(super) server: String,
    /// Its default character set and collation.
    pub(super) charset: String,
    pub(super) collation: String,
    /// Its comment, where the server knows them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) comment: String,
    /// In the order in which they are created.
    pub(super) objects: Vec<Object>,
    /// The dump's accounts, where it is of this database alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) accounts: Vec<Account>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_none(layout: &u32) -> bool {
    *layout == 0
}

/// What kind an object is of, in the order in which objects are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Sequence,
    Table,
    Function,
    Procedure,
    Package,
    PackageBody,
    View,
    Trigger,
    Event,
}

impl Kind {
    /// The word that SQL has for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Sequence => "SEQUENCE",
            Self::Table => "TABLE",
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
            Self::Event => "EVENT",
        }
    }
}

/// One object and its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// The statement that creates it, as the server shows it, without a semicolon.
    pub(super) sql: String,
    /// Of a trigger: its table. Of a view: empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) table: String,
    /// Who it belongs to, as `user@host`; empty for what belongs to nobody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) definer: String,
    /// The session's settings that its text depends on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Settings>,
    /// Of a table: the columns whose values are dumped. Of a view: its columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<String>,
    /// Of a table: where its rows are, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<String>,
    /// Of a sequence: the statement that gives it its state.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) state: String,
    /// Of a table: whether the rows hold the history that the server keeps of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) history: bool,
    /// Of a table: whether its rows can only come in by INSERT.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) insert_only: bool,
}

/// The session's settings under which an object was created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Views have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sql_mode: Option<String>,
    pub(super) charset: String,
    pub(super) collation: String,
    /// The database's collation at that time, where it is another now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) database_collation: Option<String>,
    /// Events only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time_zone: Option<String>,
}

impl Object {
    pub(super) fn new(kind: Kind, name: String, sql: String) -> Self {
        Self {
            kind,
            name,
            sql,
            table: String::new(),
            definer: String::new(),
            session: None,
            columns: Vec::new(),
            files: Vec::new(),
            state: String::new(),
            history: false,
            insert_only: false,
        }
    }

    /// For people: `view orders_today`.
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.kind.word().to_lowercase(), self.name)
    }
}

impl Catalog {
    /// The objects of one kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |o| o.kind == kind)
    }
}

impl Dump {
    /// What is known of these databases.
    pub(super) fn new(databases: Vec<Catalog>, accounts: Vec<Account>) -> Self {
        Self { layout: OF_SEVERAL, databases, accounts }
    }

    /// As bytes, for the dump.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let encoded = match self.databases.as_slice() {
            [one] => {
                serde_json::to_vec_pretty(&Catalog { layout: OF_ONE, accounts: self.accounts.clone(), ..one.clone() })
            }
            _ => serde_json::to_vec_pretty(self),
        };
        let mut bytes =
            encoded.map_err(|e| Error::new(Code::Internal, format!("the catalog cannot be written down: {e}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// From a dump's files.
    ///
    /// # Errors
    /// `Damaged`, `NewerFormat`.
    pub(super) fn of_files(files: &[(String, Bytes)]) -> Result<Self> {
        let file = files.iter().find(|(name, _)| name == FILE);
        let (_, bytes) = file.ok_or_else(|| {
            Error::new(Code::Damaged, format!("{FILE} is missing in the dump")).next("use another backup")
        })?;
        Self::decode(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = |e: serde_json::Error| {
            Error::new(Code::Damaged, format!("{FILE}: {e}")).next("use another copy of this dump or another backup")
        };
        #[derive(Deserialize)]
        struct Layout {
            layout: u32,
        }
        let Layout { layout } = serde_json::from_slice(bytes).map_err(damaged)?;
        if layout > OF_SEVERAL {
            let message = format!("{FILE} has layout {layout}, this version knows {OF_SEVERAL}");
            return Err(Error::new(Code::NewerFormat, message).next("update lastgood"));
        }
        if layout == OF_SEVERAL {
            return serde_json::from_slice(bytes).map_err(damaged);
        }
        let mut one: Catalog = serde_json::from_slice(bytes).map_err(damaged)?;
        one.layout = 0;
        let accounts = std::mem::take(&mut one.accounts);
        Ok(Self::new(vec![one], accounts))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_catalog_comes_back_as_it_was_and_newer_ones_are_refused() {
        let mut view = Object::new(Kind::View, "v".into(), "CREATE VIEW `v` AS select 1 AS `1`".into());
        view.session = Some(Settings { charset: "utf8mb4".into(), ..Settings::default() });
        let shop = Catalog { database: "shop".into(), objects: vec![view], ..Catalog::default() };
        let account = Account { name: "a@%".into(), role: false, create: String::new(), grants: Vec::new() };
        for (databases, layout) in [(vec![shop.clone()], OF_ONE), (vec![shop.clone(), shop], OF_SEVERAL)] {
            let dump = Dump::new(databases, vec![account.clone()]);
            let bytes = dump.encode().unwrap();
            assert_eq!(Dump::decode(&bytes).unwrap(), dump);
            let (layout, newer) = (format!("\"layout\": {layout},"), "\"layout\": 3,");
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert_eq!(text.matches("layout").count(), 1);
            assert_eq!(Dump::decode(text.replace(&layout, newer).as_bytes()).unwrap_err().code(), Code::NewerFormat);
            assert_eq!(Dump::decode(&bytes[..bytes.len() / 2]).unwrap_err().code(), Code::Damaged);
        }
    }
}
