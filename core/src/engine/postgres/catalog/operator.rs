//! Operators, operator classes and operator families.

use std::collections::HashMap;

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::{ident, qualified};
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Reader, class};
use super::row::Row;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    read_operators(reader).await?;
    let members = read_family_members(reader).await?;
    read_classes(reader, &members).await?;
    read_families(reader, &members).await
}

async fn read_operators(reader: &mut Reader<'_>) -> Result<()> {
    // An operator without a function is only a name that another one mentions, and comes back with that.
    let sql = format!(
        "SELECT o.oid, o.oprname, o.oprnamespace, o.oprowner, o.oprkind, o.oprcode::regproc, o.oprleft::regtype, \
         o.oprright::regtype, o.oprrest::regproc, o.oprjoin::regproc, o.oprcanmerge, o.oprcanhash, \
         'OPERATOR(' || quote_ident(cn.nspname) || '.' || c.oprname || ')' AS commutator, \
         'OPERATOR(' || quote_ident(nn.nspname) || '.' || n.oprname || ')' AS negator \
         FROM pg_catalog.pg_operator o \
         LEFT JOIN pg_catalog.pg_operator c ON c.oid = o.oprcom \
         LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = c.oprnamespace \
         LEFT JOIN pg_catalog.pg_operator n ON n.oid = o.oprnegate \
         LEFT JOIN pg_catalog.pg_namespace nn ON nn.oid = n.oprnamespace \
         WHERE o.oprcode <> 0 AND {} ORDER BY o.oid",
        reader.in_dumped_schemas("o.oprnamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("oprname")?);
        if reader.is_member(class::OPERATOR, oid) {
            continue;
        }
        let (schema, owner) = (reader.schema(row.oid("oprnamespace")?), reader.owner(&row, "oprowner")?);
        let (left, right) = (row.text("oprleft")?, row.text("oprright")?);
        let prefix = row.char("oprkind")? == 'l';
        let left_name = if prefix { "NONE" } else { &left };
        let signature = format!("{name} ({left_name}, {right})");
        let named = Named { kind: "OPERATOR", schema: Some(&schema), name: &signature, owner: &owner };
        let mut parts = vec![format!("FUNCTION = {}", row.text("oprcode")?)];
        if !prefix {
            parts.push(format!("LEFTARG = {left}"));
        }
        parts.push(format!("RIGHTARG = {right}"));
        parts.extend(row.opt("commutator")?.map(|o| format!("COMMUTATOR = {o}")));
        parts.extend(row.opt("negator")?.map(|o| format!("NEGATOR = {o}")));
        for (word, column) in [("MERGES", "oprcanmerge"), ("HASHES", "oprcanhash")] {
            if row.flag(column)? {
                parts.push(word.to_owned());
            }
        }
        for (word, column) in [("RESTRICT", "oprrest"), ("JOIN", "oprjoin")] {
            let function = row.text(column)?;
            if function != "-" {
                parts.push(format!("{word} = {function}"));
            }
        }
        let draft = Draft::new("OPERATOR", Some(&schema), &name, &owner)
            .sql(
                format!("CREATE OPERATOR {}.{name} (\n    {}\n);\n", ident(&schema), parts.join(",\n    ")),
                format!("DROP OPERATOR {};\n", named.path()),
            )
            .with(reader.remarks(class::OPERATOR, oid, named));
        let node = reader.add_whole(class::OPERATOR, oid, Kind::Operator, &name, draft);
        reader.nodes[node].detail = signature;
    }
    Ok(())
}

/// Operators and functions by the class or family (catalog and OID) that they were created with.
type Members = HashMap<(u32, u32), Vec<String>>;

async fn read_family_members(reader: &mut Reader<'_>) -> Result<Members> {
    let mut members = Members::new();
    let operators = "SELECT d.refclassid, d.refobjid, o.amopstrategy, o.amopopr::regoperator, \
         quote_ident(n.nspname) || '.' || quote_ident(f.opfname) AS sortfamily \
         FROM pg_catalog.pg_amop o JOIN pg_catalog.pg_depend d \
              ON d.classid = 'pg_catalog.pg_amop'::regclass AND d.objid = o.oid \
         LEFT JOIN pg_catalog.pg_opclass c \
              ON d.refclassid = 'pg_catalog.pg_opclass'::regclass AND c.oid = d.refobjid \
         LEFT JOIN pg_catalog.pg_opfamily f ON f.oid = o.amopsortfamily \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace \
         WHERE o.amopfamily = c.opcfamily \
            OR d.refclassid = 'pg_catalog.pg_opfamily'::regclass AND o.amopfamily = d.refobjid \
         ORDER BY 1, 2, 3, o.amoplefttype, o.amoprighttype";
    for row in reader.query(operators).await? {
        let order = row.opt("sortfamily")?.map(|f| format!(" FOR ORDER BY {f}")).unwrap_or_default();
        let member = format!("OPERATOR {} {}{order}", row.text("amopstrategy")?, row.text("amopopr")?);
        members.entry((row.oid("refclassid")?, row.oid("refobjid")?)).or_default().push(member);
    }
    let functions = "SELECT d.refclassid, d.refobjid, p.amprocnum, p.amproc::regprocedure, \
         p.amproclefttype::regtype, p.amprocrighttype::regtype \
         FROM pg_catalog.pg_amproc p JOIN pg_catalog.pg_depend d \
              ON d.classid = 'pg_catalog.pg_amproc'::regclass AND d.objid = p.oid \
         WHERE d.refclassid = 'pg_catalog.pg_opclass'::regclass \
            OR d.refclassid = 'pg_catalog.pg_opfamily'::regclass AND p.amprocfamily = d.refobjid \
         ORDER BY 1, 2, 3, p.amproclefttype, p.amprocrighttype";
    for row in reader.query(functions).await? {
        let member = format!(
            "FUNCTION {} ({}, {}) {}",
            row.text("amprocnum")?,
            row.text("amproclefttype")?,
            row.text("amprocrighttype")?,
            row.text("amproc")?
        );
        members.entry((row.oid("refclassid")?, row.oid("refobjid")?)).or_default().push(member);
    }
    Ok(members)
}

async fn read_classes(reader: &mut Reader<'_>, members: &Members) -> Result<()> {
    let sql = format!(
        "SELECT c.oid, c.opcname AS name, c.opcnamespace AS namespace, c.opcowner AS owner, a.amname, c.opcdefault, \
         c.opcintype::regtype, c.opckeytype::regtype, \
         quote_ident(n.nspname) || '.' || quote_ident(f.opfname) AS family \
         FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_am a ON a.oid = c.opcmethod \
         JOIN pg_catalog.pg_opfamily f ON f.oid = c.opcfamily \
         JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace WHERE {} ORDER BY c.oid",
        reader.in_dumped_schemas("c.opcnamespace")
    );
    for row in reader.query(&sql).await? {
        let members = members.get(&(class::OPCLASS, row.oid("oid")?)).cloned().unwrap_or_default();
        add(reader, class::OPCLASS, &row, |path, method| {
            let input = row.text("opcintype")?;
            let key = row.text("opckeytype")?;
            let mut parts = if key == "-" { Vec::new() } else { vec![format!("STORAGE {key}")] };
            parts.extend(members);
            if parts.is_empty() {
                // Something has to follow AS; this changes nothing.
                parts.push(format!("STORAGE {input}"));
            }
            Ok(format!(
                "CREATE OPERATOR CLASS {path}\n    {}FOR TYPE {input} USING {method} FAMILY {} AS\n    {};\n",
                if row.flag("opcdefault")? { "DEFAULT " } else { "" },
                row.text("family")?,
                parts.join(" ,\n    ")
            ))
        })?;
    }
    Ok(())
}

async fn read_families(reader: &mut Reader<'_>, members: &Members) -> Result<()> {
    let sql = format!(
        "SELECT f.oid, f.opfname AS name, f.opfnamespace AS namespace, f.opfowner AS owner, a.amname \
         FROM pg_catalog.pg_opfamily f JOIN pg_catalog.pg_am a ON a.oid = f.opfmethod WHERE {} ORDER BY f.oid",
        reader.in_dumped_schemas("f.opfnamespace")
    );
    for row in reader.query(&sql).await? {
        // Members that came with a class of the family are written with that class.
        let loose = members.get(&(class::OPFAMILY, row.oid("oid")?)).map(|m| m.join(" ,\n    "));
        add(reader, class::OPFAMILY, &row, |path, method| {
            let add = loose.map(|m| format!("ALTER OPERATOR FAMILY {path} USING {method} ADD\n    {m};\n"));
            Ok(format!("CREATE OPERATOR FAMILY {path} USING {method};\n{}", add.unwrap_or_default()))
        })?;
    }
    Ok(())
}

/// Adds an operator class or family; `defn` makes its statement from its name and its access method.
fn add(
    reader: &mut Reader<'_>,
    catalog: u32,
    row: &Row,
    defn: impl FnOnce(&str, &str) -> Result<String>,
) -> Result<()> {
    let (oid, name) = (row.oid("oid")?, row.text("name")?);
    if reader.is_member(catalog, oid) {
        return Ok(());
    }
    let (desc, kind) = match catalog {
        class::OPCLASS => ("OPERATOR CLASS", Kind::OperatorClass),
        _ => ("OPERATOR FAMILY", Kind::OperatorFamily),
    };
    let (schema, owner) = (reader.schema(row.oid("namespace")?), reader.owner(row, "owner")?);
    let method = ident(&row.text("amname")?);
    let using = format!("{} USING {method}", ident(&name));
    let named = Named { kind: desc, schema: Some(&schema), name: &using, owner: &owner };
    let draft = Draft::new(desc, Some(&schema), &name, &owner)
        .sql(defn(&qualified(&schema, &name), &method)?, format!("DROP {desc} {};\n", named.path()))
        .with(reader.remarks(catalog, oid, named));
    let node = reader.add_whole(catalog, oid, kind, &name, draft);
    reader.nodes[node].detail = method;
    Ok(())
}
