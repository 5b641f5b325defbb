//! Check constraints of tables and domains.

use std::collections::HashMap;

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};
use super::relation::Relation;

/// A check, or a NOT NULL that existing rows were not checked for.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) definition: String,
    /// Declared here, not only inherited.
    pub(super) local: bool,
    /// `NOT VALID` otherwise: then it comes after the data, which may violate it.
    pub(super) valid: bool,
    not_null: bool,
}

/// The checks of tables and of domains, by the OID of either.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) of_table: HashMap<u32, Vec<Check>>,
    pub(super) of_domain: HashMap<u32, Vec<Check>>,
}

/// Reads all checks in dumped schemas.
pub(super) async fn read(reader: &mut Reader<'_>) -> Result<Checks> {
    let mut checks = Checks::default();
    let sql = format!(
        "SELECT oid, conrelid, contypid, conname, contype, conislocal, convalidated, \
         pg_get_constraintdef(oid) AS condef FROM pg_catalog.pg_constraint \
         WHERE (contype = 'c' OR contype = 'n' AND NOT convalidated) AND {} ORDER BY conrelid, contypid, conname",
        reader.in_dumped_schemas("connamespace")
    );
    for row in reader.query(&sql).await? {
        let check = Check {
            oid: row.oid("oid")?,
            name: row.text("conname")?,
            definition: row.text("condef")?,
            local: row.flag("conislocal")?,
            valid: row.flag("convalidated")?,
            not_null: row.char("contype")? == 'n',
        };
        let of = match row.oid("conrelid")? {
            0 => checks.of_domain.entry(row.oid("contypid")?),
            table => checks.of_table.entry(table),
        };
        of.or_default().push(check);
    }
    Ok(checks)
}

impl Check {
    /// Adds the check as a part of its table.
    pub(super) fn add(&self, reader: &mut Reader<'_>, table: &Relation, node: usize) -> usize {
        let (path, name) = (table.path(), ident(&self.name));
        let desc = if self.not_null { "CONSTRAINT" } else { "CHECK CONSTRAINT" };
        let kind = format!("CONSTRAINT {name} ON");
        let quoted = ident(&table.name);
        let named = Named { kind: &kind, schema: Some(&table.schema), name: &quoted, owner: &table.owner };
        let draft = Draft::new(desc, Some(&table.schema), format!("{} {}", table.name, self.name), &table.owner)
            .post_data()
            // Without ONLY: it is the children's too.
            .sql(
                format!("ALTER {}TABLE {path}\n    ADD CONSTRAINT {name} {};\n", table.foreign(), self.definition),
                format!("ALTER {}TABLE {path} DROP CONSTRAINT {name};\n", table.foreign()),
            )
            .with(reader.remarks(class::CONSTRAINT, self.oid, named));
        let body = if self.local { Body::Part(Box::new(draft)) } else { Body::Silent };
        self.add_part(reader, Kind::Check, &table.schema, &table.name, node, body)
    }

    /// Adds the check as a part of its domain.
    pub(super) fn add_to_domain(
        &self,
        reader: &mut Reader<'_>,
        schema: &str,
        domain: &str,
        owner: &str,
        node: usize,
    ) -> usize {
        let (name, quoted) = (ident(&self.name), ident(domain));
        let path = format!("{}.{quoted}", ident(schema));
        let kind = format!("CONSTRAINT {name} ON DOMAIN");
        let named = Named { kind: &kind, schema: Some(schema), name: &quoted, owner };
        let draft = Draft::new("CHECK CONSTRAINT", Some(schema), format!("{domain} {}", self.name), owner)
            .post_data()
            .sql(
                format!("ALTER DOMAIN {path}\n    ADD CONSTRAINT {name} {};\n", self.definition),
                format!("ALTER DOMAIN {path} DROP CONSTRAINT {name};\n"),
            )
            .with(reader.remarks(class::CONSTRAINT, self.oid, named));
        self.add_part(reader, Kind::DomainCheck, schema, domain, node, Body::Part(Box::new(draft)))
    }

    fn add_part(&self, reader: &mut Reader<'_>, kind: Kind, schema: &str, of: &str, whole: usize, body: Body) -> usize {
        let mut part = Node::new(kind, Some(schema), &self.name);
        part.detail = of.to_owned();
        part.part_of = Some(whole);
        part.separate = !self.valid;
        let part = reader.add(Key::Object(class::CONSTRAINT, self.oid), part, body);
        // What the check uses must be there before the whole, unless it is created later anyway.
        if self.valid {
            reader.need(whole, part)
        } else {
            reader.need(part, whole)
        }
        part
    }
}
