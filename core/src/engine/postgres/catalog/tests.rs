#![allow(clippy::unwrap_used, clippy::expect_used)]

use sqlx::{AssertSqlSafe, Connection as _};

use super::*;
use crate::engine::postgres::quote::ident;

/// The entries as one script, in the way pg_restore runs them.
fn script(entries: &[Entry]) -> Vec<String> {
    let mut statements: Vec<String> = ["check_function_bodies = off", "xmloption = content", "row_security = off"]
        .map(|s| format!("SET {s};"))
        .into();
    let later = |e: &&Entry| match e.desc.as_str() {
        "ACL" | "DEFAULT ACL" => 1,
        "EVENT TRIGGER" | "MATERIALIZED VIEW DATA" => 2,
        "COMMENT" | "SECURITY LABEL" if e.tag.starts_with("EVENT TRIGGER ") => 2,
        _ => 0,
    };
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(later);
    for entry in sorted {
        if entry.copy.is_some() || entry.defn.is_empty() {
            continue;
        }
        if let Some(tablespace) = &entry.tablespace {
            let value = if tablespace.is_empty() { "''".to_owned() } else { ident(tablespace) };
            statements.push(format!("SET default_tablespace = {value};"));
        }
        if let Some(am) = &entry.table_am {
            statements.push(format!("SET default_table_access_method = {};", ident(am)));
        }
        statements.push(entry.defn.clone());
        if !entry.owner.is_empty() && !entry.drop.is_empty() {
            if let Some(object) = owned(entry) {
                statements.push(format!("ALTER {object} OWNER TO {};", ident(&entry.owner)));
            }
        }
    }
    statements
}

/// An entry's object as ALTER … OWNER TO names it, if it has an owner.
fn owned(entry: &Entry) -> Option<String> {
    let desc = match entry.desc.as_str() {
        "VIEW" | "SEQUENCE" | "MATERIALIZED VIEW" => "TABLE",
        other => other,
    };
    match desc {
        "COLLATION"
        | "CONVERSION"
        | "DOMAIN"
        | "TABLE"
        | "TYPE"
        | "FOREIGN TABLE"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH CONFIGURATION"
        | "STATISTICS"
        | "PROCEDURAL LANGUAGE"
        | "SCHEMA"
        | "EVENT TRIGGER"
        | "FOREIGN DATA WRAPPER"
        | "SERVER"
        | "PUBLICATION"
        | "SUBSCRIPTION" => {
            let schema = entry.namespace.as_ref().map(|s| format!("{}.", ident(s))).unwrap_or_default();
            Some(format!("{desc} {schema}{}", ident(&entry.tag)))
        }
        "BLOB" => Some(format!("LARGE OBJECT {}", entry.tag)),
        "AGGREGATE" | "FUNCTION" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY" | "PROCEDURE" => {
            Some(entry.drop.trim_start_matches("DROP ").trim_end_matches(['\n', ';']).to_owned())
        }
        _ => None,
    }
}

#[tokio::test]
async fn dev_script() {
    let Ok(url) = std::env::var("DEV_URL") else { return };
    let mut conn = PgConnection::connect(&url).await.unwrap();
    for set in ["datestyle = 'ISO'", "intervalstyle = 'postgres'", "extra_float_digits = 3"] {
        sqlx::raw_sql(AssertSqlSafe(format!("SET {set}"))).execute(&mut conn).await.unwrap();
    }
    let start = std::time::Instant::now();
    let catalog = read(&mut conn).await.unwrap();
    let took = start.elapsed();
    let mut out = script(&catalog.entries).join("\n");
    out.push('\n');
    std::fs::write(std::env::var("DEV_OUT").unwrap(), out).unwrap();
    let warnings: String = catalog.warnings.iter().map(|w| format!("{}: {}\n", w.code, w.message)).collect();
    std::fs::write(std::env::var("DEV_OUT").unwrap() + ".warn", warnings).unwrap();
    std::fs::write(std::env::var("DEV_OUT").unwrap() + ".time", format!("{took:?} {}\n", catalog.entries.len()))
        .unwrap();
    let json: Vec<serde_json::Value> = catalog
        .entries
        .iter()
        .map(|e| {
            serde_json::json!([
                e.dump_id,
                e.catalog,
                e.oid,
                e.tag,
                e.desc,
                e.section as i32 + 1,
                e.defn,
                e.drop,
                e.copy,
                e.namespace,
                e.tablespace,
                e.table_am,
                e.owner,
                e.dependencies
            ])
        })
        .collect();
    let los = catalog.large_objects.clone();
    let tables: Vec<serde_json::Value> = catalog
        .tables
        .iter()
        .map(|t| serde_json::json!([t.dump_id, t.schema, t.name, t.columns, t.filter, t.blocks, t.bytes]))
        .collect();
    std::fs::write(
        std::env::var("DEV_OUT").unwrap() + ".json",
        serde_json::json!([json, tables, los, catalog.fingerprint]).to_string(),
    )
    .unwrap();
    let toc: String = catalog
        .entries
        .iter()
        .map(|e| format!("{} {:?} {} {} {:?} {}\n", e.dump_id, e.section, e.desc, e.tag, e.dependencies, e.owner))
        .collect();
    std::fs::write(std::env::var("DEV_OUT").unwrap() + ".toc", toc).unwrap();
}
