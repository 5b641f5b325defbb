//! What only a superuser may create, and what a restore by somebody else does about it.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgConnection;

use crate::engine::{RestoreOptions, some_of};
use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::archive::{Archive, Entry};
use super::belong::{is_content, is_frame};
use super::connect::{query, query_one};
use super::lex::{Token, tokens};
use super::present::Present;
use super::statements::describe;

/// Names listed in one message.
const LISTED: usize = 100;

/// Roles by which managed servers are known: they let their users create more than the server itself would.
const MANAGED: &str =
    "'rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser', 'alloydbsuperuser', 'neon_superuser', 'supabase_admin'";

/// What the server and the role are.
struct Facts {
    /// Untrusted languages.
    untrusted: HashSet<String>,
    /// Extensions that the role may create.
    trusted: HashSet<String>,
    may_subscribe: bool,
    managed: bool,
}

/// Checks what the role may not create: leaves it out with what needs it, or refuses. A superuser may all.
///
/// # Errors
/// `DatabaseDenied` lists everything at once.
pub(super) async fn check(
    conn: &mut PgConnection,
    archive: &mut Archive,
    options: &RestoreOptions,
    present: Option<&Present>,
) -> Result<Vec<Warning>> {
    let sql = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
    if options.select.data_only || query_one(conn, sql, "reading the role's privileges").await?.as_deref() == Some("t")
    {
        return Ok(Vec::new());
    }
    if present.is_some() {
        may_create_here(conn, archive).await?;
    }
    let facts = Facts::read(conn).await?;
    let there = |entry: &Entry| present.is_some_and(|present| present.has(entry));
    let denied = |entry: &&Entry| !there(entry) && facts.denies(entry, options.no_privileges);
    let denied: Vec<&Entry> = archive.entries.iter().filter(denied).collect();
    if denied.is_empty() {
        return Ok(Vec::new());
    }
    if !options.no_superuser {
        let what = if denied.iter().all(|e| e.desc == "ACL") { "restore" } else { "create" };
        let message = format!("only a superuser may {what} {}", listed(&denied));
        return Err(Error::new(Code::DatabaseDenied, message).next(
            "connect as a superuser, let one create the extensions beforehand, or leave these out \
             (--no-superuser; --no-privileges for grants)",
        ));
    }
    let left_out = without(&archive.entries, &denied)?;
    let silent = |e: &&Entry| matches!(e.desc.as_str(), "COMMENT" | "SECURITY LABEL") || is_content(e);
    let told: Vec<&Entry> =
        archive.entries.iter().filter(|e| left_out.contains(&e.dump_id)).filter(|e| !silent(e)).collect();
    let message = format!("only a superuser may create these and what needs them: {} left out", listed(&told));
    archive.entries.retain(|e| !left_out.contains(&e.dump_id));
    Ok(vec![Warning::new("superuser_left_out", message)])
}

impl Facts {
    async fn read(conn: &mut PgConnection) -> Result<Self> {
        let doing = "reading the role's privileges";
        let names = |rows: Vec<Vec<Option<String>>>| rows.into_iter().flatten().flatten().collect();
        let sql = "SELECT lanname FROM pg_catalog.pg_language WHERE NOT lanpltrusted";
        let untrusted = names(query(conn, sql, doing).await?);
        let sql = "SELECT v.name FROM pg_catalog.pg_available_extension_versions v \
             JOIN pg_catalog.pg_available_extensions a ON a.name = v.name AND a.default_version = v.version \
             WHERE v.trusted OR NOT v.superuser";
        let trusted = names(query(conn, sql, doing).await?);
        let sql = "SELECT count(*) > 0 FROM pg_catalog.pg_roles WHERE rolname = 'pg_create_subscription' \
             AND pg_catalog.pg_has_role(oid, 'USAGE')";
        let may_subscribe = query_one(conn, sql, doing).await?.as_deref() == Some("t");
        let sql = format!("SELECT count(*) > 0 FROM pg_catalog.pg_roles WHERE rolname IN ({MANAGED})");
        let managed = query_one(conn, &sql, doing).await?.as_deref() == Some("t");
        Ok(Self { untrusted, trusted, may_subscribe, managed })
    }

    /// Whether the server would refuse to run this entry.
    fn denies(&self, entry: &Entry, no_privileges: bool) -> bool {
        let defn = entry.defn.as_str();
        match entry.desc.as_str() {
            // Providers have lists of their own of what may be created.
            "EXTENSION" => !self.managed && !self.trusted.contains(&entry.tag),
            "EVENT TRIGGER" | "FOREIGN DATA WRAPPER" => !self.managed,
            "SUBSCRIPTION" => !self.managed && !self.may_subscribe,
            "PUBLICATION" => !self.managed && defn.contains(" FOR ALL TABLES"),
            "PUBLICATION TABLES IN SCHEMA" => !self.managed,
            "ACCESS METHOD"
            | "TEXT SEARCH PARSER"
            | "TEXT SEARCH TEMPLATE"
            | "OPERATOR CLASS"
            | "OPERATOR FAMILY"
            | "PROCEDURAL LANGUAGE"
            | "SHELL TYPE" => true,
            "TYPE" => defn.contains("INPUT = "),
            "CAST" => defn.contains(" WITHOUT FUNCTION"),
            "AGGREGATE" => defn.contains("STYPE = internal"),
            "FUNCTION" | "PROCEDURE" => self.denies_function(&tokens(defn)),
            "ACL" if no_privileges => false,
            "ACL" => entry.namespace.as_deref() == Some("pg_catalog") || defn.contains("SET SESSION AUTHORIZATION "),
            _ => false,
        }
    }

    fn denies_function(&self, tokens: &[Token<'_>]) -> bool {
        let language = tokens.windows(2).find(|pair| pair[0].is("LANGUAGE")).and_then(|pair| pair[1].name());
        let untrusted = language.is_some_and(|name| self.untrusted.contains(&*name));
        untrusted || tokens.iter().any(|t| t.is("LEAKPROOF"))
    }
}

/// Whether schemas and extensions can be created in a database that is there.
async fn may_create_here(conn: &mut PgConnection, archive: &Archive) -> Result<()> {
    let needs: Vec<&Entry> = archive
        .entries
        .iter()
        .filter(|e| matches!(e.desc.as_str(), "SCHEMA" | "PUBLICATION") && !e.defn.starts_with("--"))
        .collect();
    let sql = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')";
    if needs.is_empty() || query_one(conn, sql, "reading the role's privileges").await?.as_deref() == Some("t") {
        return Ok(());
    }
    let message = format!("the role may not create {} in the target", listed(&needs));
    Err(Error::new(Code::DatabaseDenied, message)
        .next("GRANT CREATE ON DATABASE … TO the role, or connect as its owner"))
}

/// The entries that cannot be without those that are denied, and these.
fn without(entries: &[Entry], denied: &[&Entry]) -> Result<HashSet<i32>> {
    let mut dependents: HashMap<i32, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        for id in &entry.dependencies {
            dependents.entry(*id).or_default().push(entry);
        }
    }
    let mut left_out: HashSet<i32> = denied.iter().map(|e| e.dump_id).collect();
    let mut stack: Vec<&Entry> = denied.to_vec();
    while let Some(entry) = stack.pop() {
        for dependent in dependents.get(&entry.dump_id).into_iter().flatten() {
            if matches!(dependent.desc.as_str(), "TABLE" | "TABLE DATA" | "MATERIALIZED VIEW") {
                let message =
                    format!("{} needs {}, which only a superuser may create", describe(dependent), describe(entry));
                return Err(Error::new(Code::DatabaseDenied, message)
                    .next("connect as a superuser, let one create it beforehand, or exclude the table"));
            }
            if !is_frame(dependent) && left_out.insert(dependent.dump_id) {
                stack.push(dependent);
            }
        }
    }
    Ok(left_out)
}

fn listed(entries: &[&Entry]) -> String {
    some_of(entries.iter().map(|e| describe(e)), LISTED)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn entry(id: i32, desc: &str, defn: &str, needs: &[i32]) -> Entry {
        let tag = format!("t{id}");
        Entry {
            dump_id: id,
            desc: desc.into(),
            tag,
            defn: defn.into(),
            dependencies: needs.to_vec(),
            ..Entry::default()
        }
    }

    fn facts(managed: bool) -> Facts {
        let untrusted = ["c", "internal"].map(str::to_owned).into();
        Facts { untrusted, trusted: ["t1".to_owned()].into(), may_subscribe: false, managed }
    }

    #[test]
    fn what_only_a_superuser_may_create_is_known() {
        for (denied, on_managed, entry) in [
            (false, false, entry(1, "EXTENSION", "", &[])),
            (true, false, entry(2, "EXTENSION", "", &[])),
            (true, false, entry(3, "EVENT TRIGGER", "", &[])),
            (true, true, entry(3, "FUNCTION", "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x', 'y';", &[])),
            (
                true,
                true,
                entry(3, "FUNCTION", "CREATE FUNCTION f() RETURNS int LANGUAGE sql LEAKPROOF AS $$LANGUAGE c$$;", &[]),
            ),
            (
                false,
                false,
                entry(3, "FUNCTION", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$LANGUAGE c LEAKPROOF$$;", &[]),
            ),
            (true, true, entry(3, "ACL", "SET SESSION AUTHORIZATION x;\nGRANT ALL ON TYPE t TO y;", &[])),
            (false, false, entry(3, "TYPE", "CREATE TYPE t AS ENUM ('INPUT');", &[])),
        ] {
            let told = (facts(false).denies(&entry, false), facts(true).denies(&entry, false));
            assert_eq!(told, (denied, on_managed), "{entry:?}");
        }
    }

    #[test]
    fn what_needs_it_goes_as_well_but_no_table() {
        let trigger = [
            entry(1, "FUNCTION", "", &[]),
            entry(2, "TABLE", "", &[]),
            entry(3, "TRIGGER", "", &[2, 1]),
            entry(4, "COMMENT", "", &[3]),
        ];
        let left_out = without(&trigger, &[&trigger[0]]).unwrap();
        assert_eq!(left_out, [1, 3, 4].into());
        let table = [entry(1, "TYPE", "", &[]), entry(2, "TABLE", "", &[1])];
        let e = without(&table, &[&table[0]]).unwrap_err();
        assert!(e.message().contains("TABLE t2 needs TYPE t1"), "{e}");
    }
}
