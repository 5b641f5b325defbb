//! Makes an archive fit its target: what of it is restored, under which names, and beside what.

use std::collections::HashSet;

use crate::engine::{RestoreOptions, some_of};
use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::archive::{Archive, Entry};
use super::belong::named;
use super::mapping;
use super::present::{Present, key};
use super::select::{Picks, keep};
use super::statements::describe;

/// Names listed in one message.
const LISTED: usize = 10;

/// What an archive was made to fit with.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// What is dropped first, because the archive brings it: statements in their order.
    pub(super) drops: Vec<String>,
    pub(super) warnings: Vec<Warning>,
}

/// Reduces an archive to what is restored, under its names in the target. `present` is what the target holds; none if
/// it is a new database.
///
/// # Errors
/// `NothingSelected`, `IncompleteSelection`, `InvalidOption`; `TargetNotEmpty` when something is there already,
/// `DatabaseNotFound` when a table for rows alone is not.
pub(super) fn fit(archive: &mut Archive, options: &RestoreOptions, present: Option<&Present>) -> Result<Fit> {
    let nothing = Present::default();
    let there = present.unwrap_or(&nothing);
    mapping::prepare(archive, &options.map)?;
    let everything = options.select.is_everything();
    let picks = if everything { None } else { Some(Picks::new(&archive.entries, &options.select)?) };
    let settled = there.settled(&archive.entries, |schema| options.map.schemas.contains_key(schema));
    // What is selected is told by the names it has in the backup, what is there by those in the target.
    let as_backed_up = if everything { Vec::new() } else { archive.entries.clone() };
    let mentioning = mapping::apply(archive, &options.map, settled);
    let mut fit = Fit::default();
    if let Some(picks) = picks {
        let has: HashSet<i32> = archive.entries.iter().filter(|e| there.has(e)).map(|e| e.dump_id).collect();
        let chosen = picks.choose(&as_backed_up, |entry| has.contains(&entry.dump_id))?;
        keep(&mut archive.entries, &chosen.ids);
        fit.warnings = chosen.warnings;
    }
    fit.warnings.extend(mapping::bodies(&archive.entries, &mentioning, &options.map));
    if options.select.data_only {
        tables_are_there(&archive.entries, there)?;
        return Ok(fit);
    }
    leave_out_schemas(archive, there, options.select.names_some());
    if !options.map.schemas.is_empty() {
        each_once(&archive.entries)?;
    }
    let colliding: Vec<&Entry> = archive.entries.iter().filter(|e| !may_be_there(e) && there.has(e)).collect();
    if options.clean {
        fit.drops = drops(&archive.entries, &colliding);
    } else if !colliding.is_empty() {
        let message = format!("the target already has {}", listed(&colliding));
        return Err(Error::new(Code::TargetNotEmpty, message)
            .next("restore into another schema (--map-schema) or database, or have them dropped first (--clean)"));
    }
    Ok(fit)
}

/// What is there is taken as it is: schemas, and what is created only where it is missing.
fn may_be_there(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "SCHEMA" | "EXTENSION" | "PROCEDURAL LANGUAGE")
}

/// Leaves schemas out that the target has, with what is said of them, and creates no schema twice.
///
/// `public` is in every database: its changed owner and privileges are restored with a whole archive.
fn leave_out_schemas(archive: &mut Archive, there: &Present, beside: bool) {
    let mut seen = HashSet::new();
    let mut left_out = HashSet::new();
    archive.entries.retain(|entry| {
        let keep = match entry.desc.as_str() {
            "SCHEMA" if entry.defn.starts_with("--") && !beside => seen.insert(entry.tag.clone()),
            "SCHEMA" => !there.has(entry) && seen.insert(entry.tag.clone()),
            "COMMENT" | "ACL" | "SECURITY LABEL" => !entry.dependencies.first().is_some_and(|id| left_out.contains(id)),
            _ => true,
        };
        if !keep {
            left_out.insert(entry.dump_id);
        }
        keep
    });
}

/// Two schemas that become one must not hold the same names.
fn each_once(entries: &[Entry]) -> Result<()> {
    let mut seen = HashSet::new();
    // A shell type is completed by the type of its name.
    let named = entries.iter().filter(|e| e.desc != "SHELL TYPE");
    let twice: Vec<&Entry> = named.filter(|e| key(e).is_some_and(|key| !seen.insert(key))).collect();
    if twice.is_empty() {
        return Ok(());
    }
    let message = format!("under the names they are given there would be two of {}", listed(&twice));
    Err(Error::new(Code::InvalidOption, message).next("map the schemas to names of their own"))
}

fn tables_are_there(entries: &[Entry], there: &Present) -> Result<()> {
    let lacks = |entry: &&Entry| {
        let desc = match entry.desc.as_str() {
            "TABLE DATA" => "TABLE",
            "SEQUENCE SET" => "SEQUENCE",
            "MATERIALIZED VIEW DATA" => "MATERIALIZED VIEW",
            _ => return false,
        };
        !there.has(&Entry { desc: desc.to_owned(), ..(*entry).clone() })
    };
    let lacking: Vec<&Entry> = entries.iter().filter(lacks).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Error::new(Code::DatabaseNotFound, format!("the target has no place for {}", listed(&lacking)))
        .next("restore definitions as well, or exclude them"))
}

/// The statements that drop what is there, the last created first. Tables take along what belongs to them.
fn drops(entries: &[Entry], colliding: &[&Entry]) -> Vec<String> {
    let there: HashSet<i32> = colliding.iter().map(|e| e.dump_id).collect();
    let tables: HashSet<_> = colliding
        .iter()
        .filter(|e| matches!(e.desc.as_str(), "TABLE" | "FOREIGN TABLE"))
        .map(|e| (e.namespace.clone().unwrap_or_default(), e.tag.clone()))
        .collect();
    let owned: HashSet<i32> = entries
        .iter()
        .filter(|e| e.desc == "SEQUENCE OWNED BY")
        .filter_map(|e| e.dependencies.first().copied())
        .collect();
    let mut statements = Vec::new();
    // Tables may refer to each other in a circle.
    for entry in entries.iter().filter(|e| e.desc == "FK CONSTRAINT") {
        if named(entry).is_some_and(|table| tables.contains(&table)) {
            let drop = entry.drop.replacen("TABLE ", "TABLE IF EXISTS ", 1);
            statements.push(drop.replacen(" DROP CONSTRAINT ", " DROP CONSTRAINT IF EXISTS ", 1));
        }
    }
    let mut last = Vec::new();
    for entry in entries.iter().rev().filter(|e| there.contains(&e.dump_id)) {
        let with_table = matches!(entry.desc.as_str(), "INDEX" | "CONSTRAINT" | "SHELL TYPE");
        if with_table || entry.drop.is_empty() || entry.drop.starts_with("--") {
            continue;
        }
        if owned.contains(&entry.dump_id) {
            // It goes with its table, if it is owned by it there as well.
            last.push(entry.drop.replacen("SEQUENCE ", "SEQUENCE IF EXISTS ", 1));
        } else {
            statements.push(entry.drop.clone());
        }
    }
    statements.append(&mut last);
    statements
}

fn listed(entries: &[&Entry]) -> String {
    some_of(entries.iter().map(|e| describe(e)), LISTED)
}
