//! Which databases of a server a URL means, and what those of a dump are called there.

use crate::format::checksum::RowHasher;

use super::quote::{ident, literal};

/// Databases that belong to the server.
pub(super) const OWN: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// What the names of a drill's databases begin with.
const DRILL: &str = "lastgood_drill_";

/// How the names of databases end that a restore is filling.
const RESTORING: &str = "_restoring_[0-9a-f]{8}$";

/// The longest name the servers keep, in characters.
pub(super) const NAME_LENGTH: usize = 64;

/// What of a server is backed up and restored into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Databases {
    /// One database, whatever it was called when it was dumped.
    One(String),
    /// Every database but the server's own. In a scratch place all have this before their names.
    All { prefix: Option<String> },
}

impl Databases {
    /// What a URL means by the name in it.
    pub(super) fn named(name: String) -> Self {
        if name.is_empty() { Self::All { prefix: None } } else { Self::One(name) }
    }

    /// The database's name, or what all of them together are called.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::One(name) | Self::All { prefix: Some(name) } => name,
            Self::All { prefix: None } => "mysql",
        }
    }

    /// The same under another name: a scratch place for all of them where all are meant.
    pub(super) fn sibling(&self, name: &str) -> Self {
        match self {
            Self::One(_) => Self::One(name.to_owned()),
            Self::All { .. } => Self::All { prefix: Some(name.to_owned()) },
        }
    }

    /// What a dump's database is called here.
    pub(super) fn here(&self, dumped: &str) -> String {
        match self {
            Self::One(name) => name.clone(),
            Self::All { prefix: None } => dumped.to_owned(),
            Self::All { prefix: Some(prefix) } => {
                let name = format!("{prefix}_{dumped}");
                if name.chars().count() <= NAME_LENGTH {
                    return name;
                }
                // Two that begin alike still get names of their own.
                let mut hasher = RowHasher::default();
                hasher.add(dumped.as_bytes());
                let hash: String = hasher.hash().chars().filter(char::is_ascii_alphanumeric).take(12).collect();
                name.chars().take(NAME_LENGTH - hash.len() - 1).chain(['_']).chain(hash.chars()).collect()
            }
        }
    }

    /// The SQL condition that the name in this column is of a database that is meant.
    pub(super) fn within(&self, column: &str) -> String {
        match self {
            Self::One(name) => format!("{column} = {}", literal(name)),
            Self::All { prefix: Some(prefix) } => begins(column, &format!("{prefix}_")),
            Self::All { prefix: None } => format!(
                "{column} NOT IN ({}) AND NOT {} AND {column} NOT REGEXP {}",
                OWN.map(literal).join(", "),
                begins(column, DRILL),
                literal(RESTORING)
            ),
        }
    }

    /// The SQL expression of an object's name as people say it, by the columns of its database's name and of its own.
    pub(super) fn called(&self, schema: &str, name: &str) -> String {
        match self {
            Self::One(_) => name.to_owned(),
            Self::All { .. } => format!("CONCAT({schema}, '.', {name})"),
        }
    }

    /// The name under which a table is summed up: with its database's, unless one is meant whatever it is called.
    pub(super) fn summary_name(&self, database: &str, table: &str) -> String {
        match self {
            Self::One(_) => plain(table),
            Self::All { .. } => format!("{}.{}", plain(database), plain(table)),
        }
    }
}

fn begins(column: &str, with: &str) -> String {
    format!("(LEFT({column}, {}) = {})", with.chars().count(), literal(with))
}

/// A name as it is, between backticks where it has to be.
pub(super) fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    if !name.is_empty() && name.chars().all(is_plain) { name.to_owned() } else { ident(name) }
}

/// The database's name in a summary's, if it has one, and the table's as [`plain`] has it.
pub(super) fn parse_summary(name: &str) -> (Option<String>, &str) {
    let mut quoted = false;
    let point = name.find(|c| {
        quoted ^= c == '`';
        c == '.' && !quoted
    });
    let Some((database, table)) = point.map(|at| (&name[..at], &name[at + 1..])) else { return (None, name) };
    let inner = database.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    (Some(inner.map_or_else(|| database.to_owned(), |inner| inner.replace("``", "`"))), table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_databases_have_names_of_their_own_however_long() {
        let all = Databases::named(String::new());
        assert_eq!((all.name(), all.here("shop").as_str()), ("mysql", "shop"));
        let scratch = all.sibling("lastgood_drill_1");
        assert_eq!(scratch.here("shop"), "lastgood_drill_1_shop");
        let names = ["a", "b"].map(|end| scratch.here(&format!("{}{end}", "ä".repeat(63))));
        assert!(names[0] != names[1] && names.iter().all(|n| n.chars().count() == NAME_LENGTH), "{names:?}");
        assert!(names[0].starts_with("lastgood_drill_1_ä"));
        assert_eq!(Databases::One("shop".into()).sibling("x").here("other"), "x");
    }

    #[test]
    fn summaries_name_their_database_where_there_are_several() {
        let (one, all) = (Databases::One("my shop".into()), Databases::All { prefix: None });
        for (database, table, alone) in [("shop", "t", "t"), ("my.sh`op", "a.b", "`a.b`"), ("ä", "x", "x")] {
            assert_eq!(one.summary_name(database, table), alone);
            assert_eq!(parse_summary(alone), (None, alone));
            let name = all.summary_name(database, table);
            assert_eq!(parse_summary(&name), (Some(database.to_owned()), alone), "{name}");
        }
    }
}
