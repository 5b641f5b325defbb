//! Which statements restore an entry of the archive, and when.
//!
//! The facts are those of pg_restore: owners are set by `ALTER … OWNER TO` made of the entry's kind and name or of
//! its drop statement; privileges come after everything else; what they could stop comes after them.

use std::collections::HashSet;

use super::archive::{Entry, Section};
use super::database::is_property;
use super::quote::{ident, qualified};

/// The three rounds in which entries are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pass {
    /// Objects, data, and what needs data.
    Main,
    /// Privileges.
    Privileges,
    /// Event triggers, which would fire for the rest, and refreshes, which run with the owner's privileges.
    Last,
}

/// The round of an entry.
pub(super) fn pass(entry: &Entry) -> Pass {
    match entry.desc.as_str() {
        "ACL" | "DEFAULT ACL" => Pass::Privileges,
        "EVENT TRIGGER" | "MATERIALIZED VIEW DATA" => Pass::Last,
        "COMMENT" | "SECURITY LABEL" if entry.tag.starts_with("EVENT TRIGGER ") => Pass::Last,
        _ => Pass::Main,
    }
}

/// Whether an entry is a statement to run: neither data, nor a setting of the archive, nor about the database itself.
pub(super) fn is_statement(entry: &Entry) -> bool {
    let whole_database = entry.desc == "DATABASE" || is_property(entry);
    let setting = matches!(entry.desc.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH");
    !(whole_database || setting || entry.file.is_some() || entry.desc == "TABLE DATA" || entry.defn.is_empty())
}

/// Whether an entry only says something about an object.
pub(super) fn is_remark(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "COMMENT" | "SECURITY LABEL")
}

/// The indexes of the entries to run before the data and after it, in the archive's order.
///
/// Comments belong to the section of the entry they follow.
pub(super) fn split(entries: &[Entry]) -> (Vec<usize>, Vec<usize>) {
    let mut data_seen = false;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let settled = match entry.section {
            Section::PreData => true,
            Section::None => !data_seen,
            Section::Data | Section::PostData => {
                data_seen = true;
                false
            }
        };
        if is_statement(entry) {
            let early = settled && pass(entry) == Pass::Main;
            if early { before.push(index) } else { after.push(index) }
        }
    }
    (before, after)
}

/// What a restore leaves out or replaces.
#[derive(Debug, Default)]
pub(super) struct Adapt {
    /// Objects belong to whoever restores.
    pub(super) no_owner: bool,
    /// Tablespaces that the server does not have.
    pub(super) missing_tablespaces: HashSet<String>,
    /// Entries that are left out, by number.
    pub(super) left_out: HashSet<i32>,
}

impl Adapt {
    /// The statements of an entry, as one text: they take effect together.
    pub(super) fn sql(&self, entry: &Entry) -> String {
        let mut sql = String::new();
        if let Some(name) = &entry.tablespace {
            let default = name.is_empty() || self.missing_tablespaces.contains(name);
            let value = if default { "''".to_owned() } else { ident(name) };
            sql += &format!("SET default_tablespace = {value};\n");
        }
        if let Some(name) = &entry.table_am {
            sql += &format!("SET default_table_access_method = {};\n", ident(name));
        }
        sql += &entry.defn;
        if let Some(object) = self.owned(entry) {
            sql += &format!("\nALTER {object} OWNER TO {};\n", ident(&entry.owner));
        }
        sql
    }

    /// The object as `ALTER … OWNER TO` names it, if its owner is to be set. What cannot be dropped has no owner.
    pub(super) fn owned(&self, entry: &Entry) -> Option<String> {
        if self.no_owner || entry.owner.is_empty() || entry.drop.is_empty() {
            return None;
        }
        let named = |kind: &str| match entry.namespace.as_deref().filter(|n| !n.is_empty()) {
            Some(namespace) => format!("{kind} {}", qualified(namespace, &entry.tag)),
            None => format!("{kind} {}", ident(&entry.tag)),
        };
        match entry.desc.as_str() {
            "VIEW" | "SEQUENCE" | "MATERIALIZED VIEW" => Some(named("TABLE")),
            kind @ ("COLLATION"
            | "CONVERSION"
            | "DOMAIN"
            | "EVENT TRIGGER"
            | "FOREIGN DATA WRAPPER"
            | "FOREIGN TABLE"
            | "PROCEDURAL LANGUAGE"
            | "PUBLICATION"
            | "SCHEMA"
            | "SERVER"
            | "STATISTICS"
            | "SUBSCRIPTION"
            | "TABLE"
            | "TEXT SEARCH CONFIGURATION"
            | "TEXT SEARCH DICTIONARY"
            | "TYPE") => Some(named(kind)),
            "BLOB" => Some(format!("LARGE OBJECT {}", entry.tag)),
            // Their names carry argument types, which only the drop statement spells out.
            "AGGREGATE" | "FUNCTION" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY" | "PROCEDURE" => {
                Some(entry.drop.strip_prefix("DROP ")?.trim_end_matches([';', '\n']).to_owned())
            }
            _ => None,
        }
    }
}

/// An entry for people: `TABLE public.orders`.
pub(super) fn describe(entry: &Entry) -> String {
    match &entry.namespace {
        Some(namespace) => format!("{} {namespace}.{}", entry.desc, entry.tag),
        None => format!("{} {}", entry.desc, entry.tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(desc: &str, section: Section) -> Entry {
        Entry {
            dump_id: 1,
            tag: "Thing".into(),
            desc: desc.into(),
            section,
            defn: "CREATE …;\n".into(),
            drop: "DROP FUNCTION public.\"Thing\"(integer);\n".into(),
            namespace: Some("public".into()),
            owner: "App".into(),
            ..Entry::default()
        }
    }

    #[test]
    fn owners_are_set_in_the_way_of_each_kind() {
        let owned = |desc| Adapt::default().owned(&entry(desc, Section::PreData));
        assert_eq!(owned("VIEW").as_deref(), Some("TABLE public.\"Thing\""));
        assert_eq!(owned("TYPE").as_deref(), Some("TYPE public.\"Thing\""));
        assert_eq!(owned("FUNCTION").as_deref(), Some("FUNCTION public.\"Thing\"(integer)"));
        assert_eq!(owned("INDEX"), None);
        let adapt = Adapt { no_owner: true, ..Adapt::default() };
        assert_eq!(adapt.sql(&entry("TABLE", Section::PreData)), "CREATE …;\n");
        let sql = Adapt::default().sql(&entry("TABLE", Section::PreData));
        assert_eq!(sql, "CREATE …;\n\nALTER TABLE public.\"Thing\" OWNER TO \"App\";\n");
    }

    #[test]
    fn a_missing_tablespace_becomes_the_default() {
        let mut table = entry("TABLE", Section::PreData);
        (table.tablespace, table.owner) = (Some("fast".into()), String::new());
        assert!(Adapt::default().sql(&table).starts_with("SET default_tablespace = fast;\n"));
        let missing_tablespaces = HashSet::from(["fast".to_owned()]);
        let adapt = Adapt { missing_tablespaces, ..Adapt::default() };
        assert!(adapt.sql(&table).starts_with("SET default_tablespace = '';\n"));
    }

    #[test]
    fn entries_are_run_before_or_after_the_data() {
        let mut data = entry("TABLE DATA", Section::Data);
        data.file = Some("1.dat".into());
        let entries = [
            entry("ENCODING", Section::PreData),
            entry("TABLE", Section::PreData),
            entry("COMMENT", Section::None),
            entry("ACL", Section::None),
            data,
            entry("SEQUENCE SET", Section::Data),
            entry("INDEX", Section::PostData),
            entry("COMMENT", Section::None),
            entry("MATERIALIZED VIEW DATA", Section::PostData),
        ];
        assert_eq!(split(&entries), (vec![1, 2], vec![3, 5, 6, 7, 8]));
    }
}
