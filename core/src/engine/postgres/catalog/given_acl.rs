//! Privileges of objects that are not dumped themselves: the server's own and those of extensions.
//!
//! Their first privileges are on record; what was granted or revoked since is restored.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::acl::{Acl, Class};
use super::draft::{Body, Extra, Named};
use super::reader::{Key, Reader, class};
use super::row::Row;

/// Catalogs with privileges: each gives class, kind, object, its namespace and the name that GRANT takes.
const OBJECTS: &str = "SELECT c.tableoid AS class, c.oid, 0 AS sub, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' \
        ELSE 'TABLE' END AS kind, c.relnamespace AS namespace, quote_ident(c.relname) AS name, NULL AS attname, \
        c.relowner AS owner, c.relacl AS acl, \
        acldefault(CASE c.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END, c.relowner) AS acldefault \
    FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
    UNION ALL SELECT c.tableoid, c.oid, a.attnum, 'TABLE', c.relnamespace, quote_ident(c.relname), a.attname, \
        c.relowner, a.attacl, '{}' FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
        WHERE NOT a.attisdropped \
    UNION ALL SELECT p.tableoid, p.oid, 0, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, \
        p.pronamespace, quote_ident(p.proname) || '(' || array_to_string(ARRAY(SELECT format_type(t, NULL) \
        FROM unnest(p.proargtypes) WITH ORDINALITY u(t, n) ORDER BY n), ', ') || ')', NULL, p.proowner, p.proacl, \
        acldefault('f', p.proowner) FROM pg_catalog.pg_proc p \
    UNION ALL SELECT t.tableoid, t.oid, 0, 'TYPE', t.typnamespace, quote_ident(t.typname), NULL, t.typowner, \
        t.typacl, acldefault('T', t.typowner) FROM pg_catalog.pg_type t \
    UNION ALL SELECT n.tableoid, n.oid, 0, 'SCHEMA', CASE n.nspname WHEN 'pg_catalog' THEN n.oid ELSE 0 END, \
        quote_ident(n.nspname), NULL, n.nspowner, n.nspacl, acldefault('n', n.nspowner) FROM pg_catalog.pg_namespace n \
    UNION ALL SELECT l.tableoid, l.oid, 0, 'LANGUAGE', 11, quote_ident(l.lanname), NULL, l.lanowner, l.lanacl, \
        acldefault('l', l.lanowner) FROM pg_catalog.pg_language l WHERE l.lanpltrusted AND l.oid < 16384 \
    UNION ALL SELECT w.tableoid, w.oid, 0, 'FOREIGN DATA WRAPPER', 0, quote_ident(w.fdwname), NULL, w.fdwowner, \
        w.fdwacl, acldefault('F', w.fdwowner) FROM pg_catalog.pg_foreign_data_wrapper w \
    UNION ALL SELECT s.tableoid, s.oid, 0, 'FOREIGN SERVER', 0, quote_ident(s.srvname), NULL, s.srvowner, \
        s.srvacl, acldefault('S', s.srvowner) FROM pg_catalog.pg_foreign_server s";

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    // 11 is pg_catalog. Of an extension's objects those count that are its members.
    let sql = format!(
        "SELECT o.*, e.objid IS NOT NULL AS member FROM ({OBJECTS}) o \
         LEFT JOIN pg_catalog.pg_init_privs i ON i.classoid = o.class AND i.objoid = o.oid AND i.objsubid = o.sub \
         LEFT JOIN pg_catalog.pg_depend e ON e.classid = o.class AND e.objid = o.oid AND e.objsubid = 0 \
              AND e.deptype = 'e' \
         WHERE o.acl IS DISTINCT FROM i.initprivs AND (o.namespace = 11 OR e.objid IS NOT NULL) \
         ORDER BY o.class, o.oid, o.sub"
    );
    for row in reader.query(&sql).await? {
        let (catalog, oid) = (row.oid("class")?, row.oid("oid")?);
        let Some(extra) = privileges(reader, &row)? else { continue };
        let node = match reader.find(catalog, oid) {
            Some(node) => node,
            None => {
                let node = Node::new(Kind::Extension, None, row.text("name")?);
                reader.add(Key::Object(catalog, oid), node, Body::Silent)
            }
        };
        match &mut reader.bodies[node] {
            Body::Present(extras) => extras.push(extra),
            body @ Body::Silent => *body = Body::Present(vec![extra]),
            // Dumped after all, with its privileges.
            _ => {}
        }
    }
    Ok(())
}

fn privileges(reader: &mut Reader<'_>, row: &Row) -> Result<Option<Extra>> {
    let (catalog, oid, sub) = (row.oid("class")?, row.oid("oid")?, row.number("sub")?);
    let owner = reader.owner(row, "owner")?;
    let (kind, name) = (row.text("kind")?, row.text("name")?);
    let schema = matches!(catalog, class::RELATION | class::PROC | class::TYPE);
    let schema = if schema { Some(reader.schema(row.oid("namespace")?)) } else { None };
    let named = Named { kind: &kind, schema: schema.as_deref(), name: &name, owner: &owner };
    let privileges = match kind.as_str() {
        "TABLE" if sub != 0 => Class::Column,
        "TABLE" => Class::Table { maintain: reader.major >= 17 },
        "SEQUENCE" => Class::Sequence,
        "FUNCTION" | "PROCEDURE" => Class::Routine,
        "SCHEMA" => Class::Schema,
        _ => Class::Usage,
    };
    let mut acl = Acl::from_row(row)?;
    acl.initial = reader.initial_acls.get(&(catalog, oid, sub)).cloned();
    let column = row.opt("attname")?.map(ident);
    let on = format!("{kind} {}", named.path());
    let extra = named.acl(acl.commands(privileges, &on, column.as_deref(), &owner));
    Ok(extra.map(|extra| match column {
        Some(column) => Extra { tag: format!("COLUMN {name}.{column}"), after_acl: true, ..extra },
        None => extra,
    }))
}
