//! Finds what cannot be dumped, so that it is reported and never silently left out.

use crate::error::Result;

use super::reader::{FIRST_USER_OID, Reader};

/// Catalogs whose objects are dumped, or come with others.
const KNOWN: &[&str] = &[
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_default_acl",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_language",
    "pg_largeobject",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_statistic_ext",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
    "pg_user_mapping",
];

/// Reports objects of kinds that this reader does not know, which a newer server may have.
pub(super) async fn report(reader: &mut Reader<'_>) -> Result<()> {
    let known: Vec<String> = KNOWN.iter().map(|c| format!("'pg_catalog.{c}'::regclass")).collect();
    let sql = format!(
        "SELECT DISTINCT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS description \
         FROM pg_catalog.pg_depend d WHERE d.classid <> ALL (ARRAY[{}]::oid[]) AND d.objid >= {FIRST_USER_OID} \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend i \
             WHERE i.classid = d.classid AND i.objid = d.objid AND i.deptype = 'i') ORDER BY 1, 2",
        known.join(", ")
    );
    for row in reader.query(&sql).await? {
        if !reader.is_member(row.oid("classid")?, row.oid("objid")?) {
            reader.unsupported(format!("{} is left out: it cannot be dumped yet", row.text("description")?));
        }
    }
    Ok(())
}
