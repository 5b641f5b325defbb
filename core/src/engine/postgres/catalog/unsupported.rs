//! Finds what cannot be dumped, so that it is reported and never silently left out.

use crate::error::Result;

use super::reader::{FIRST_USER_OID, Reader};

/// Catalogs whose objects no part of this reader dumps yet.
const CATALOGS: &[&str] = &[
    "pg_am",
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_event_trigger",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_language",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_transform",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
];

/// Catalogs whose objects are dumped, or come with others.
const KNOWN: &[&str] = &[
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_class",
    "pg_constraint",
    "pg_default_acl",
    "pg_extension",
    "pg_largeobject",
    "pg_namespace",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_statistic_ext",
    "pg_trigger",
    "pg_type",
];

pub(super) async fn report(reader: &mut Reader<'_>) -> Result<()> {
    let of = |catalog: &&str| {
        format!("SELECT '{catalog}'::regclass AS class, oid FROM pg_catalog.{catalog} WHERE oid >= {FIRST_USER_OID}")
    };
    let known: Vec<String> = KNOWN.iter().chain(CATALOGS).map(|c| format!("'{c}'::regclass")).collect();
    let sql = format!(
        "SELECT class::oid, oid, pg_describe_object(class, oid, 0) AS description FROM ({} \
         UNION ALL SELECT DISTINCT classid::regclass, objid FROM pg_catalog.pg_depend \
         WHERE classid <> ALL (ARRAY[{}]::oid[]) AND objid >= {FIRST_USER_OID}) o \
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
             WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'i') ORDER BY 1, 2",
        CATALOGS.iter().map(of).collect::<Vec<_>>().join(" UNION ALL "),
        known.join(", ")
    );
    for row in reader.query(&sql).await? {
        if !reader.is_member(row.oid("class")?, row.oid("oid")?) {
            reader.unsupported(format!("{} is left out: it cannot be dumped yet", row.text("description")?));
        }
    }
    Ok(())
}
