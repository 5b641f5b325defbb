//! Gives an archive other names: schemas, roles, tablespaces.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Code, Error, Result};
use crate::report::Warning;
use crate::selection::Mapping;

use super::archive::{Archive, Entry, Section};
use super::belong::schema;
use super::lex::{Kind, replaced, tokens};
use super::quote::ident;
use super::rename::Renames;
use super::roles;
use super::statements::describe;
use crate::engine::pattern::near;

/// The schema that every new database has: an archive creates it only where it was changed.
const PUBLIC: &str = "public";

/// What pg_dump writes instead of creating it, and pg_restore knows.
const NOT_CREATED: &str = "-- *not* creating schema, since initdb creates it\n";
const NOT_DROPPED: &str = "-- *not* dropping schema, since initdb creates it\n";

/// Checks a mapping against the archive, and makes room for what only the target will have: entries are added here
/// and nowhere later.
///
/// # Errors
/// `NothingSelected` for a schema that the archive does not have; `InvalidOption`.
pub(super) fn prepare(archive: &mut Archive, mapping: &Mapping) -> Result<()> {
    mapping.check()?;
    for name in mapping.schemas.keys() {
        if !archive.entries.iter().any(|e| schema(e) == Some(name)) {
            let known = near(name, archive.entries.iter().filter_map(schema)).join(", ");
            let error = Error::new(Code::NothingSelected, format!("there is no schema `{name}` in the backup"));
            return Err(error.next(if known.is_empty() {
                "map a schema that is in it".to_owned()
            } else {
                format!("did you mean {known}?")
            }));
        }
    }
    if mapping.schemas.contains_key(PUBLIC) {
        create_public(archive);
    }
    Ok(())
}

/// Changes an archive's names. `settled` says where objects lie in the target that are there already. Returns the
/// functions whose bodies, texts to the server, speak of schemas that got other names, by number.
pub(super) fn apply(
    archive: &mut Archive,
    mapping: &Mapping,
    settled: HashMap<(String, String), String>,
) -> HashSet<i32> {
    let schemas = mapping.schemas.iter().map(|(from, to)| (from.clone(), to.clone())).collect();
    let renames = Renames { schemas, settled };
    let mut mentioning = HashSet::new();
    for entry in &mut archive.entries {
        if !renames.is_empty() {
            if mentions(entry, &renames) {
                mentioning.insert(entry.dump_id);
            }
            rename(entry, &renames);
        }
        rename_roles(entry, &mapping.owners);
        if let Some(tablespace) = entry.tablespace.as_mut()
            && let Some(new) = mapping.tablespaces.get(tablespace)
        {
            new.clone_into(tablespace);
        }
    }
    mentioning
}

/// Names the functions of these numbers that are restored.
pub(super) fn bodies(entries: &[Entry], mentioning: &HashSet<i32>, mapping: &Mapping) -> Option<Warning> {
    let named: Vec<String> = entries.iter().filter(|e| mentioning.contains(&e.dump_id)).map(describe).collect();
    let schemas: Vec<&str> = mapping.schemas.keys().map(String::as_str).collect();
    let (schemas, named) = (schemas.join(" or "), if named.is_empty() { return None } else { named.join(", ") });
    let message = format!("the bodies of these speak of schema {schemas} and stay as they are: {named}");
    Some(Warning::new("schema_in_body", message))
}

/// The schema `public` has to be created under its other name.
fn create_public(archive: &mut Archive) {
    let entries = &mut archive.entries;
    if entries.iter().any(|e| e.desc == "SCHEMA" && e.tag == PUBLIC) {
        return;
    }
    let schema = Entry {
        dump_id: entries.iter().map(|e| e.dump_id).max().unwrap_or(0) + 1,
        tag: PUBLIC.to_owned(),
        desc: "SCHEMA".to_owned(),
        section: Section::PreData,
        defn: NOT_CREATED.to_owned(),
        drop: NOT_DROPPED.to_owned(),
        ..Entry::default()
    };
    let first = entries.iter().position(|e| e.desc != "DATABASE" && e.section == Section::PreData && is_object(e));
    entries.insert(first.unwrap_or(entries.len()), schema);
}

fn is_object(entry: &Entry) -> bool {
    !matches!(entry.desc.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH" | "DATABASE" | "DATABASE PROPERTIES")
}

fn rename(entry: &mut Entry, renames: &Renames) {
    let query: &[&str] = match entry.desc.as_str() {
        "VIEW" | "MATERIALIZED VIEW" => &["AS"],
        "RULE" => &["WHERE", "DO"],
        "POLICY" => &["USING", "WITH"],
        "TRIGGER" => &["WHEN"],
        "FUNCTION" | "PROCEDURE" => &["BEGIN", "RETURN"],
        _ => &[],
    };
    entry.defn = renames.apply(&entry.defn, query);
    entry.drop = renames.apply(&entry.drop, &[]);
    if let Some(copy) = &mut entry.copy {
        *copy = renames.apply(copy, &[]);
    }
    // Their tags have types in them.
    if matches!(entry.desc.as_str(), "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "CAST") {
        entry.tag = renames.apply(&entry.tag, &[]);
    }
    if let Some(namespace) = &mut entry.namespace {
        *namespace = renames.schema(namespace).to_owned();
    }
    if entry.desc == "SCHEMA" {
        let new = renames.schema(&entry.tag).to_owned();
        if new == PUBLIC {
            (entry.defn, entry.drop) = (NOT_CREATED.to_owned(), NOT_DROPPED.to_owned());
        } else if entry.tag == PUBLIC {
            entry.defn = format!("CREATE SCHEMA {};\n", ident(&new));
            entry.drop = format!("DROP SCHEMA {};\n", ident(&new));
        }
        entry.tag = new;
    }
}

/// Whether a function's body, which is a text to the server, speaks of a schema that gets another name.
fn mentions(entry: &Entry, renames: &Renames) -> bool {
    if !matches!(entry.desc.as_str(), "FUNCTION" | "PROCEDURE") {
        return false;
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let bodies = tokens(&entry.defn).into_iter().filter(|t| t.kind == Kind::String).map(|t| t.text.to_lowercase());
    let names: Vec<String> = renames.schemas.keys().map(|name| name.to_lowercase()).collect();
    let mentioned = |body: &str, name: &str| {
        body.match_indices(name).any(|(at, _)| {
            !body[..at].ends_with(is_word) && body[at + name.len()..].trim_start_matches('"').starts_with('.')
        })
    };
    bodies.into_iter().any(|body| names.iter().any(|name| mentioned(&body, name)))
}

fn rename_roles(entry: &mut Entry, roles: &BTreeMap<String, String>) {
    if roles.is_empty() {
        return;
    }
    if let Some(new) = roles.get(&entry.owner) {
        entry.owner.clone_from(new);
    }
    let changes: Vec<_> = roles::places(entry)
        .into_iter()
        .filter_map(|place| {
            let new = roles.get(&roles::name(&place)?)?;
            Some((place.start..place.end(), place.instead(new)))
        })
        .collect();
    if !changes.is_empty() {
        entry.defn = replaced(&entry.defn, &changes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::engine::postgres::archive::Header;

    fn archive(entries: Vec<Entry>) -> Archive {
        let header = Header {
            created: jiff::civil::date(2025, 1, 1).at(0, 0, 0, 0),
            database: "d".into(),
            server_version: "15".into(),
            tool_version: "x".into(),
        };
        Archive { header, entries }
    }

    fn entry(id: i32, desc: &str, namespace: Option<&str>, tag: &str, defn: &str) -> Entry {
        let namespace = namespace.map(str::to_owned);
        let section = Section::PreData;
        Entry {
            dump_id: id,
            desc: desc.into(),
            tag: tag.into(),
            defn: defn.into(),
            namespace,
            section,
            ..Entry::default()
        }
    }

    fn mapping(schemas: &[(&str, &str)], owners: &[(&str, &str)]) -> Mapping {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Mapping { schemas: map(schemas), owners: map(owners), ..Mapping::default() }
    }

    #[test]
    fn public_is_created_under_its_other_name() {
        let mut archive = archive(vec![
            entry(1, "ENCODING", None, "ENCODING", ""),
            entry(2, "TABLE", Some("public"), "t", "CREATE TABLE public.t ();\n"),
            entry(
                3,
                "FUNCTION",
                Some("public"),
                "f(public.t)",
                "CREATE FUNCTION public.f(public.t) AS $$ SELECT 1 $$;",
            ),
            entry(4, "FUNCTION", Some("public"), "g()", "CREATE FUNCTION public.g() AS $$ SELECT FROM Public.t $$;"),
        ]);
        let mapping = mapping(&[("public", "rescue")], &[]);
        prepare(&mut archive, &mapping).unwrap();
        let mentioning = apply(&mut archive, &mapping, HashMap::new());
        let told: Vec<_> = archive.entries.iter().map(|e| (e.desc.as_str(), e.tag.as_str(), e.defn.as_str())).collect();
        assert_eq!(told[1], ("SCHEMA", "rescue", "CREATE SCHEMA rescue;\n"));
        assert_eq!(told[2], ("TABLE", "t", "CREATE TABLE rescue.t ();\n"));
        assert_eq!(told[3].1, "f(rescue.t)");
        assert_eq!(archive.entries[2].namespace.as_deref(), Some("rescue"));
        let warning = bodies(&archive.entries, &mentioning, &mapping).unwrap();
        assert!(warning.message.ends_with(": FUNCTION rescue.g()"), "{warning:?}");
    }

    #[test]
    fn roles_are_renamed_wherever_they_are_named() {
        let mut grant = entry(
            1,
            "ACL",
            Some("a"),
            "TABLE alice",
            "GRANT ALL ON TABLE a.alice TO alice;\nREVOKE ALL ON TABLE a.x FROM \"Al\";\n",
        );
        grant.owner = "alice".into();
        let policy = entry(
            2,
            "POLICY",
            Some("a"),
            "p",
            "CREATE POLICY p ON a.t TO bob, alice USING ((alice = 'alice'::text));\n",
        );
        let by =
            entry(3, "ACL", Some("a"), "T", "SET SESSION AUTHORIZATION 'alice';\nGRANT ALL ON TYPE a.t TO PUBLIC;\n");
        let mut archive = archive(vec![grant, policy, by]);
        apply(&mut archive, &mapping(&[], &[("alice", "My App"), ("Al", "al")]), HashMap::new());
        let defns: Vec<_> = archive.entries.iter().map(|e| e.defn.as_str()).collect();
        assert_eq!(defns[0], "GRANT ALL ON TABLE a.alice TO \"My App\";\nREVOKE ALL ON TABLE a.x FROM al;\n");
        assert_eq!(defns[1], "CREATE POLICY p ON a.t TO bob, \"My App\" USING ((alice = 'alice'::text));\n");
        assert_eq!(defns[2], "SET SESSION AUTHORIZATION 'My App';\nGRANT ALL ON TYPE a.t TO PUBLIC;\n");
        assert_eq!(archive.entries[0].owner, "My App");
    }

    #[test]
    fn a_schema_that_is_not_there_is_refused() {
        let mut archive = archive(vec![entry(1, "TABLE", Some("public"), "t", "")]);
        let e = prepare(&mut archive, &mapping(&[("publik", "x")], &[])).unwrap_err();
        assert_eq!(e.code(), Code::NothingSelected);
        assert!(e.to_string().contains("did you mean public?"), "{e}");
    }
}
