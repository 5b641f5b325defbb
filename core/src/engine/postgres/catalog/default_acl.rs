//! Default privileges.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::acl::{self, Class};
use super::draft::Draft;
use super::reader::{Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    // Those of the whole database replace the built-in defaults, those of a schema add to them.
    let sql = "SELECT oid, defaclrole, defaclnamespace, defaclobjtype, defaclacl AS acl, \
         CASE WHEN defaclnamespace = 0 THEN acldefault(CASE WHEN defaclobjtype = 'S' THEN 's'::\"char\" \
             ELSE defaclobjtype END, defaclrole) ELSE '{}' END AS acldefault \
         FROM pg_catalog.pg_default_acl ORDER BY oid";
    for row in reader.query(sql).await? {
        let (oid, owner) = (row.oid("oid")?, reader.owner(&row, "defaclrole")?);
        let schema = row.oid("defaclnamespace")?;
        let schema = (schema != 0).then(|| reader.schema(schema));
        let (objects, privileges) = match row.char("defaclobjtype")? {
            'r' => ("TABLES", Class::Table { maintain: reader.major >= 17 }),
            'S' => ("SEQUENCES", Class::Sequence),
            'f' => ("FUNCTIONS", Class::Routine),
            'T' => ("TYPES", Class::Usage),
            'n' => ("SCHEMAS", Class::Schema),
            'L' => ("LARGE OBJECTS", Class::LargeObject),
            other => {
                reader.unsupported(format!("default privileges of {owner} for objects of kind `{other}` are left out"));
                continue;
            }
        };
        let in_schema = schema.as_ref().map(|s| format!("IN SCHEMA {} ", ident(s))).unwrap_or_default();
        let prefix = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {} {in_schema}", ident(&owner));
        let (current, base) = (row.list("acl")?, row.list("acldefault")?);
        let defn = acl::commands(&prefix, privileges, objects, None, &current, &base, &owner);
        let tag = format!("DEFAULT PRIVILEGES FOR {objects}");
        let draft = Draft::new("DEFAULT ACL", schema.as_deref(), tag, &owner).post_data().sql(defn, "");
        let node = reader.add_whole(class::DEFAULT_ACL, oid, Kind::DefaultAcl, objects, draft);
        reader.nodes[node].detail.clone_from(&owner);
    }
    Ok(())
}
