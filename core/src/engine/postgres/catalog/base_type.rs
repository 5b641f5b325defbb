//! Base types, and shell types that nobody has filled in.

use crate::engine::postgres::quote::literal;
use crate::error::Result;

use super::reader::{Reader, class};
use super::row::Row;
use super::types;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT t.oid, t.typname, t.typnamespace, t.typtype, t.typrelid, t.typowner, t.typisdefined, \
         t.typacl AS acl, acldefault('T', t.typowner) AS acldefault, \
         t.typlen, t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze, \
         t.typsubscript, t.typcollation <> 0 AS collatable, t.typcategory, t.typispreferred, t.typdelim, \
         t.typalign, t.typstorage, t.typbyval, pg_get_expr(t.typdefaultbin, 0) AS defaultexpr, t.typdefault, \
         CASE WHEN t.typelem <> 0 THEN format_type(t.typelem, NULL) END AS element \
         FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid \
         WHERE (t.typtype = 'b' AND e.oid IS NULL OR NOT t.typisdefined) AND {} ORDER BY t.oid",
        reader.in_dumped_schemas("t.typnamespace")
    );
    for row in reader.query(&sql).await? {
        if reader.is_member(class::TYPE, row.oid("oid")?) {
            continue;
        }
        if row.flag("typisdefined")? {
            let parts = parts(&row)?.join(",\n    ");
            // Type and functions need each other: one goes with the other.
            let node = types::add(reader, &row, " CASCADE", |path| format!("CREATE TYPE {path} (\n    {parts}\n);\n"))?;
            types::add_shell(reader, &row, node)?;
        } else {
            types::add(reader, &row, "", |path| format!("CREATE TYPE {path};\n"))?;
        }
    }
    Ok(())
}

fn parts(row: &Row) -> Result<Vec<String>> {
    let length = row.text("typlen")?;
    let length = if length == "-1" { "variable" } else { &length };
    let mut parts = vec![format!("INTERNALLENGTH = {length}")];
    let functions = [
        ("INPUT", "typinput"),
        ("OUTPUT", "typoutput"),
        ("RECEIVE", "typreceive"),
        ("SEND", "typsend"),
        ("TYPMOD_IN", "typmodin"),
        ("TYPMOD_OUT", "typmodout"),
        ("ANALYZE", "typanalyze"),
        ("SUBSCRIPT", "typsubscript"),
    ];
    for (name, column) in functions {
        let function = row.text(column)?;
        if function != "-" {
            parts.push(format!("{name} = {function}"));
        }
    }
    if row.flag("collatable")? {
        parts.push("COLLATABLE = true".to_owned());
    }
    match (row.opt("defaultexpr")?, row.opt("typdefault")?) {
        (Some(expression), _) => parts.push(format!("DEFAULT = {expression}")),
        (None, Some(text)) => parts.push(format!("DEFAULT = {}", literal(text))),
        (None, None) => {}
    }
    parts.extend(row.opt("element")?.map(|e| format!("ELEMENT = {e}")));
    let category = row.text("typcategory")?;
    if category != "U" {
        parts.push(format!("CATEGORY = {}", literal(&category)));
    }
    if row.flag("typispreferred")? {
        parts.push("PREFERRED = true".to_owned());
    }
    let delimiter = row.text("typdelim")?;
    if delimiter != "," {
        parts.push(format!("DELIMITER = {}", literal(&delimiter)));
    }
    let alignment = match row.char("typalign")? {
        'c' => "char",
        's' => "int2",
        'd' => "double",
        _ => "int4",
    };
    let storage = match row.char("typstorage")? {
        'p' => "plain",
        'e' => "external",
        'x' => "extended",
        _ => "main",
    };
    parts.push(format!("ALIGNMENT = {alignment}"));
    parts.push(format!("STORAGE = {storage}"));
    if row.flag("typbyval")? {
        parts.push("PASSEDBYVALUE".to_owned());
    }
    Ok(parts)
}
