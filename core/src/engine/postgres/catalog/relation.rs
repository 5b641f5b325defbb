//! Tables, views and everything else with columns: what the catalogs say of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::postgres::quote::{ident, literal, qualified};
use crate::error::{Error, Result};

use super::acl::Acl;
use super::reader::{Reader, class};

/// A row of `pg_class`, with its columns.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// `r` table, `p` partitioned table, `f` foreign table, `v` view, `m` materialized view, `S` sequence,
    /// `c` composite type.
    pub(super) kind: char,
    pub(super) owner: String,
    /// `p` permanent, `u` unlogged, `t` temporary.
    pub(super) persistence: char,
    /// Whether it came with an extension.
    pub(super) member: bool,
    pub(super) partition: bool,
    pub(super) populated: bool,
    pub(super) replica_identity: char,
    pub(super) row_security: bool,
    pub(super) force_row_security: bool,
    /// The composite type of a typed table.
    pub(super) of_type: Option<String>,
    /// Storage parameters, ready for `WITH (…)`.
    pub(super) options: String,
    /// `LOCAL` or `CASCADED`.
    pub(super) check_option: Option<String>,
    pub(super) table_am: Option<String>,
    /// The empty string is the database's default.
    pub(super) tablespace: String,
    pub(super) parents: Vec<u32>,
    pub(super) columns: Vec<Column>,
    pub(super) partition_key: Option<String>,
    pub(super) partition_bound: Option<String>,
    /// Hash values of its partition key differ from database to database.
    pub(super) unstable_hash: bool,
    /// What a view selects, without the semicolon.
    pub(super) query: String,
    pub(super) server: Option<String>,
    pub(super) foreign_options: String,
    pub(super) acl: Acl,
    /// Blocks of the main fork.
    pub(super) blocks: u64,
    /// Bytes with out-of-line values.
    pub(super) bytes: u64,
    /// Bytes of its out-of-line values alone.
    pub(super) toast_bytes: u64,
}

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) number: i32,
    pub(super) name: String,
    pub(super) dropped: bool,
    /// Declared here, not only inherited.
    pub(super) local: bool,
    pub(super) not_null: Option<NotNull>,
    pub(super) type_name: String,
    /// ` COLLATE …` where it is not the type's.
    pub(super) collation: String,
    pub(super) identity: char,
    pub(super) generated: char,
    /// OID and text of the default or generation expression.
    pub(super) default: Option<(u32, String)>,
    /// The generation expression is its parents'.
    pub(super) same_expression: bool,
    pub(super) statistics: Option<i32>,
    pub(super) storage: char,
    pub(super) type_storage: char,
    pub(super) compression: char,
    pub(super) options: String,
    pub(super) foreign_options: String,
    pub(super) acl: Option<Acl>,
}

/// That a column is NOT NULL, and how.
#[derive(Debug, Clone, Default)]
pub(super) struct NotNull {
    /// The constraint's OID; 0 before version 18, which made it a constraint.
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) local: bool,
    pub(super) no_inherit: bool,
    pub(super) valid: bool,
}

impl Relation {
    /// Its name as SQL needs it.
    pub(super) fn path(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// Whether the column stands in its own CREATE TABLE: partitions are created whole and attached later.
    pub(super) fn prints(&self, column: &Column) -> bool {
        !column.dropped && (column.local || self.partition)
    }

    /// The column with that number.
    pub(super) fn column(&self, number: i32) -> Option<&Column> {
        self.columns.iter().find(|c| c.number == number)
    }

    /// `FOREIGN `, where ALTER TABLE wants it.
    pub(super) fn foreign(&self) -> &'static str {
        if self.kind == 'f' { "FOREIGN " } else { "" }
    }

    /// What it is, in archive and comments.
    pub(super) fn desc(&self) -> &'static str {
        match self.kind {
            'v' => "VIEW",
            'm' => "MATERIALIZED VIEW",
            'f' => "FOREIGN TABLE",
            'S' => "SEQUENCE",
            _ => "TABLE",
        }
    }
}

/// `a=1, b='x y'`, from `{a=1,"b=x y"}`.
pub(super) fn storage_parameters(options: &[String], prefix: &str) -> Vec<String> {
    let one = |option: &String| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = if ident(value) == value { value.to_owned() } else { literal(value) };
        format!("{prefix}{}={value}", ident(name))
    };
    options.iter().map(one).collect()
}

const RELATIONS: &str = "SELECT c.oid, c.relname, c.relnamespace, c.relkind, c.relowner, c.relpersistence, \
    c.relispopulated, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.relispartition, c.relacl AS acl, \
    acldefault(CASE WHEN c.relkind = 'S' THEN 's'::\"char\" ELSE 'r' END, c.relowner) AS acldefault, \
    CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS oftype, \
    array_remove(array_remove(c.reloptions, 'check_option=local'), 'check_option=cascaded') AS reloptions, \
    CASE WHEN 'check_option=local' = ANY (c.reloptions) THEN 'LOCAL' \
         WHEN 'check_option=cascaded' = ANY (c.reloptions) THEN 'CASCADED' END AS checkoption, \
    tc.reloptions AS toastoptions, am.amname, ts.spcname, \
    pt.partrelid IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_opclass oc JOIN pg_catalog.pg_am a \
        ON a.oid = oc.opcmethod WHERE a.amname = 'hash' AND oc.opcname = 'enum_ops' AND oc.oid = ANY (pt.partclass) \
        AND oc.opcnamespace = 'pg_catalog'::regnamespace) AS unstable, \
    CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partkey, \
    CASE WHEN c.relispartition AND c.relkind <> 'I' THEN pg_get_expr(c.relpartbound, c.oid) END AS partbound, \
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS viewdef, \
    fs.srvname, CASE WHEN c.relkind = 'f' THEN ARRAY(SELECT quote_ident(option_name) || ' ' || quote_literal(option_value) \
        FROM pg_options_to_table(ft.ftoptions) ORDER BY option_name) END AS ftoptions, \
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) / current_setting('block_size')::int END AS blocks, \
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) + COALESCE(pg_relation_size(tc.oid), 0) END AS bytes, \
    CASE WHEN c.relkind = 'r' THEN pg_relation_size(tc.oid) END AS toastbytes \
    FROM pg_catalog.pg_class c \
    LEFT JOIN pg_catalog.pg_class tc ON tc.oid = c.reltoastrelid AND c.relkind <> 'p' \
    LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
    LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace \
    LEFT JOIN pg_catalog.pg_partitioned_table pt ON pt.partrelid = c.oid \
    LEFT JOIN pg_catalog.pg_foreign_table ft ON ft.ftrelid = c.oid \
    LEFT JOIN pg_catalog.pg_foreign_server fs ON fs.oid = ft.ftserver \
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c') AND c.relpersistence <> 't' AND ";

/// Reads all relations in dumped schemas, with columns and parents.
pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!("{RELATIONS}{} ORDER BY c.oid", reader.in_dumped_schemas("c.relnamespace"));
    for row in reader.query(&sql).await? {
        let oid = row.oid("oid")?;
        let kind = row.char("relkind")?;
        let mut options = storage_parameters(&row.list("reloptions")?, "");
        options.extend(storage_parameters(&row.list("toastoptions")?, "toast."));
        let query = row.text("viewdef")?;
        let mut acl = Acl::from_row(&row)?;
        acl.initial = reader.initial_acls.get(&(class::RELATION, oid, 0)).cloned();
        let relation = Relation {
            oid,
            schema: reader.schema(row.oid("relnamespace")?),
            name: row.text("relname")?,
            kind,
            owner: reader.owner(&row, "relowner")?,
            persistence: row.char("relpersistence")?,
            member: reader.is_member(class::RELATION, oid),
            partition: row.flag("relispartition")?,
            populated: row.flag("relispopulated")?,
            replica_identity: row.char("relreplident")?,
            row_security: row.flag("relrowsecurity")?,
            force_row_security: row.flag("relforcerowsecurity")?,
            of_type: row.opt_text("oftype")?,
            options: options.join(", "),
            check_option: row.opt_text("checkoption")?,
            table_am: row.opt_text("amname")?,
            tablespace: row.text("spcname")?,
            parents: Vec::new(),
            columns: Vec::new(),
            partition_key: row.opt_text("partkey")?,
            partition_bound: row.opt_text("partbound")?,
            unstable_hash: row.flag("unstable")?,
            query: query.strip_suffix(';').unwrap_or(&query).to_owned(),
            server: row.opt_text("srvname")?,
            foreign_options: row.list("ftoptions")?.join(",\n    "),
            acl,
            blocks: row.number("blocks")?,
            bytes: row.number("bytes")?,
            toast_bytes: row.number("toastbytes")?,
        };
        reader.relations.insert(oid, Arc::new(relation));
    }
    read_columns(reader).await?;
    let inherits = "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits ORDER BY inhrelid, inhseqno";
    for row in reader.query(inherits).await? {
        if let Some(child) = reader.relations.get_mut(&row.oid("inhrelid")?) {
            Arc::make_mut(child).parents.push(row.oid("inhparent")?);
        }
    }
    settle_inheritance(reader);
    Ok(())
}

async fn read_columns(reader: &mut Reader<'_>) -> Result<()> {
    // Options that begin with `pg_` are the server's own book-keeping (`pg_attver`, since 15.20), never set by DDL.
    // Since 18 NOT NULL is a constraint with a name of its own.
    let (not_null, join) = if reader.major >= 18 {
        (
            "nn.oid AS nnoid, nn.conname AS nnname, nn.conislocal AS nnlocal, nn.connoinherit AS nnnoinherit, \
             nn.convalidated AS nnvalid",
            "LEFT JOIN pg_catalog.pg_constraint nn \
             ON nn.conrelid = a.attrelid AND nn.contype = 'n' AND nn.conkey = ARRAY[a.attnum]",
        )
    } else {
        ("NULL AS nnoid, NULL AS nnname, NULL AS nnlocal, NULL AS nnnoinherit, NULL AS nnvalid", "")
    };
    let sql = format!(
        "SELECT a.attrelid, a.attnum, a.attname, a.attisdropped, a.attislocal, a.attnotnull, a.attstattarget, \
         a.attstorage, t.typstorage, a.attcompression, a.attidentity, a.attgenerated, a.attacl AS acl, \
         acldefault('c', c.relowner) AS acldefault, format_type(t.oid, a.atttypmod) AS type, \
         CASE WHEN a.attoptions IS NOT NULL THEN array_to_string(ARRAY(SELECT o FROM unnest(a.attoptions) o \
             WHERE o NOT LIKE 'pg\\_%'), ', ') END AS options, \
         CASE WHEN a.attfdwoptions IS NOT NULL THEN ARRAY(SELECT quote_ident(option_name) || ' ' || \
             quote_literal(option_value) FROM pg_options_to_table(a.attfdwoptions) ORDER BY option_name) END \
             AS fdwoptions, \
         CASE WHEN a.attcollation <> t.typcollation THEN \
             quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation, \
         d.oid AS adoid, pg_get_expr(d.adbin, d.adrelid) AS expression, {not_null} \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation \
         LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum {join} \
         WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND c.relpersistence <> 't' AND {} \
         ORDER BY a.attrelid, a.attnum",
        reader.in_dumped_schemas("c.relnamespace")
    );
    for row in reader.query(&sql).await? {
        let oid = row.oid("attrelid")?;
        let number = row.number("attnum")?;
        let initial = reader.initial_acls.get(&(class::RELATION, oid, number)).cloned();
        let Some(relation) = reader.relations.get_mut(&oid) else { continue };
        let name = row.text("attname")?;
        // Before 18 it only matters whether the parents have it too; see `settle_inheritance`.
        let not_null = match (row.oid("nnoid")?, row.flag("attnotnull")?) {
            (0, false) => None,
            (0, true) => Some(NotNull { local: true, valid: true, ..NotNull::default() }),
            (oid, _) => Some(NotNull {
                oid,
                name: row.text("nnname")?,
                local: row.flag("nnlocal")?,
                no_inherit: row.flag("nnnoinherit")?,
                valid: row.flag("nnvalid")?,
            }),
        };
        let acl = (row.opt("acl")?.is_some() || initial.is_some()).then(|| Acl::from_row(&row)).transpose()?;
        Arc::make_mut(relation).columns.push(Column {
            number,
            name,
            dropped: row.flag("attisdropped")?,
            local: row.flag("attislocal")?,
            not_null,
            type_name: row.text("type")?,
            collation: row.opt("collation")?.map(|c| format!(" COLLATE {c}")).unwrap_or_default(),
            identity: row.char("attidentity")?,
            generated: row.char("attgenerated")?,
            default: row.opt_text("expression")?.map(|text| Ok::<_, Error>((row.oid("adoid")?, text))).transpose()?,
            // -1 was "the default" before 17 made that NULL.
            same_expression: false,
            statistics: row.opt("attstattarget")?.and_then(|t| t.parse().ok()).filter(|&t: &i32| t >= 0),
            storage: row.char("attstorage")?,
            type_storage: row.char("typstorage")?,
            compression: row.char("attcompression")?,
            options: row.text("options")?,
            foreign_options: row.list("fdwoptions")?.join(",\n    "),
            acl: acl.map(|a| Acl { initial, ..a }),
        });
    }
    Ok(())
}

/// Takes from the columns what they have from their parents anyway, parents first.
fn settle_inheritance(reader: &mut Reader<'_>) {
    let mut children: Vec<(usize, u32)> = reader
        .relations
        .values()
        .filter(|r| !r.parents.is_empty())
        .map(|r| (generation(&reader.relations, r.oid), r.oid))
        .collect();
    children.sort_unstable();
    for (_, oid) in children {
        let Some(mut child) = reader.relations.remove(&oid) else { continue };
        let parents: Vec<&Arc<Relation>> = child.parents.iter().filter_map(|p| reader.relations.get(p)).collect();
        let partition = child.partition;
        let mut columns = child.columns.clone();
        for column in &mut columns {
            let name = column.name.clone();
            let same: Vec<&Column> =
                parents.iter().flat_map(|p| &p.columns).filter(|c| !c.dropped && c.name == name).collect();
            if let Some(not_null) = &mut column.not_null {
                let inherited = same.iter().any(|c| c.not_null.as_ref().is_some_and(|n| n.valid));
                // Before 18 nothing says whether it is local too. Since then a child can have checked its rows for
                // what its parent only will.
                not_null.local = if not_null.oid == 0 { !inherited } else { not_null.local || !inherited };
            }
            if column.default.is_none() && same.iter().any(|c| c.default.is_some() && c.generated == '\0') {
                // Otherwise the child would take its parent's default.
                column.default = Some((0, "NULL".to_owned()));
            }
            // Expressions are inherited; since 16 a child can have another one.
            let expression = |c: &Column| c.default.as_ref().map(|d| d.1.clone());
            let mut generated = same.iter().filter(|c| c.generated != '\0').peekable();
            column.same_expression = !partition
                && generated.peek().is_some()
                && generated.all(|c| reader.major < 16 || expression(c) == expression(column));
        }
        Arc::make_mut(&mut child).columns = columns;
        reader.relations.insert(oid, child);
    }
}

/// How many ancestors are above a relation, at most.
fn generation(relations: &BTreeMap<u32, Arc<Relation>>, oid: u32) -> usize {
    let parents = relations.get(&oid).into_iter().flat_map(|r| &r.parents);
    parents.map(|&p| generation(relations, p) + 1).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::storage_parameters;

    #[test]
    fn storage_parameters_are_quoted_where_they_must_be() {
        let options = ["fillfactor=70".to_owned(), "autovacuum_enabled=false".to_owned(), "buffering=auto".to_owned()];
        assert_eq!(
            storage_parameters(&options, "toast."),
            ["toast.fillfactor='70'", "toast.autovacuum_enabled='false'", "toast.buffering=auto"]
        );
    }
}
