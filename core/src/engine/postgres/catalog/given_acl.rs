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

/// Everything with privileges of its own, its name without arguments. A column whose last privilege was revoked has
/// none again, and may have had some at first.
const OBJECTS: &str = "SELECT c.tableoid AS class, c.oid, 0 AS sub, c.relnamespace AS namespace, c.relname AS name, \
        CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END AS type, NULL AS attname, c.relowner AS owner, c.relacl AS acl \
    FROM pg_catalog.pg_class c WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
    UNION ALL SELECT c.tableoid, c.oid, a.attnum, c.relnamespace, c.relname, 'c', a.attname, c.relowner, a.attacl \
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid WHERE NOT a.attisdropped \
        AND (a.attacl IS NOT NULL OR a.attrelid IN (SELECT objoid FROM pg_catalog.pg_init_privs WHERE objsubid <> 0)) \
    UNION ALL SELECT tableoid, oid, 0, pronamespace, proname, 'f', NULL, proowner, proacl FROM pg_catalog.pg_proc \
        WHERE proacl IS NOT NULL \
    UNION ALL SELECT tableoid, oid, 0, typnamespace, typname, 'T', NULL, typowner, typacl FROM pg_catalog.pg_type \
        WHERE typacl IS NOT NULL \
    UNION ALL SELECT tableoid, oid, 0, oid, nspname, 'n', NULL, nspowner, nspacl FROM pg_catalog.pg_namespace \
    UNION ALL SELECT tableoid, oid, 0, 11, lanname, 'l', NULL, lanowner, lanacl FROM pg_catalog.pg_language \
        WHERE lanpltrusted AND oid < 16384 \
    UNION ALL SELECT tableoid, oid, 0, 0, fdwname, 'F', NULL, fdwowner, fdwacl \
        FROM pg_catalog.pg_foreign_data_wrapper \
    UNION ALL SELECT tableoid, oid, 0, 0, srvname, 'S', NULL, srvowner, srvacl FROM pg_catalog.pg_foreign_server";

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    // 11 is pg_catalog. Of an extension's objects those count that are its members.
    let sql = format!(
        "SELECT o.*, p.prokind, acldefault(o.type::\"char\", o.owner) AS acldefault, ARRAY(SELECT format_type(t, NULL) \
             FROM unnest(p.proargtypes) WITH ORDINALITY u(t, n) ORDER BY n) AS arguments FROM ({OBJECTS}) o \
         LEFT JOIN pg_catalog.pg_init_privs i ON i.classoid = o.class AND i.objoid = o.oid AND i.objsubid = o.sub \
         LEFT JOIN pg_catalog.pg_depend e ON e.classid = o.class AND e.objid = o.oid AND e.objsubid = 0 \
              AND e.deptype = 'e' \
         LEFT JOIN pg_catalog.pg_proc p ON o.type = 'f' AND p.oid = o.oid \
         WHERE (o.acl IS NOT NULL OR i.initprivs IS NOT NULL) AND o.acl IS DISTINCT FROM i.initprivs \
         AND (o.namespace = 11 OR e.objid IS NOT NULL) ORDER BY o.class, o.oid, o.sub"
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
    let (kind, privileges) = match row.char("type")? {
        's' => ("SEQUENCE", Class::Sequence),
        'c' => ("TABLE", Class::Column),
        'r' => ("TABLE", Class::Table { maintain: reader.major >= 17 }),
        'f' if row.char("prokind")? == 'p' => ("PROCEDURE", Class::Routine),
        'f' => ("FUNCTION", Class::Routine),
        'T' => ("TYPE", Class::Usage),
        'n' => ("SCHEMA", Class::Schema),
        'l' => ("LANGUAGE", Class::Usage),
        'F' => ("FOREIGN DATA WRAPPER", Class::Usage),
        _ => ("FOREIGN SERVER", Class::Usage),
    };
    let mut name = ident(&row.text("name")?);
    if catalog == class::PROC {
        name.push_str(&format!("({})", row.list("arguments")?.join(", ")));
    }
    let schema = matches!(catalog, class::RELATION | class::PROC | class::TYPE);
    let schema = if schema { Some(reader.schema(row.oid("namespace")?)) } else { None };
    let named = Named { kind, schema: schema.as_deref(), name: &name, owner: &owner };
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
