//! Types: enums, composites, ranges; domains are in their own file.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::{ident, literal, qualified};
use crate::error::Result;

use super::acl::Class;
use super::check::Checks;
use super::draft::{Body, Draft, Extra, Named};
use super::reader::{Key, Reader, class};
use super::row::Row;

/// Reads all types in dumped schemas, also those that come with tables and other types.
pub(super) async fn read(reader: &mut Reader<'_>, checks: &Checks) -> Result<()> {
    // Since 17 NOT NULL of a domain is a constraint with a name of its own.
    let (not_null, join) = if reader.major >= 17 {
        (
            "nn.oid AS nnoid, nn.conname AS nnname",
            "LEFT JOIN pg_catalog.pg_constraint nn ON nn.contypid = t.oid AND nn.contype = 'n'",
        )
    } else {
        ("NULL AS nnoid, NULL AS nnname", "")
    };
    let sql = format!(
        "SELECT t.oid, t.typname, t.typnamespace, t.typtype, t.typrelid, t.typelem, t.typowner, t.typisdefined, \
         t.typnotnull, t.typdefault, t.typacl AS acl, acldefault('T', t.typowner) AS acldefault, c.relkind, \
         e.oid IS NOT NULL AS isarray, t.typtype = 'd' AS isdomain, \
         CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS basetype, \
         CASE WHEN t.typtype = 'd' THEN pg_get_expr(t.typdefaultbin, 'pg_catalog.pg_type'::regclass) END \
             AS defaultexpr, \
         CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation \
             THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation, \
         CASE WHEN t.typtype = 'e' THEN ARRAY(SELECT enumlabel FROM pg_catalog.pg_enum \
             WHERE enumtypid = t.oid ORDER BY enumsortorder) END AS labels, \
         format_type(r.rngsubtype, NULL) AS subtype, format_type(r.rngmultitypid, NULL) AS multirange, \
         CASE WHEN NOT oc.opcdefault THEN quote_ident(ocn.nspname) || '.' || quote_ident(oc.opcname) END AS opclass, \
         CASE WHEN r.rngcollation <> s.typcollation \
             THEN quote_ident(rcn.nspname) || '.' || quote_ident(rco.collname) END AS rngcollation, \
         r.rngcanonical, r.rngsubdiff, r.rngmultitypid, {not_null} \
         FROM pg_catalog.pg_type t \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
         LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
         LEFT JOIN pg_catalog.pg_collation co ON co.oid = t.typcollation \
         LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
         LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid \
         LEFT JOIN pg_catalog.pg_type s ON s.oid = r.rngsubtype \
         LEFT JOIN pg_catalog.pg_opclass oc ON oc.oid = r.rngsubopc \
         LEFT JOIN pg_catalog.pg_namespace ocn ON ocn.oid = oc.opcnamespace \
         LEFT JOIN pg_catalog.pg_collation rco ON rco.oid = r.rngcollation \
         LEFT JOIN pg_catalog.pg_namespace rcn ON rcn.oid = rco.collnamespace {join} \
         WHERE {} ORDER BY t.oid",
        reader.in_dumped_schemas("t.typnamespace")
    );
    for row in reader.query(&sql).await? {
        let oid = row.oid("oid")?;
        if reader.is_member(class::TYPE, oid) {
            continue;
        }
        let of_relation = row.oid("typrelid")? != 0 && row.char("relkind")? != 'c';
        let kind = row.char("typtype")?;
        if of_relation || row.flag("isarray")? || kind == 'm' {
            let node =
                Node::new(Kind::ImplicitType, Some(&reader.schema(row.oid("typnamespace")?)), row.text("typname")?);
            reader.add(Key::Object(class::TYPE, oid), node, Body::Silent);
            continue;
        }
        match kind {
            'd' => {
                let checks = checks.of_domain.get(&oid).map(Vec::as_slice).unwrap_or_default();
                super::domain::add(reader, &row, checks)?;
            }
            'e' => {
                let labels: Vec<String> = row.list("labels")?.iter().map(|l| format!("\n    {}", literal(l))).collect();
                add(reader, &row, "", |path| format!("CREATE TYPE {path} AS ENUM ({}\n);\n", labels.join(",")))?;
            }
            'c' => add_composite(reader, &row)?,
            'r' => add_range(reader, &row)?,
            // Base types have a file of their own.
            _ => {}
        }
    }
    Ok(())
}

/// Adds a type; `defn` makes its statement from its name, `cascade` ends its DROP.
pub(super) fn add(
    reader: &mut Reader<'_>,
    row: &Row,
    cascade: &str,
    defn: impl FnOnce(&str) -> String,
) -> Result<usize> {
    let (oid, name, schema) = (row.oid("oid")?, row.text("typname")?, reader.schema(row.oid("typnamespace")?));
    let owner = reader.owner(row, "typowner")?;
    let (path, quoted) = (qualified(&schema, &name), ident(&name));
    let named = Named { kind: "TYPE", schema: Some(&schema), name: &quoted, owner: &owner };
    let mut extras = reader.remarks(class::TYPE, oid, named);
    extras.extend(reader.privileges(row, class::TYPE, oid, Class::Usage, named)?);
    extras.extend(attribute_comments(reader, row.oid("typrelid")?, named));
    let draft = Draft::new("TYPE", Some(&schema), &name, &owner)
        .sql(defn(&path), format!("DROP TYPE {path}{cascade};\n"))
        .with(extras);
    Ok(reader.add_whole(class::TYPE, oid, Kind::Type, &name, draft))
}

/// Comments on a composite type's attributes: they are kept with its entry in `pg_class`.
fn attribute_comments(reader: &Reader<'_>, relation: u32, named: Named<'_>) -> Vec<Extra> {
    let columns = reader.relations.get(&relation).into_iter().flat_map(|r| &r.columns);
    columns
        .filter_map(|c| Some(named.column_comment(&c.name, reader.comment_of(class::RELATION, relation, c.number)?)))
        .collect()
}

fn add_composite(reader: &mut Reader<'_>, row: &Row) -> Result<()> {
    let relation = row.oid("typrelid")?;
    let columns = reader.relations.get(&relation).into_iter().flat_map(|r| &r.columns).filter(|c| !c.dropped);
    let list: Vec<String> = columns.map(|c| format!("\n\t{} {}{}", ident(&c.name), c.type_name, c.collation)).collect();
    let node = add(reader, row, "", |path| format!("CREATE TYPE {path} AS ({}\n);\n", list.join(",")))?;
    // Dependencies of its attributes are those of this relation, which itself is never dumped.
    let inner = Node::new(Kind::Table, Some(&reader.schema(row.oid("typnamespace")?)), row.text("typname")?);
    let inner = reader.add(Key::Object(class::RELATION, relation), inner, Body::Silent);
    reader.need(node, inner);
    Ok(())
}

fn add_range(reader: &mut Reader<'_>, row: &Row) -> Result<()> {
    let mut parts = vec![format!("subtype = {}", row.text("subtype")?)];
    let mut part = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|v| *v != "-") {
            parts.push(format!("{name} = {value}"));
        }
    };
    part("multirange_type_name", row.opt("multirange")?);
    part("subtype_opclass", row.opt("opclass")?);
    part("collation", row.opt("rngcollation")?);
    part("canonical", row.opt("rngcanonical")?);
    part("subtype_diff", row.opt("rngsubdiff")?);
    let node =
        add(reader, row, "", |path| format!("CREATE TYPE {path} AS RANGE (\n    {}\n);\n", parts.join(",\n    ")))?;
    add_shell(reader, row, node)
}

/// The name of a type ahead of its definition, for functions that the definition needs.
pub(super) fn add_shell(reader: &mut Reader<'_>, row: &Row, node: usize) -> Result<()> {
    let (name, schema) = (row.text("typname")?, reader.schema(row.oid("typnamespace")?));
    let owner = reader.owner(row, "typowner")?;
    // No DROP, so that no owner is set: the server refuses that on a shell.
    let draft = Draft::new("SHELL TYPE", Some(&schema), &name, &owner)
        .sql(format!("CREATE TYPE {};\n", qualified(&schema, &name)), "");
    let mut shell = Node::new(Kind::ShellType, Some(&schema), &name);
    shell.part_of = Some(node);
    let shell = reader.add(Key::None, shell, Body::Part(Box::new(draft)));
    reader.need(node, shell);
    Ok(())
}
