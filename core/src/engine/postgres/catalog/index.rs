//! Indexes, and the PRIMARY KEY, UNIQUE and EXCLUDE constraints that stand on them.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::{ident, qualified};
use crate::error::Result;
use crate::report::Warning;

use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};
use super::relation::storage_parameters;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT t.oid, i.indrelid, t.relname, pg_get_indexdef(t.oid) AS indexdef, i.indisclustered, i.indisreplident, \
         i.indisready AND (i.indisvalid OR r.relkind = 'p') AS usable, \
         c.oid AS conoid, c.conname, c.contype, pg_get_constraintdef(c.oid) AS condef, t.reloptions, \
         COALESCE(inh.inhparent, 0) AS parent, ts.spcname \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class t ON t.oid = i.indexrelid \
         JOIN pg_catalog.pg_class r ON r.oid = i.indrelid \
         LEFT JOIN pg_catalog.pg_constraint c \
              ON c.conrelid = i.indrelid AND c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x') \
         LEFT JOIN pg_catalog.pg_inherits inh ON inh.inhrelid = i.indexrelid \
         LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = t.reltablespace \
         WHERE r.relpersistence <> 't' AND r.relkind IN ('r', 'p', 'm') AND {} ORDER BY t.oid",
        reader.in_dumped_schemas("r.relnamespace")
    );
    let statistics = read_statistics(reader).await?;
    let mut attachments = Vec::new();
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("relname")?);
        let Some(table) = reader.relations.get(&row.oid("indrelid")?).cloned().filter(|t| !t.member) else { continue };
        let (schema, quoted, path) = (table.schema.clone(), ident(&name), qualified(&table.schema, &name));
        if !row.flag("usable")? {
            let message = format!("index {path} is left out: it is invalid; drop it, or build it again with REINDEX");
            reader.warnings.push(Warning::new("invalid_index", message));
            continue;
        }
        let constraint = row.oid("conoid")?;
        let tablespace = Some(row.text("spcname")?);
        let mut settings = String::new();
        if row.flag("indisclustered")? {
            let _ = writeln!(settings, "\nALTER TABLE {} CLUSTER ON {quoted};", table.path());
        }
        for (number, target) in statistics.get(&oid).into_iter().flatten() {
            let _ = writeln!(settings, "ALTER INDEX {path} ALTER COLUMN {number} SET STATISTICS {target};");
        }
        settings.push_str(&reader.bind_to_extensions(class::RELATION, oid, "INDEX", &path));
        if row.flag("indisreplident")? {
            let _ = writeln!(settings, "\nALTER TABLE ONLY {} REPLICA IDENTITY USING INDEX {quoted};", table.path());
        }
        let named = Named { kind: "INDEX", schema: Some(&schema), name: &quoted, owner: &table.owner };
        let remarks = reader.remarks(class::RELATION, oid, named);
        let parent = row.oid("parent")?;
        let node = if constraint == 0 {
            // An index that belongs to a partitioned one goes with that.
            let drop = if parent == 0 { format!("DROP INDEX {path};\n") } else { String::new() };
            let mut draft = Draft::new("INDEX", Some(&schema), &name, &table.owner)
                .post_data()
                .sql(format!("{};\n{settings}", row.text("indexdef")?), drop)
                .with(remarks);
            draft.tablespace = tablespace;
            reader.add_whole(class::RELATION, oid, Kind::Index, &name, draft)
        } else {
            let conname = row.text("conname")?;
            let mut definition = row.text("condef")?;
            if row.char("contype")? != 'x' {
                let options = storage_parameters(&row.list("reloptions")?, "");
                definition = with_options(&definition, &options.join(", "));
            }
            let kind = format!("CONSTRAINT {} ON", ident(&conname));
            let on_table = ident(&table.name);
            let con_named = Named { kind: &kind, name: &on_table, ..named };
            let con_remarks = reader.remarks(class::CONSTRAINT, constraint, con_named);
            let alter = format!("ALTER {}TABLE ONLY {}", table.foreign(), table.path());
            let mut draft = Draft::new("CONSTRAINT", Some(&schema), format!("{} {conname}", table.name), &table.owner)
                .post_data()
                .sql(
                    format!("{alter}\n    ADD CONSTRAINT {} {definition};\n{settings}", ident(&conname)),
                    format!("{alter} DROP CONSTRAINT {};\n", ident(&conname)),
                )
                .with(remarks)
                .with(con_remarks);
            draft.tablespace = tablespace;
            let con = reader.add_whole(class::CONSTRAINT, constraint, Kind::Constraint, &conname, draft);
            reader.nodes[con].detail.clone_from(&table.name);
            let index = Node::new(Kind::Index, Some(&schema), &name);
            let index = reader.add(Key::Object(class::RELATION, oid), index, Body::Silent);
            reader.need(index, con);
            index
        };
        if parent != 0 {
            attachments.push((oid, parent, node));
        }
        reader.index_tables.insert(oid, (table.oid, name));
    }
    for (oid, parent, node) in attachments {
        add_attach(reader, oid, parent, node);
    }
    Ok(())
}

/// Statistics targets of indexes' columns: number and target.
async fn read_statistics(reader: &mut Reader<'_>) -> Result<HashMap<u32, Vec<(i32, i32)>>> {
    let sql = "SELECT a.attrelid, a.attnum, a.attstattarget FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         WHERE a.attstattarget >= 0 AND c.relkind IN ('i', 'I') ORDER BY 1, 2";
    let mut statistics: HashMap<u32, Vec<(i32, i32)>> = HashMap::new();
    for row in reader.query(sql).await? {
        let column = (row.number("attnum")?, row.number("attstattarget")?);
        statistics.entry(row.oid("attrelid")?).or_default().push(column);
    }
    Ok(statistics)
}

/// The server prints a key's definition without its index's storage parameters; they go before DEFERRABLE.
fn with_options(definition: &str, options: &str) -> String {
    if options.is_empty() {
        return definition.to_owned();
    }
    let mut body = definition;
    for end in [" INITIALLY DEFERRED", " DEFERRABLE"] {
        body = body.strip_suffix(end).unwrap_or(body);
    }
    format!("{body} WITH ({options}){}", &definition[body.len()..])
}

/// Attaches a partition's index to the partitioned table's.
fn add_attach(reader: &mut Reader<'_>, oid: u32, parent: u32, node: usize) {
    let (Some((table, name)), Some((parent_table, parent_name))) =
        (reader.index_tables.get(&oid).cloned(), reader.index_tables.get(&parent).cloned())
    else {
        return;
    };
    let (Some(table), Some(parent_table)) = (reader.relations.get(&table), reader.relations.get(&parent_table)) else {
        return;
    };
    let (table_oid, parent_oid) = (table.oid, parent_table.oid);
    let draft = Draft::new("INDEX ATTACH", Some(&table.schema), &name, &parent_table.owner).post_data().sql(
        format!(
            "ALTER INDEX {} ATTACH PARTITION {};\n",
            qualified(&parent_table.schema, &parent_name),
            qualified(&table.schema, &name)
        ),
        "",
    );
    let attach = Node::new(Kind::IndexAttach, Some(&table.schema), &name);
    let attach = reader.add(Key::IndexAttach(oid), attach, Body::Whole(Box::new(draft)));
    reader.need(attach, node);
    reader.need_object(attach, class::RELATION, parent);
    // A parallel restore then does nothing else with these tables meanwhile.
    reader.need_object(attach, class::RELATION, table_oid);
    reader.need_object(attach, class::RELATION, parent_oid);
    reader.index_children.entry(parent).or_default().push(oid);
}

#[cfg(test)]
mod tests {
    use super::with_options;

    #[test]
    fn storage_parameters_go_before_deferrable() {
        assert_eq!(with_options("UNIQUE (a)", ""), "UNIQUE (a)");
        assert_eq!(
            with_options("UNIQUE (a) INCLUDE (b) DEFERRABLE INITIALLY DEFERRED", "fillfactor='70'"),
            "UNIQUE (a) INCLUDE (b) WITH (fillfactor='70') DEFERRABLE INITIALLY DEFERRED"
        );
        assert_eq!(
            with_options("PRIMARY KEY (a) DEFERRABLE", "fillfactor='70'"),
            "PRIMARY KEY (a) WITH (fillfactor='70') DEFERRABLE"
        );
    }
}
