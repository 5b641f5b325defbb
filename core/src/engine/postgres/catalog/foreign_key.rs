//! Foreign keys.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Key, Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    // Those that partitions have from their parents come with the parents'.
    let sql = format!(
        "SELECT c.oid, c.conname, c.conrelid, c.confrelid, pg_get_constraintdef(c.oid) AS condef \
         FROM pg_catalog.pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0 AND {} ORDER BY c.oid",
        reader.in_dumped_schemas("c.connamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("conname")?);
        let Some(table) = reader.relations.get(&row.oid("conrelid")?).filter(|t| !t.member).cloned() else { continue };
        let (quoted, on_table) = (ident(&name), ident(&table.name));
        let kind = format!("CONSTRAINT {quoted} ON");
        let named = Named { kind: &kind, schema: Some(&table.schema), name: &on_table, owner: &table.owner };
        // A partitioned table hands it on to its partitions.
        let only = if table.kind == 'p' { "" } else { "ONLY " };
        let alter = format!("ALTER {}TABLE {only}{}", table.foreign(), table.path());
        let draft = Draft::new("FK CONSTRAINT", Some(&table.schema), format!("{} {name}", table.name), &table.owner)
            .post_data()
            .sql(
                format!("{alter}\n    ADD CONSTRAINT {quoted} {};\n", row.text("condef")?),
                format!("{alter} DROP CONSTRAINT {quoted};\n"),
            )
            .with(reader.remarks(class::CONSTRAINT, oid, named));
        let node = reader.add_whole(class::CONSTRAINT, oid, Kind::ForeignKey, &name, draft);
        reader.nodes[node].detail.clone_from(&table.name);
        // The key it points to is complete once all the partitions' indexes are attached. And the rows are checked by a
        // query that opens every index of both tables, in whose way the attaching of any of them may come.
        let tables = [row.oid("conrelid")?, row.oid("confrelid")?];
        let of_these = |index: &u32| reader.index_tables.get(index).is_some_and(|(table, _)| tables.contains(table));
        let mut indexes: Vec<u32> = reader.index_children.keys().copied().filter(of_these).collect();
        while let Some(index) = indexes.pop() {
            for &child in reader.index_children.get(&index).into_iter().flatten() {
                reader.later.push((node, Key::IndexAttach(child)));
                indexes.push(child);
            }
        }
    }
    Ok(())
}
