//! What everything else refers to: roles, schemas, extension membership, comments, labels, initial privileges.

use std::collections::{BTreeMap, HashMap};

use sqlx::postgres::PgConnection;

use crate::error::Result;

use super::reader::{FIRST_USER_OID, Label, Reader, Schema, class};
use super::row;

impl<'c> Reader<'c> {
    /// Prepares the session and reads what everything else refers to.
    pub(super) async fn open(conn: &'c mut PgConnection) -> Result<Self> {
        // With an empty search path the server qualifies every name it prints.
        let settings = "SELECT pg_catalog.set_config('search_path', '', false), \
             pg_catalog.set_config('quote_all_identifiers', 'off', false), \
             pg_catalog.set_config('standard_conforming_strings', 'on', false), \
             pg_catalog.current_setting('server_version_num') AS version, pg_catalog.pg_is_in_recovery() AS standby";
        let rows = row::query(conn, settings).await?;
        let version: u32 = rows.first().map_or(Ok(0), |r| r.number("version"))?;
        let standby = rows.first().map_or(Ok(false), |r| r.flag("standby"))?;
        let mut reader = Self {
            conn,
            major: version / 10000,
            standby,
            roles: HashMap::new(),
            schemas: HashMap::new(),
            members: HashMap::new(),
            bound_to: HashMap::new(),
            comments: HashMap::new(),
            labels: HashMap::new(),
            initial_acls: HashMap::new(),
            relations: BTreeMap::new(),
            nodes: Vec::new(),
            bodies: Vec::new(),
            index: HashMap::new(),
            index_tables: HashMap::new(),
            index_children: HashMap::new(),
            later: Vec::new(),
            tables: Vec::new(),
            warnings: Vec::new(),
        };
        reader.read_facts().await?;
        Ok(reader)
    }

    async fn read_facts(&mut self) -> Result<()> {
        for row in self.query("SELECT oid, rolname FROM pg_catalog.pg_roles").await? {
            self.roles.insert(row.oid("oid")?, row.text("rolname")?);
        }
        for row in self.query("SELECT oid, nspname FROM pg_catalog.pg_namespace").await? {
            let name = row.text("nspname")?;
            let dumped = !name.starts_with("pg_") && name != "information_schema";
            self.schemas.insert(row.oid("oid")?, Schema { name, dumped });
        }
        let bound = "SELECT d.classid, d.objid, d.deptype, d.refobjid, e.extname \
             FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
             WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype IN ('e', 'x') \
             ORDER BY d.classid, d.objid, e.extname";
        for row in self.query(bound).await? {
            let object = (row.oid("classid")?, row.oid("objid")?);
            if row.char("deptype")? == 'e' {
                self.members.insert(object, row.oid("refobjid")?);
            } else {
                self.bound_to.entry(object).or_default().push(row.text("extname")?);
            }
        }
        let comments = format!(
            "SELECT classoid, objoid, objsubid, description FROM pg_catalog.pg_description \
             WHERE objoid >= {FIRST_USER_OID} OR classoid IN ({}, {}) ORDER BY 1, 2, 3",
            class::NAMESPACE,
            class::LARGE_OBJECT
        );
        for row in self.query(&comments).await? {
            let of = self.comments.entry((row.oid("classoid")?, row.oid("objoid")?)).or_default();
            of.push((row.number("objsubid")?, row.text("description")?));
        }
        let labels =
            "SELECT classoid, objoid, objsubid, provider, label FROM pg_catalog.pg_seclabel ORDER BY 1, 2, 3, 4";
        for row in self.query(labels).await? {
            let of = self.labels.entry((row.oid("classoid")?, row.oid("objoid")?)).or_default();
            of.push(Label {
                column: row.number("objsubid")?,
                provider: row.text("provider")?,
                label: row.text("label")?,
            });
        }
        for row in self.query("SELECT classoid, objoid, objsubid, initprivs FROM pg_catalog.pg_init_privs").await? {
            let object = (row.oid("classoid")?, row.oid("objoid")?, row.number("objsubid")?);
            self.initial_acls.insert(object, row.list("initprivs")?);
        }
        Ok(())
    }
}
