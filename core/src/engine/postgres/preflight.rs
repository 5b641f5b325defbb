//! What is checked before a restore writes anything: whether the server has what the archive refers to.

use std::collections::{BTreeSet, HashSet};

use sqlx::postgres::PgConnection;

use crate::engine::RestoreOptions;
use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::archive::{Archive, Entry};
use super::connect::query;
use super::roles;
use super::statements::{Adapt, Pass, describe, is_statement, pass};

/// Checks the archive against the server, on which the roles `coming` will be when it is restored. Returns how its statements are to be adapted, and what to know of it.
///
/// # Errors
/// `MissingRole`, `MissingExtension`: each names all that are missing.
pub(super) async fn check(
    conn: &mut PgConnection,
    archive: &Archive,
    creates_database: bool,
    coming: &HashSet<String>,
    options: &RestoreOptions,
) -> Result<(Adapt, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let no_owner = options.no_owner;
    let mut adapt = Adapt { no_owner, ..Adapt::default() };

    let mut there = names(conn, "SELECT rolname FROM pg_catalog.pg_roles").await?;
    there.extend(coming.iter().cloned());
    if options.no_privileges {
        leave_policies_out(archive, &there, &mut adapt, &mut warnings);
    }
    let owners = owners(archive, &adapt, creates_database);
    let mentioned = mentioned_roles(archive, &adapt, options);
    let missing = listed(owners.union(&mentioned).filter(|name| !there.contains(*name)));
    if !missing.is_empty() {
        return Err(Error::new(Code::MissingRole, format!("the target has no role {missing}"))
            .next("create the roles (CREATE ROLE …), map them to others (--map-owner), or do without (--no-owner, --no-privileges)"));
    }

    // Since 16 being a member of a role is not enough to give it something.
    let privilege = if conn.server_version_num() >= Some(16_00_00) { "SET" } else { "MEMBER" };
    let sql = format!("SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(oid, '{privilege}')");
    let ours = names(conn, &sql).await?;
    let others = listed(owners.iter().filter(|name| !ours.contains(*name) && !coming.contains(*name)));
    if !others.is_empty() {
        return Err(Error::new(Code::DatabaseDenied, format!("objects cannot be given to {others}"))
            .next("connect as a superuser or a member of these roles, or restore without owners (--no-owner)"));
    }

    let wanted = archive.entries.iter().filter(|e| e.desc == "EXTENSION").map(|e| &e.tag);
    let there = names(conn, "SELECT name FROM pg_catalog.pg_available_extensions").await?;
    let missing = listed(wanted.filter(|name| !there.contains(*name)));
    if !missing.is_empty() {
        return Err(Error::new(
            Code::MissingExtension,
            format!("the target's server does not offer extension {missing}"),
        )
        .next("install the extension's package on the server"));
    }

    let tablespaces = archive.entries.iter().filter_map(|e| e.tablespace.as_ref()).filter(|name| !name.is_empty());
    let there = names(conn, "SELECT spcname FROM pg_catalog.pg_tablespace").await?;
    let missing: BTreeSet<&String> = tablespaces.filter(|name| !there.contains(*name)).collect();
    for name in missing {
        let message =
            format!("tablespace {name} does not exist; what was in it is in the database's default tablespace");
        warnings.push(Warning::new("missing_tablespace", message));
        adapt.missing_tablespaces.insert(name.clone());
    }

    let major = |text: &str| text.split('.').next().and_then(|n| n.parse::<u32>().ok());
    let target = conn.server_version_num().map(|n| n / 10_000);
    if let (Some(source), Some(target)) = (major(&archive.header.server_version), target)
        && source > target
    {
        let message =
            format!("the backup is of version {source} and the target of {target}, which may not know all of it");
        warnings.push(Warning::new("older_server", message));
    }
    Ok((adapt, warnings))
}

/// Without privileges, policies and user mappings for roles that do not exist go too: without them fewer rows are seen,
/// not more.
fn leave_policies_out(archive: &Archive, there: &HashSet<String>, adapt: &mut Adapt, warnings: &mut Vec<Warning>) {
    for entry in archive.entries.iter().filter(|e| matches!(e.desc.as_str(), "POLICY" | "USER MAPPING" | "COMMENT")) {
        if entry.desc == "COMMENT" {
            // Of a policy that was left out.
            if entry.dependencies.iter().any(|id| adapt.left_out.contains(id)) {
                adapt.left_out.insert(entry.dump_id);
            }
            continue;
        }
        let mut roles = BTreeSet::new();
        roles::mentioned(entry, &mut roles);
        let missing = listed(roles.iter().filter(|name| !there.contains(*name)));
        if !missing.is_empty() {
            let message = format!("{} is left out: there is no role {missing}", describe(entry));
            let code = if entry.desc == "POLICY" { "policy_left_out" } else { "user_mapping_left_out" };
            warnings.push(Warning::new(code, message));
            adapt.left_out.insert(entry.dump_id);
        }
    }
}

/// The roles that will own something.
fn owners(archive: &Archive, adapt: &Adapt, creates_database: bool) -> BTreeSet<String> {
    let owns = |entry: &&Entry| match entry.desc.as_str() {
        "DATABASE" => creates_database && !adapt.no_owner && !entry.owner.is_empty(),
        _ => is_statement(entry) && adapt.owned(entry).is_some(),
    };
    archive.entries.iter().filter(owns).map(|entry| entry.owner.clone()).collect()
}

/// The roles that are granted something or that policies are for.
fn mentioned_roles(archive: &Archive, adapt: &Adapt, options: &RestoreOptions) -> BTreeSet<String> {
    let mut roles = BTreeSet::new();
    for entry in archive.entries.iter().filter(|e| is_statement(e) && !adapt.left_out.contains(&e.dump_id)) {
        if matches!(entry.desc.as_str(), "POLICY" | "USER MAPPING")
            || (pass(entry) == Pass::Privileges && !options.no_privileges)
        {
            roles::mentioned(entry, &mut roles);
        }
    }
    roles
}

async fn names(conn: &mut PgConnection, sql: &str) -> Result<HashSet<String>> {
    let rows = query(conn, sql, "checking the target").await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: BTreeSet<&String> = names.collect();
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
