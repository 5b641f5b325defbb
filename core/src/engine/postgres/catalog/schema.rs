//! Schemas.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::acl::Class;
use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};

/// Owner of `public` in a fresh database since version 15: the role pg_database_owner.
const DATABASE_OWNER: u32 = 6171;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = "SELECT oid, nspname, nspowner, nspacl AS acl, acldefault('n', nspowner) AS acldefault \
         FROM pg_catalog.pg_namespace ORDER BY nspname";
    for row in reader.query(sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("nspname")?);
        if reader.is_member(class::NAMESPACE, oid) || !reader.schemas.get(&oid).is_some_and(|s| s.dumped) {
            continue;
        }
        let owner = reader.owner(&row, "nspowner")?;
        let quoted = ident(&name);
        let named = Named { kind: "SCHEMA", schema: None, name: &quoted, owner: &owner };
        let mut draft = Draft::new("SCHEMA", None, &name, &owner)
            .sql(format!("CREATE SCHEMA {quoted};\n"), format!("DROP SCHEMA {quoted};\n"));
        let public = name == "public";
        if public {
            // Every new database has it, owned by pg_database_owner; only a changed owner is news. pg_restore knows
            // these texts: it sets the owner although nothing is created.
            draft = draft.sql(
                "-- *not* creating schema, since initdb creates it\n",
                "-- *not* dropping schema, since initdb creates it\n",
            );
            // Its privileges are the difference to what a new database has after the owner was set.
            let role = acl_role(&owner);
            let initial = vec![format!("{role}=UC/{role}"), format!("=U/{role}")];
            reader.initial_acls.insert((class::NAMESPACE, oid, 0), initial);
        }
        let mut extras = reader.remarks(class::NAMESPACE, oid, named);
        if public {
            // The comment that every new database has; its absence is what has to be restored.
            match reader.comment_of(class::NAMESPACE, oid, 0) {
                Some("standard public schema") => extras.retain(|e| e.desc != "COMMENT"),
                Some(_) => {}
                None => extras.insert(0, named.comment("")),
            }
        }
        extras.extend(reader.privileges(&row, class::NAMESPACE, oid, Class::Schema, named)?);
        if public && row.oid("nspowner")? == DATABASE_OWNER {
            let node = Node::new(Kind::Schema, None, &name);
            reader.add(Key::Object(class::NAMESPACE, oid), node, Body::Present(extras));
        } else {
            reader.add_whole(class::NAMESPACE, oid, Kind::Schema, &name, draft.with(extras));
        }
    }
    Ok(())
}

/// A role as the server writes it in access control lists.
fn acl_role(role: &str) -> String {
    if role.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        role.to_owned()
    } else {
        format!("\"{}\"", role.replace('"', "\"\""))
    }
}
