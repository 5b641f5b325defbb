//! Row-level security: whether it is on, and its policies.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let secured: Vec<_> = reader.relations.values().filter(|r| r.row_security && !r.member).cloned().collect();
    for table in secured {
        let draft = Draft::new("ROW SECURITY", Some(&table.schema), &table.name, &table.owner)
            .post_data()
            .sql(format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY;\n", table.path()), "");
        let node = Node::new(Kind::Policy, Some(&table.schema), &table.name);
        let node = reader.add(Key::None, node, Body::Whole(Box::new(draft)));
        reader.need_object(node, class::RELATION, table.oid);
    }
    let sql = "SELECT p.oid, p.polname, p.polrelid, p.polcmd, p.polpermissive, \
         CASE WHEN p.polroles <> '{0}' THEN ARRAY(SELECT CASE r WHEN 0 THEN 'public' \
             ELSE quote_ident(pg_get_userbyid(r)) END FROM unnest(p.polroles) r ORDER BY 1) END AS roles, \
         pg_get_expr(p.polqual, p.polrelid) AS qual, pg_get_expr(p.polwithcheck, p.polrelid) AS withcheck \
         FROM pg_catalog.pg_policy p ORDER BY p.oid";
    for row in reader.query(sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("polname")?);
        let Some(table) = reader.relations.get(&row.oid("polrelid")?).filter(|t| !t.member).cloned() else { continue };
        let (quoted, on_table, path) = (ident(&name), ident(&table.name), table.path());
        let kind = format!("POLICY {quoted} ON");
        let named = Named { kind: &kind, schema: Some(&table.schema), name: &on_table, owner: &table.owner };
        let mut defn = format!("CREATE POLICY {quoted} ON {path}");
        if !row.flag("polpermissive")? {
            defn.push_str(" AS RESTRICTIVE");
        }
        defn.push_str(match row.char("polcmd")? {
            'r' => " FOR SELECT",
            'a' => " FOR INSERT",
            'w' => " FOR UPDATE",
            'd' => " FOR DELETE",
            _ => "",
        });
        let roles = row.list("roles")?;
        if !roles.is_empty() {
            defn.push_str(&format!(" TO {}", roles.join(", ")));
        }
        if let Some(qual) = row.opt("qual")? {
            defn.push_str(&format!(" USING ({qual})"));
        }
        if let Some(check) = row.opt("withcheck")? {
            defn.push_str(&format!(" WITH CHECK ({check})"));
        }
        let draft = Draft::new("POLICY", Some(&table.schema), format!("{} {name}", table.name), &table.owner)
            .post_data()
            .sql(defn + ";\n", format!("DROP POLICY {quoted} ON {path};\n"))
            .with(reader.remarks(class::POLICY, oid, named));
        let node = reader.add_whole(class::POLICY, oid, Kind::Policy, &name, draft);
        reader.nodes[node].detail.clone_from(&table.name);
    }
    Ok(())
}
