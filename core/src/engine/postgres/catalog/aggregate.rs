//! Aggregates.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::{ident, literal};
use crate::error::Result;

use super::acl::Class;
use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};
use super::row::Row;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT p.oid, p.proname, p.pronamespace, p.proowner, p.pronargs, p.proparallel, p.proacl AS acl, \
         acldefault('f', p.proowner) AS acldefault, pg_get_function_arguments(p.oid) AS parameters, \
         pg_get_function_identity_arguments(p.oid) AS arguments, \
         ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY u(t, n) ORDER BY n) AS types, \
         a.aggkind, a.aggtransfn, a.aggtranstype::regtype, a.aggtransspace, a.agginitval, \
         a.aggfinalfn, a.aggfinalextra, a.aggfinalmodify, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, \
         a.aggmtransfn, a.aggminvtransfn, a.aggmtranstype::regtype, a.aggmtransspace, a.aggminitval, \
         a.aggmfinalfn, a.aggmfinalextra, a.aggmfinalmodify, \
         'OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')' AS sortop \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid \
         LEFT JOIN pg_catalog.pg_operator o ON o.oid = a.aggsortop \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE {} ORDER BY p.oid",
        reader.in_dumped_schemas("p.pronamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("proname")?);
        if reader.is_member(class::PROC, oid) {
            continue;
        }
        let (schema, owner) = (reader.schema(row.oid("pronamespace")?), reader.owner(&row, "proowner")?);
        let quoted = ident(&name);
        let types = row.list("types")?.join(", ");
        let count: u32 = row.number("pronargs")?;
        let or_star = |list: &str| if count == 0 { format!("{quoted}(*)") } else { format!("{quoted}({list})") };
        let signature = or_star(&row.text("arguments")?);
        let named = Named { kind: "AGGREGATE", schema: Some(&schema), name: &signature, owner: &owner };
        let head = Named { name: &or_star(&row.text("parameters")?), ..named }.path();
        let mut extras = reader.remarks(class::PROC, oid, named);
        // GRANT knows aggregates as functions.
        let function = format!("{quoted}({types})");
        let as_function = Named { kind: "FUNCTION", name: &function, ..named };
        extras.extend(reader.privileges(&row, class::PROC, oid, Class::Routine, as_function)?);
        let tag = if count == 0 { format!("{name}(*)") } else { format!("{name}({types})") };
        let draft = Draft::new("AGGREGATE", Some(&schema), tag, &owner)
            .sql(
                format!("CREATE AGGREGATE {head} (\n    {}\n);\n", details(&row)?.join(",\n    ")),
                format!("DROP AGGREGATE {};\n", named.path()),
            )
            .with(extras);
        let mut node = Node::new(Kind::Aggregate, Some(&schema), &name);
        node.detail = format!("{count:03} {types}");
        reader.add(Key::Object(class::PROC, oid), node, Body::Whole(Box::new(draft)));
    }
    Ok(())
}

fn details(row: &Row) -> Result<Vec<String>> {
    let mut list =
        vec![format!("SFUNC = {}", row.text("aggtransfn")?), format!("STYPE = {}", row.text("aggtranstype")?)];
    let kind = row.char("aggkind")?;
    let function = |list: &mut Vec<String>, name: &str, column: &str| -> Result<bool> {
        let value = row.text(column)?;
        let there = value != "-";
        if there {
            list.push(format!("{name} = {value}"));
        }
        Ok(there)
    };
    let space = |list: &mut Vec<String>, name: &str, column: &str| -> Result<()> {
        let value: i32 = row.number(column)?;
        if value != 0 {
            list.push(format!("{name} = {value}"));
        }
        Ok(())
    };
    let initial = |list: &mut Vec<String>, name: &str, column: &str| -> Result<()> {
        list.extend(row.opt(column)?.map(|v| format!("{name} = {}", literal(v))));
        Ok(())
    };
    let final_function = |list: &mut Vec<String>, moving: &str| -> Result<()> {
        let column = moving.to_lowercase();
        if function(list, &format!("{moving}FINALFUNC"), &format!("agg{column}finalfn"))? {
            if row.flag(&format!("agg{column}finalextra"))? {
                list.push(format!("{moving}FINALFUNC_EXTRA"));
            }
            let modify = row.char(&format!("agg{column}finalmodify"))?;
            let word = match modify {
                'r' => "READ_ONLY",
                's' => "SHAREABLE",
                _ => "READ_WRITE",
            };
            if modify != if kind == 'n' { 'r' } else { 'w' } {
                list.push(format!("{moving}FINALFUNC_MODIFY = {word}"));
            }
        }
        Ok(())
    };
    space(&mut list, "SSPACE", "aggtransspace")?;
    initial(&mut list, "INITCOND", "agginitval")?;
    final_function(&mut list, "")?;
    function(&mut list, "COMBINEFUNC", "aggcombinefn")?;
    function(&mut list, "SERIALFUNC", "aggserialfn")?;
    function(&mut list, "DESERIALFUNC", "aggdeserialfn")?;
    if function(&mut list, "MSFUNC", "aggmtransfn")? {
        function(&mut list, "MINVFUNC", "aggminvtransfn")?;
        list.push(format!("MSTYPE = {}", row.text("aggmtranstype")?));
    }
    space(&mut list, "MSSPACE", "aggmtransspace")?;
    initial(&mut list, "MINITCOND", "aggminitval")?;
    final_function(&mut list, "M")?;
    list.extend(row.opt("sortop")?.map(|o| format!("SORTOP = {o}")));
    if kind == 'h' {
        list.push("HYPOTHETICAL".to_owned());
    }
    match row.char("proparallel")? {
        's' => list.push("PARALLEL = safe".to_owned()),
        'r' => list.push("PARALLEL = restricted".to_owned()),
        _ => {}
    }
    Ok(list)
}
