//! What all parts of the catalog reader share: the connection, what was read first, and the graph they build.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::postgres::PgConnection;

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;
use crate::report::Warning;

use super::TableData;
use super::acl::{Acl, Class};
use super::draft::{Body, Draft, Extra, Named};
use super::relation::Relation;
use super::row::{self, Row};

/// OIDs of the system catalogs, the same in every server.
pub(super) mod class {
    pub(in crate::engine::postgres) const ACCESS_METHOD: u32 = 2601;
    pub(in crate::engine::postgres) const ATTRDEF: u32 = 2604;
    pub(in crate::engine::postgres) const CAST: u32 = 2605;
    pub(in crate::engine::postgres) const COLLATION: u32 = 3456;
    pub(in crate::engine::postgres) const CONSTRAINT: u32 = 2606;
    pub(in crate::engine::postgres) const CONVERSION: u32 = 2607;
    pub(in crate::engine::postgres) const DATABASE: u32 = 1262;
    pub(in crate::engine::postgres) const DEFAULT_ACL: u32 = 826;
    pub(in crate::engine::postgres) const EVENT_TRIGGER: u32 = 3466;
    pub(in crate::engine::postgres) const EXTENSION: u32 = 3079;
    pub(in crate::engine::postgres) const FOREIGN_DATA_WRAPPER: u32 = 2328;
    pub(in crate::engine::postgres) const FOREIGN_SERVER: u32 = 1417;
    pub(in crate::engine::postgres) const LANGUAGE: u32 = 2612;
    pub(in crate::engine::postgres) const LARGE_OBJECT: u32 = 2613;
    pub(in crate::engine::postgres) const NAMESPACE: u32 = 2615;
    pub(in crate::engine::postgres) const OPCLASS: u32 = 2616;
    pub(in crate::engine::postgres) const OPERATOR: u32 = 2617;
    pub(in crate::engine::postgres) const OPFAMILY: u32 = 2753;
    pub(in crate::engine::postgres) const POLICY: u32 = 3256;
    pub(in crate::engine::postgres) const PROC: u32 = 1255;
    pub(in crate::engine::postgres) const PUBLICATION: u32 = 6104;
    pub(in crate::engine::postgres) const PUBLICATION_NAMESPACE: u32 = 6237;
    pub(in crate::engine::postgres) const PUBLICATION_REL: u32 = 6106;
    pub(in crate::engine::postgres) const RELATION: u32 = 1259;
    pub(in crate::engine::postgres) const REWRITE: u32 = 2618;
    pub(in crate::engine::postgres) const STATISTICS: u32 = 3381;
    pub(in crate::engine::postgres) const SUBSCRIPTION: u32 = 6100;
    pub(in crate::engine::postgres) const TRANSFORM: u32 = 3576;
    pub(in crate::engine::postgres) const TRIGGER: u32 = 2620;
    pub(in crate::engine::postgres) const TS_CONFIG: u32 = 3602;
    pub(in crate::engine::postgres) const TS_DICT: u32 = 3600;
    pub(in crate::engine::postgres) const TS_PARSER: u32 = 3601;
    pub(in crate::engine::postgres) const TS_TEMPLATE: u32 = 3764;
    pub(in crate::engine::postgres) const TYPE: u32 = 1247;
    pub(in crate::engine::postgres) const USER_MAPPING: u32 = 1418;
}

/// OIDs below this were given out by initdb.
pub(super) const FIRST_USER_OID: u32 = 16384;

/// How a node is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// An object by catalog and OID, as `pg_depend` names it.
    Object(u32, u32),
    /// The data of a table, the value of a sequence, the refresh of a materialized view.
    Data(u32),
    /// Attaching that partition's index to its parent.
    IndexAttach(u32),
    /// Nobody looks for it.
    None,
}

/// A schema of the database.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    pub(super) name: String,
    /// Whether what lies in it is dumped.
    pub(super) dumped: bool,
}

/// A security label of an object or, with `column` not 0, of its column.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) column: i32,
    pub(super) provider: String,
    pub(super) label: String,
}

/// The state of one reading of the catalogs.
pub(super) struct Reader<'c> {
    pub(super) conn: &'c mut PgConnection,
    /// `server_version_num` / 10000.
    pub(super) major: u32,
    /// Whether the server is a standby, which has nothing of unlogged tables.
    pub(super) standby: bool,
    pub(super) roles: HashMap<u32, String>,
    pub(super) schemas: HashMap<u32, Schema>,
    /// Members of extensions: catalog and OID to the extension's OID.
    pub(super) members: HashMap<(u32, u32), u32>,
    /// Objects that go when an extension goes: catalog and OID to the extensions' names.
    pub(super) bound_to: HashMap<(u32, u32), Vec<String>>,
    pub(super) comments: HashMap<(u32, u32), Vec<(i32, String)>>,
    pub(super) labels: HashMap<(u32, u32), Vec<Label>>,
    pub(super) initial_acls: HashMap<(u32, u32, i32), Vec<String>>,
    pub(super) relations: BTreeMap<u32, Arc<Relation>>,
    pub(super) nodes: Vec<Node>,
    pub(super) bodies: Vec<Body>,
    pub(super) index: HashMap<Key, usize>,
    /// Indexes: the table and the index's name; and the partitions' indexes attached to each.
    pub(super) index_tables: HashMap<u32, (u32, String)>,
    pub(super) index_children: HashMap<u32, Vec<u32>>,
    /// Nodes that come after objects which may not have been read yet.
    pub(super) later: Vec<(usize, Key)>,
    /// The nodes of table data.
    pub(super) tables: Vec<(usize, TableData)>,
    pub(super) warnings: Vec<Warning>,
}

impl Reader<'_> {
    /// All rows of one query.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        row::query(self.conn, sql).await
    }

    /// A condition: that column's schema is one whose objects are dumped.
    pub(super) fn in_dumped_schemas(&self, column: &str) -> String {
        let mut oids: Vec<String> =
            self.schemas.iter().filter(|(_, s)| s.dumped).map(|(oid, _)| oid.to_string()).collect();
        oids.sort_unstable();
        format!("{column} = ANY ('{{{}}}'::oid[])", oids.join(","))
    }

    /// The schema with that OID; empty if there is none.
    pub(super) fn schema(&self, oid: u32) -> String {
        self.schemas.get(&oid).map(|s| s.name.clone()).unwrap_or_default()
    }

    /// The role in column `column`; empty, with a warning, if it is gone.
    pub(super) fn owner(&mut self, row: &Row, column: &str) -> Result<String> {
        let oid = row.oid(column)?;
        if let Some(name) = self.roles.get(&oid) {
            return Ok(name.clone());
        }
        let message = format!("role {oid} owns objects and does not exist; the role that restores will own them");
        if !self.warnings.iter().any(|w| w.message == message) {
            self.warnings.push(Warning::new("missing_owner", message));
        }
        Ok(String::new())
    }

    /// Whether the object came with an extension and is created by it.
    pub(super) fn is_member(&self, class: u32, oid: u32) -> bool {
        self.members.contains_key(&(class, oid))
    }

    /// Adds a node.
    pub(super) fn add(&mut self, key: Key, node: Node, mut body: Body) -> usize {
        let id = self.nodes.len();
        if let (Key::Object(catalog, oid), Body::Whole(draft) | Body::Part(draft) | Body::View { whole: draft, .. }) =
            (key, &mut body)
        {
            (draft.catalog, draft.oid) = (catalog, oid);
        }
        self.nodes.push(node);
        self.bodies.push(body);
        if key != Key::None {
            self.index.insert(key, id);
        }
        id
    }

    /// Adds an object that is one entry.
    pub(super) fn add_whole(&mut self, class: u32, oid: u32, kind: Kind, name: &str, draft: Draft) -> usize {
        let node = Node::new(kind, draft.schema.as_deref(), name);
        self.add(Key::Object(class, oid), node, Body::Whole(Box::new(draft)))
    }

    /// The node of an object, if it has one.
    pub(super) fn find(&self, class: u32, oid: u32) -> Option<usize> {
        self.index.get(&Key::Object(class, oid)).copied()
    }

    /// Lets a node come after another.
    pub(super) fn need(&mut self, node: usize, needed: usize) {
        self.nodes[node].needs.push(needed);
    }

    /// Lets a node come after an object, if that one has a node.
    pub(super) fn need_object(&mut self, node: usize, class: u32, oid: u32) {
        if let Some(needed) = self.find(class, oid) {
            self.need(node, needed);
        }
    }

    /// Comment and security labels of an object.
    pub(super) fn remarks(&self, class: u32, oid: u32, named: Named<'_>) -> Vec<Extra> {
        let comment = self.comment_of(class, oid, 0).map(|text| named.comment(text));
        let labels = self.labels.get(&(class, oid)).into_iter().flatten();
        let labels = labels.filter(|l| l.column == 0).map(|l| named.label(&l.provider, &l.label));
        comment.into_iter().chain(labels).collect()
    }

    /// The comment of an object or, with `sub` not 0, of its column.
    pub(super) fn comment_of(&self, class: u32, oid: u32, sub: i32) -> Option<&str> {
        let comments = self.comments.get(&(class, oid))?;
        comments.iter().find(|c| c.0 == sub).map(|c| c.1.as_str())
    }

    /// The privileges of an object, in columns `acl` and `acldefault`.
    pub(super) fn privileges(
        &self,
        row: &Row,
        catalog: u32,
        oid: u32,
        privileges: Class,
        named: Named<'_>,
    ) -> Result<Option<Extra>> {
        let mut acl = Acl::from_row(row)?;
        acl.initial = self.initial_acls.get(&(catalog, oid, 0)).cloned();
        let on = format!("{} {}", named.kind, named.path());
        Ok(named.acl(acl.commands(privileges, &on, None, named.owner)))
    }

    /// Statements that bind an object to the extensions with which it is to be dropped.
    pub(super) fn bind_to_extensions(&self, catalog: u32, oid: u32, kind: &str, name: &str) -> String {
        let extensions = self.bound_to.get(&(catalog, oid)).into_iter().flatten();
        extensions.map(|e| format!("ALTER {kind} {name} DEPENDS ON EXTENSION {};\n", ident(e))).collect()
    }

    /// Whether there are rows or values to read; if not, that is told.
    pub(super) fn has_data(&mut self, relation: &Relation) -> bool {
        if self.standby && relation.persistence == 'u' {
            let what = if relation.kind == 'S' { "value" } else { "rows" };
            let message =
                format!("the {what} of {}: it is unlogged, and a standby does not have them", relation.path());
            self.warnings.push(Warning::new("unlogged_on_standby", message));
            return false;
        }
        true
    }

    /// Reports an object that cannot be dumped.
    pub(super) fn unsupported(&mut self, what: impl Into<String>) {
        self.warnings.push(Warning::new("unsupported_object", what));
    }
}
