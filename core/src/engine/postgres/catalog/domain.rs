//! Domains.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::{ident, literal, qualified};
use crate::error::Result;

use super::acl::Class;
use super::check::Check;
use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};
use super::row::Row;

/// A domain whose statement depends on which of its checks became separate.
#[derive(Debug)]
pub(super) struct Domain {
    draft: Draft,
    head: String,
    checks: Vec<(usize, String)>,
}

impl Domain {
    /// The entry, once it is known what became separate.
    pub(super) fn settle(self, nodes: &[Node]) -> Draft {
        let checks: String = self.checks.iter().filter(|c| !nodes[c.0].separate).map(|c| c.1.as_str()).collect();
        let mut draft = self.draft;
        draft.defn = format!("{}{checks};\n", self.head);
        draft
    }
}

/// Adds a domain from its row of `pg_type`.
pub(super) fn add(reader: &mut Reader<'_>, row: &Row, checks: &[Check]) -> Result<()> {
    let (oid, name, schema) = (row.oid("oid")?, row.text("typname")?, reader.schema(row.oid("typnamespace")?));
    let owner = reader.owner(row, "typowner")?;
    let (path, quoted) = (qualified(&schema, &name), ident(&name));
    let mut head = format!("CREATE DOMAIN {path} AS {}", row.text("basetype")?);
    if let Some(collation) = row.opt("collation")? {
        head.push_str(&format!(" COLLATE {collation}"));
    }
    let named = Named { kind: "DOMAIN", schema: Some(&schema), name: &quoted, owner: &owner };
    let mut extras = reader.remarks(class::TYPE, oid, named);
    if row.flag("typnotnull")? {
        // Since 17 it is a constraint with a name.
        let constraint = row.text("nnname")?;
        let comment = reader.comment_of(class::CONSTRAINT, row.oid("nnoid")?, 0);
        if !constraint.is_empty() && (constraint != format!("{name}_not_null") || comment.is_some()) {
            head.push_str(&format!(" CONSTRAINT {}", ident(&constraint)));
        }
        head.push_str(" NOT NULL");
        let kind = format!("CONSTRAINT {} ON DOMAIN", ident(&constraint));
        extras.extend(comment.map(|text| Named { kind: &kind, ..named }.comment(text)));
    }
    match (row.opt("defaultexpr")?, row.opt("typdefault")?) {
        (Some(expression), _) => head.push_str(&format!(" DEFAULT {expression}")),
        (None, Some(text)) => head.push_str(&format!(" DEFAULT {}", literal(text))),
        (None, None) => {}
    }
    extras.extend(reader.privileges(row, class::TYPE, oid, Class::Usage, Named { kind: "TYPE", ..named })?);
    let draft = Draft::new("DOMAIN", Some(&schema), &name, &owner)
        .sql("", format!("DROP DOMAIN {path};\n"))
        .found_in(class::TYPE, oid)
        .with(extras);
    let node = Node::new(Kind::Domain, Some(&schema), &name);
    let node = reader.add(Key::Object(class::TYPE, oid), node, Body::Silent);
    let mut parts = Vec::new();
    for check in checks {
        let part = check.add_to_domain(reader, &schema, &name, &owner, node);
        parts.push((part, format!("\n\tCONSTRAINT {} {}", ident(&check.name), check.definition)));
    }
    reader.bodies[node] = Body::Domain(Box::new(Domain { draft, head, checks: parts }));
    Ok(())
}
