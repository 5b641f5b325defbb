//! Rows into tables that are there: what has to be so before, and what is checked behind.

use sqlx::postgres::PgConnection;

use crate::engine::some_of;
use crate::error::{Code, Error, Result};

use super::archive::Entry;
use super::connect::{execute, query, query_one};
use super::lex::{Token, tokens};
use super::quote::{literal, qualified};

/// Tables asked about in one query.
const TABLES_PER_QUERY: usize = 200;

/// Names listed in one message.
const LISTED: usize = 10;

/// Rows are loaded in no particular order: foreign keys are checked at the end, and triggers have done their work.
const WITHOUT_TRIGGERS: &str = "SET session_replication_role = replica;\n";

/// The tables that rows are loaded into, quoted.
fn tables(entries: &[Entry]) -> Vec<(&Entry, String)> {
    let data = entries.iter().filter(|e| e.desc == "TABLE DATA");
    data.map(|e| (e, qualified(e.namespace.as_deref().unwrap_or_default(), &e.tag))).collect()
}

/// Checks that the tables have the columns, hold no rows (unless they may), and that triggers and foreign keys can be
/// put aside where there are any.
///
/// # Errors
/// `DatabaseNotFound`, `TargetNotEmpty`, `DatabaseDenied`: each names the tables.
pub(super) async fn check(conn: &mut PgConnection, entries: &[Entry], rows_may_be_there: bool) -> Result<()> {
    let tables = tables(entries);
    let doing = "checking the tables";
    let (mut lacking, mut filled, mut guarded) = (Vec::new(), Vec::new(), Vec::new());
    for batch in tables.chunks(TABLES_PER_QUERY) {
        let wanted: Vec<String> = batch
            .iter()
            .flat_map(|(entry, table)| {
                columns(entry).into_iter().map(move |c| format!("({}, {})", literal(table), literal(&c)))
            })
            .collect();
        if !wanted.is_empty() {
            let sql = format!(
                "SELECT w.t || '.' || w.c FROM (VALUES {}) w(t, c) WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a \
                 WHERE a.attrelid = w.t::pg_catalog.regclass AND a.attname = w.c AND NOT a.attisdropped AND a.attnum > 0)",
                wanted.join(", ")
            );
            lacking.extend(query(conn, &sql, doing).await?.into_iter().flatten().flatten());
        }
        let rows: Vec<String> = batch
            .iter()
            .map(|(_, table)| format!("SELECT {} WHERE EXISTS (SELECT FROM ONLY {table})", literal(table)))
            .collect();
        filled.extend(query(conn, &rows.join(" UNION ALL "), doing).await?.into_iter().flatten().flatten());
        let sql = format!(
            "SELECT t::pg_catalog.text FROM pg_catalog.unnest({}) t WHERE \
             EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = t AND g.tgenabled IN ('O', 'A')) \
             OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = t AND r.ev_type = '3')",
            classes(batch)
        );
        guarded.extend(query(conn, &sql, doing).await?.into_iter().flatten().flatten());
    }
    if !lacking.is_empty() {
        return Err(Error::new(Code::DatabaseNotFound, format!("the target has no column {}", listed(&lacking)))
            .next("restore into tables as they were, or beside them with their definitions"));
    }
    if !filled.is_empty() && !rows_may_be_there {
        return Err(Error::new(Code::TargetNotEmpty, format!("these tables hold rows already: {}", listed(&filled)))
            .next("empty them first, or say that rows may be added to them (--overwrite)"));
    }
    if !guarded.is_empty() && !may_put_aside(conn).await? {
        let message = format!("triggers or foreign keys of {} cannot be put aside by this role", listed(&guarded));
        return Err(Error::new(Code::DatabaseDenied, message).next(
            "connect as a superuser, or let one run GRANT SET ON PARAMETER session_replication_role TO the role",
        ));
    }
    Ok(())
}

/// Whether the session may load rows as a replica does, without triggers.
async fn may_put_aside(conn: &mut PgConnection) -> Result<bool> {
    let privilege = if conn.server_version_num() >= Some(15_00_00) {
        "pg_catalog.has_parameter_privilege('session_replication_role', 'SET')"
    } else {
        "false"
    };
    let sql = format!("SELECT rolsuper OR {privilege} FROM pg_catalog.pg_roles WHERE rolname = current_user");
    Ok(query_one(conn, &sql, "reading the role's privileges").await?.as_deref() == Some("t"))
}

/// The setting with which rows are loaded, if the role may set it; otherwise there was nothing to put aside.
pub(super) async fn settings(conn: &mut PgConnection) -> Result<&'static str> {
    Ok(if may_put_aside(conn).await? { WITHOUT_TRIGGERS } else { "" })
}

/// Checks the foreign keys of the loaded tables.
///
/// # Errors
/// `DatabaseError` names the first that does not hold.
pub(super) async fn check_foreign_keys(conn: &mut PgConnection, entries: &[Entry]) -> Result<()> {
    let operators = "ARRAY(SELECT pg_catalog.format('y.%I OPERATOR(%I.%s) x.%I', q.attname, n.nspname, o.oprname, p.attname) \
         FROM unnest(c.conkey, c.confkey, c.conpfeqop) u(k, f, op) \
         JOIN pg_catalog.pg_attribute p ON p.attrelid = c.conrelid AND p.attnum = u.k \
         JOIN pg_catalog.pg_attribute q ON q.attrelid = c.confrelid AND q.attnum = u.f \
         JOIN pg_catalog.pg_operator o ON o.oid = u.op JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace)";
    let present = "ARRAY(SELECT pg_catalog.format('x.%I IS NOT NULL', p.attname) FROM pg_catalog.unnest(c.conkey) k \
         JOIN pg_catalog.pg_attribute p ON p.attrelid = c.conrelid AND p.attnum = k)";
    let enforced =
        if conn.server_version_num() >= Some(18_00_00) { "AND c.conenforced AND NOT c.conperiod" } else { "" };
    for batch in tables(entries).chunks(TABLES_PER_QUERY) {
        let sql = format!(
            "SELECT pg_catalog.format('%s of %s', c.conname, c.conrelid::pg_catalog.regclass), pg_catalog.format( \
             'SELECT 1 FROM %s x WHERE %s AND NOT EXISTS (SELECT FROM %s y WHERE %s) LIMIT 1', \
             c.conrelid::pg_catalog.regclass, pg_catalog.array_to_string({present}, ' AND '), \
             c.confrelid::pg_catalog.regclass, pg_catalog.array_to_string({operators}, ' AND ')) \
             FROM pg_catalog.pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0 AND c.convalidated {enforced} \
             AND c.conrelid = ANY ({}) ORDER BY 1",
            classes(batch)
        );
        for row in query(conn, &sql, "listing foreign keys").await? {
            let [Some(name), Some(orphans)] = row.as_slice() else { continue };
            if query_one(conn, orphans, &format!("checking foreign key {name}")).await?.is_some() {
                let message = format!("rows that foreign key {name} refers to are not there");
                return Err(
                    Error::new(Code::DatabaseError, message).next("restore the rows of the table it refers to as well")
                );
            }
        }
    }
    Ok(())
}

/// Takes the rows out again that were loaded into empty tables.
pub(super) async fn empty(conn: &mut PgConnection, entries: &[Entry]) -> Result<()> {
    let setting = settings(conn).await?;
    let deletes: String = tables(entries).iter().map(|(_, table)| format!("DELETE FROM ONLY {table};\n")).collect();
    execute(conn, &format!("{setting}{deletes}"), "taking the loaded rows out again").await
}

fn classes(tables: &[(&Entry, String)]) -> String {
    let names: Vec<String> = tables.iter().map(|(_, table)| literal(table)).collect();
    format!("ARRAY[{}]::pg_catalog.regclass[]", names.join(", "))
}

/// The columns of a `COPY table (a, b) FROM stdin;`.
fn columns(entry: &Entry) -> Vec<String> {
    let copy = entry.copy.as_deref().unwrap_or_default();
    let tokens = tokens(copy);
    let inside = tokens.iter().skip_while(|t| !t.is_symbol("(")).take_while(|t| !t.is_symbol(")"));
    inside.filter_map(Token::name).map(|name| name.into_owned()).collect()
}

fn listed(names: &[String]) -> String {
    some_of(names, LISTED)
}
