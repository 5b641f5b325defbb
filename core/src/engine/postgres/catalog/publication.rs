//! Publications, their tables and their schemas.

use std::collections::HashMap;

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::{ident, idents};
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let generated = if reader.major >= 18 { "pubgencols" } else { "'n'" };
    let sql = format!(
        "SELECT oid, pubname, pubowner, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, \
         {generated} AS pubgencols FROM pg_catalog.pg_publication ORDER BY oid"
    );
    let mut publications = HashMap::new();
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("pubname")?);
        if reader.is_member(class::PUBLICATION, oid) {
            continue;
        }
        let owner = reader.owner(&row, "pubowner")?;
        let quoted = ident(&name);
        let named = Named { kind: "PUBLICATION", schema: None, name: &quoted, owner: &owner };
        let mut publish = Vec::new();
        for operation in ["insert", "update", "delete", "truncate"] {
            if row.flag(&format!("pub{operation}"))? {
                publish.push(operation);
            }
        }
        let all = if row.flag("puballtables")? { " FOR ALL TABLES" } else { "" };
        let via_root = if row.flag("pubviaroot")? { ", publish_via_partition_root = true" } else { "" };
        let stored = if row.char("pubgencols")? == 's' { ", publish_generated_columns = stored" } else { "" };
        let draft = Draft::new("PUBLICATION", None, &name, &owner)
            .post_data()
            .sql(
                format!(
                    "CREATE PUBLICATION {quoted}{all} WITH (publish = '{}'{via_root}{stored});\n",
                    publish.join(", ")
                ),
                format!("DROP PUBLICATION {quoted};\n"),
            )
            .with(reader.remarks(class::PUBLICATION, oid, named));
        reader.add_whole(class::PUBLICATION, oid, Kind::Publication, &name, draft);
        publications.insert(oid, (name, owner));
    }
    if publications.is_empty() {
        return Ok(());
    }
    read_tables(reader, &publications).await?;
    read_schemas(reader, &publications).await
}

async fn read_tables(reader: &mut Reader<'_>, publications: &HashMap<u32, (String, String)>) -> Result<()> {
    let sql = "SELECT r.oid, r.prpubid, r.prrelid, pg_get_expr(r.prqual, r.prrelid) AS qual, \
         ARRAY(SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = r.prrelid AND attnum = ANY (r.prattrs) \
             ORDER BY attnum) AS columns FROM pg_catalog.pg_publication_rel r ORDER BY r.oid";
    for row in reader.query(sql).await? {
        let Some((publication, owner)) = publications.get(&row.oid("prpubid")?) else { continue };
        let Some(table) = reader.relations.get(&row.oid("prrelid")?).filter(|t| !t.member).cloned() else { continue };
        let columns = row.list("columns")?;
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", idents(&columns)) };
        let filter = row.opt("qual")?.map(|q| format!(" WHERE ({q})")).unwrap_or_default();
        let defn =
            format!("ALTER PUBLICATION {} ADD TABLE ONLY {}{columns}{filter};\n", ident(publication), table.path());
        let tag = format!("{publication} {}", table.name);
        let draft = Draft::new("PUBLICATION TABLE", Some(&table.schema), tag, owner).post_data().sql(defn, "");
        let oid = row.oid("oid")?;
        let node = reader.add_whole(class::PUBLICATION_REL, oid, Kind::PublicationTable, &table.name, draft);
        reader.nodes[node].detail.clone_from(publication);
    }
    Ok(())
}

async fn read_schemas(reader: &mut Reader<'_>, publications: &HashMap<u32, (String, String)>) -> Result<()> {
    let sql = "SELECT oid, pnpubid, pnnspid FROM pg_catalog.pg_publication_namespace ORDER BY oid";
    for row in reader.query(sql).await? {
        let Some((publication, owner)) = publications.get(&row.oid("pnpubid")?) else { continue };
        let schema = reader.schema(row.oid("pnnspid")?);
        let defn = format!("ALTER PUBLICATION {} ADD TABLES IN SCHEMA {};\n", ident(publication), ident(&schema));
        let draft = Draft::new("PUBLICATION TABLES IN SCHEMA", Some(&schema), format!("{publication} {schema}"), owner)
            .post_data()
            .sql(defn, "");
        let oid = row.oid("oid")?;
        let node = reader.add_whole(class::PUBLICATION_NAMESPACE, oid, Kind::PublicationSchema, &schema, draft);
        reader.nodes[node].detail.clone_from(publication);
    }
    Ok(())
}
