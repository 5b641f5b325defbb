//! The dependencies that the server has on record.

use crate::engine::postgres::order::{Kind, Node};
use crate::error::Result;

use super::draft::Body;
use super::reader::{Key, Reader, class};

/// Turns `pg_depend` into edges of the graph. To be called once all nodes are there.
pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    for (node, key) in std::mem::take(&mut reader.later) {
        if let Some(&needed) = reader.index.get(&key) {
            reader.need(node, needed);
        }
    }
    // Operators and functions of a family are not objects of their own: what they need, the family needs.
    let sql = "SELECT classid, objid, refclassid, refobjid, deptype FROM pg_catalog.pg_depend \
         WHERE deptype NOT IN ('p', 'e') AND refobjid <> 0 \
         UNION ALL SELECT 'pg_catalog.pg_opfamily'::regclass, o.amopfamily, d.refclassid, d.refobjid, d.deptype \
         FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_amop o ON o.oid = d.objid \
         WHERE d.deptype NOT IN ('p', 'e', 'i') AND d.classid = 'pg_catalog.pg_amop'::regclass \
         AND NOT (d.refclassid = 'pg_catalog.pg_opfamily'::regclass AND o.amopfamily = d.refobjid) \
         UNION ALL SELECT 'pg_catalog.pg_opfamily'::regclass, o.amprocfamily, d.refclassid, d.refobjid, d.deptype \
         FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_amproc o ON o.oid = d.objid \
         WHERE d.deptype NOT IN ('p', 'e', 'i') AND d.classid = 'pg_catalog.pg_amproc'::regclass \
         AND NOT (d.refclassid = 'pg_catalog.pg_opfamily'::regclass AND o.amprocfamily = d.refobjid) ORDER BY 1, 2";
    let mut edges = Vec::new();
    for row in reader.query(sql).await? {
        let object = (row.oid("classid")?, row.oid("objid")?);
        let needed = (row.oid("refclassid")?, row.oid("refobjid")?);
        let internal = row.char("deptype")? == 'i';
        // Functions that come with a type have no node yet; views may use them.
        if internal && object.0 == class::PROC && reader.find(object.0, object.1).is_none() {
            reader.add(Key::Object(object.0, object.1), Node::new(Kind::Function, None, ""), Body::Silent);
        }
        edges.push((object, needed, internal));
    }
    for (object, needed, internal) in edges {
        let (Some(from), Some(to)) = (reader.find(object.0, object.1), reader.find(needed.0, needed.1)) else {
            continue;
        };
        // Within an extension nothing has to be ordered.
        if reader.members.contains_key(&object) && reader.members.get(&object) == reader.members.get(&needed) {
            continue;
        }
        if internal && object.0 == class::RELATION && needed.0 == class::TYPE {
            // A composite type's relation goes with the type, but what its attributes need, the type needs.
            reader.need(to, from);
        } else {
            reader.need(from, to);
        }
    }
    Ok(())
}
