//! Functions and procedures.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::acl::Class;
use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    // Constructors of ranges come with their type.
    let sql = format!(
        "SELECT p.oid, p.proname, p.pronamespace, p.prokind, p.proowner, p.proacl AS acl, \
         acldefault('f', p.proowner) AS acldefault, p.pronargs, pg_get_functiondef(p.oid) AS definition, \
         pg_get_function_identity_arguments(p.oid) AS arguments, \
         ARRAY(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY u(a, n) ORDER BY n) AS types \
         FROM pg_catalog.pg_proc p WHERE p.prokind <> 'a' AND {} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i') ORDER BY p.oid",
        reader.in_dumped_schemas("p.pronamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("proname")?);
        if reader.is_member(class::PROC, oid) {
            continue;
        }
        let (schema, owner) = (reader.schema(row.oid("pronamespace")?), reader.owner(&row, "proowner")?);
        let desc = if row.char("prokind")? == 'p' { "PROCEDURE" } else { "FUNCTION" };
        let types = row.list("types")?.join(", ");
        let signature = format!("{}({})", ident(&name), row.text("arguments")?);
        let named = Named { kind: desc, schema: Some(&schema), name: &signature, owner: &owner };
        let path = named.path();
        let definition = row.text("definition")?;
        let bound = reader.bind_to_extensions(class::PROC, oid, desc, &path);
        let mut extras = reader.remarks(class::PROC, oid, named);
        extras.extend(reader.privileges(&row, class::PROC, oid, Class::Routine, named)?);
        let draft = Draft::new(desc, Some(&schema), format!("{name}({types})"), &owner)
            .sql(format!("{};\n{bound}", definition.trim_end()), format!("DROP {desc} {path};\n"))
            .with(extras);
        let mut node = Node::new(Kind::Function, Some(&schema), &name);
        node.detail = format!("{:03} {types}", row.number::<u32>("pronargs")?);
        reader.add(Key::Object(class::PROC, oid), node, Body::Whole(Box::new(draft)));
    }
    Ok(())
}
