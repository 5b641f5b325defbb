//! Tables, partitioned tables and foreign tables, with their defaults, checks and partitions.

use std::fmt::Write as _;

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::acl::Class;
use super::check::Check;
use super::draft::{Body, Draft, Extra, Named};
use super::reader::{Key, Reader, class};
use super::relation::{Column, Relation};

/// A table whose statement depends on which of its parts became separate.
#[derive(Debug)]
pub(super) struct Table {
    draft: Draft,
    /// `CREATE TABLE public.t`
    head: String,
    /// Columns come from a composite type; only what is added to them is written.
    typed: bool,
    columns: Vec<ColumnSql>,
    /// Table-level constraints, each with the node that may be separate.
    constraints: Vec<(Option<usize>, String)>,
    /// Everything from the closing parenthesis on.
    tail: String,
}

#[derive(Debug)]
struct ColumnSql {
    /// `name type`, for a typed table `name`.
    head: String,
    default: Option<(Option<usize>, String)>,
    not_null: String,
    collation: String,
}

impl Table {
    /// The entry, once it is known what became separate.
    pub(super) fn settle(self, nodes: &[Node]) -> Draft {
        let inline = |node: Option<usize>| node.is_none_or(|n| !nodes[n].separate);
        let mut items = Vec::new();
        for column in self.columns {
            let default = column.default.filter(|d| inline(d.0)).map(|d| d.1).unwrap_or_default();
            if self.typed && default.is_empty() && column.not_null.is_empty() {
                continue;
            }
            items.push(format!("{}{default}{}{}", column.head, column.not_null, column.collation));
        }
        items.extend(self.constraints.into_iter().filter(|c| inline(c.0)).map(|c| c.1));
        let list = match (items.is_empty(), self.typed) {
            (false, _) => format!(" (\n    {}\n)", items.join(",\n    ")),
            (true, true) => String::new(),
            (true, false) => " (\n)".to_owned(),
        };
        let mut draft = self.draft;
        draft.defn = format!("{}{list}{}", self.head, self.tail);
        draft
    }
}

/// Adds the relation's nodes; its checks were read before.
pub(super) fn add(reader: &mut Reader<'_>, table: &Relation, checks: &[Check]) -> Result<()> {
    let node = reader.add(
        Key::Object(class::RELATION, table.oid),
        Node::new(Kind::Table, Some(&table.schema), &table.name),
        Body::Silent,
    );
    let mut columns = Vec::new();
    for column in &table.columns {
        if table.prints(column) {
            let default = default_sql(reader, table, node, column);
            columns.push(ColumnSql {
                head: match table.of_type {
                    Some(_) => ident(&column.name),
                    None => format!("{} {}", ident(&column.name), column.type_name),
                },
                default,
                not_null: not_null(reader, table, column).unwrap_or_default(),
                collation: if table.of_type.is_some() { String::new() } else { column.collation.clone() },
            });
        } else if !column.dropped && column.generated == '\0' {
            // The column is its parent's, the default is the table's own.
            add_default(reader, table, node, column, true);
        }
    }
    let mut constraints = Vec::new();
    for check in checks {
        let part = check.add(reader, table, node);
        if check.local || table.partition {
            constraints.push((Some(part), format!("CONSTRAINT {} {}", ident(&check.name), check.definition)));
        }
    }
    for column in table.columns.iter().filter(|c| !c.dropped && !table.prints(c)) {
        // A constraint of its own on a column that is its parent's; a plain one is set by ALTER TABLE.
        let Some(sql) = not_null(reader, table, column).filter(|s| s != PLAIN_NOT_NULL) else { continue };
        let (head, no_inherit) = match sql.strip_suffix(NO_INHERIT) {
            Some(head) => (head, NO_INHERIT),
            None => (sql.as_str(), ""),
        };
        constraints.push((None, format!("{} {}{no_inherit}", head.trim_start(), ident(&column.name))));
    }
    let unlogged = if table.persistence == 'u' { "UNLOGGED " } else { "" };
    let of_type = table.of_type.as_ref().map(|t| format!(" OF {t}")).unwrap_or_default();
    let mut draft = Draft::new(table.desc(), Some(&table.schema), &table.name, &table.owner)
        .sql("", format!("DROP {} {};\n", table.desc(), table.path()))
        .found_in(class::RELATION, table.oid)
        .with(extras(reader, table));
    draft.tablespace = (table.kind != 'f').then(|| table.tablespace.clone());
    draft.table_am = if table.kind == 'r' { table.table_am.clone() } else { None };
    reader.bodies[node] = Body::Table(Box::new(Table {
        draft,
        head: format!("CREATE {unlogged}{} {}{of_type}", table.desc(), table.path()),
        typed: table.of_type.is_some(),
        columns,
        constraints,
        tail: tail(reader, table),
    }));
    add_attach(reader, table, node);
    if table.kind == 'r' {
        super::data::add_table(reader, table, node, None);
    }
    Ok(())
}

/// What every version understands.
const PLAIN_NOT_NULL: &str = " NOT NULL";
const NO_INHERIT: &str = " NO INHERIT";

/// ` NOT NULL`, with the constraint's name where it is not the usual; nothing if the column has it from a parent.
fn not_null(reader: &Reader<'_>, table: &Relation, column: &Column) -> Option<String> {
    let not_null = column.not_null.as_ref().filter(|n| n.valid && (n.local || table.partition))?;
    let usual = not_null.oid == 0 || not_null.name == format!("{}_{}_not_null", table.name, column.name);
    let name = if usual && reader.comment_of(class::CONSTRAINT, not_null.oid, 0).is_none() {
        String::new()
    } else {
        format!(" CONSTRAINT {}", ident(&not_null.name))
    };
    Some(format!("{name}{PLAIN_NOT_NULL}{}", if not_null.no_inherit { NO_INHERIT } else { "" }))
}

/// A column's default or generation expression, as part of CREATE TABLE.
fn default_sql(
    reader: &mut Reader<'_>,
    table: &Relation,
    node: usize,
    column: &Column,
) -> Option<(Option<usize>, String)> {
    let (_, expression) = column.default.as_ref().filter(|_| !column.same_expression)?;
    let part = add_default(reader, table, node, column, false);
    let sql = match column.generated {
        's' => format!(" GENERATED ALWAYS AS ({expression}) STORED"),
        'v' => format!(" GENERATED ALWAYS AS ({expression})"),
        _ => format!(" DEFAULT {expression}"),
    };
    Some((part, sql))
}

/// The node of a default: part of its table, or with a statement of its own.
pub(super) fn add_default(
    reader: &mut Reader<'_>,
    table: &Relation,
    node: usize,
    column: &Column,
    separate: bool,
) -> Option<usize> {
    let (oid, expression) = column.default.as_ref()?;
    let (path, name) = (table.path(), ident(&column.name));
    let alter = format!("ALTER {}TABLE ONLY {path} ALTER COLUMN {name}", table.foreign());
    let tag = format!("{} {}", table.name, column.name);
    let draft = Draft::new("DEFAULT", Some(&table.schema), tag, &table.owner).sql(
        format!("{alter} SET DEFAULT {expression};\n"),
        format!("ALTER {}TABLE {path} ALTER COLUMN {name} DROP DEFAULT;\n", table.foreign()),
    );
    let mut part = Node::new(Kind::Default, Some(&table.schema), &table.name);
    part.detail = format!("{:05}", column.number);
    part.part_of = Some(node);
    part.separate = separate;
    let key = if *oid == 0 { Key::None } else { Key::Object(class::ATTRDEF, *oid) };
    let part = reader.add(key, part, Body::Part(Box::new(draft)));
    // What the expression uses must be there before the table, unless a loop forces them apart.
    if separate {
        reader.need(part, node)
    } else {
        reader.need(node, part)
    }
    Some(part)
}

/// Everything after the list of columns.
fn tail(reader: &Reader<'_>, table: &Relation) -> String {
    let mut sql = String::new();
    if !table.parents.is_empty() && !table.partition {
        let parents = table.parents.iter().filter_map(|p| reader.relations.get(p)).map(|r| r.path());
        let _ = write!(sql, "\nINHERITS ({})", parents.collect::<Vec<_>>().join(", "));
    }
    if let Some(key) = &table.partition_key {
        let _ = write!(sql, "\nPARTITION BY {key}");
    }
    if let Some(server) = &table.server {
        let _ = write!(sql, "\nSERVER {}", ident(server));
    }
    if !table.options.is_empty() {
        let _ = write!(sql, "\nWITH ({})", table.options);
    }
    if !table.foreign_options.is_empty() {
        let _ = write!(sql, "\nOPTIONS (\n    {}\n)", table.foreign_options);
    }
    sql.push_str(";\n");
    if let ('p', Some(am)) = (table.kind, &table.table_am) {
        let _ = writeln!(sql, "\nALTER TABLE {} SET ACCESS METHOD {};", table.path(), ident(am));
    }
    sql.push_str(&column_settings(reader, table));
    sql.push_str(&relation_settings(table));
    sql
}

/// ALTER statements for what CREATE TABLE cannot say of columns.
pub(super) fn column_settings(reader: &Reader<'_>, table: &Relation) -> String {
    let mut sql = String::new();
    for column in table.columns.iter().filter(|c| !c.dropped) {
        let alter =
            format!("ALTER {}TABLE ONLY {} ALTER COLUMN {}", table.foreign(), table.path(), ident(&column.name));
        if !table.prints(column) && not_null(reader, table, column).as_deref() == Some(PLAIN_NOT_NULL) {
            let _ = writeln!(sql, "{alter} SET NOT NULL;");
        }
        if let Some(target) = column.statistics {
            let _ = writeln!(sql, "{alter} SET STATISTICS {target};");
        }
        let storage = match column.storage {
            'p' => "PLAIN",
            'e' => "EXTERNAL",
            'x' => "EXTENDED",
            'm' => "MAIN",
            _ => "",
        };
        if column.storage != column.type_storage && !storage.is_empty() {
            let _ = writeln!(sql, "{alter} SET STORAGE {storage};");
        }
        let compression = match column.compression {
            'p' => "pglz",
            'l' => "lz4",
            _ => "",
        };
        if !compression.is_empty() {
            let _ = writeln!(sql, "{alter} SET COMPRESSION {compression};");
        }
        if !column.options.is_empty() {
            let _ = writeln!(sql, "{alter} SET ({});", column.options);
        }
        if !column.foreign_options.is_empty() {
            let _ = writeln!(sql, "{alter} OPTIONS (\n    {}\n);", column.foreign_options);
        }
    }
    sql
}

/// ALTER statements for what CREATE TABLE cannot say of the whole.
pub(super) fn relation_settings(table: &Relation) -> String {
    let mut sql = String::new();
    // An index as replica identity is set where the index is created.
    let identity = match (table.kind, table.replica_identity) {
        ('r' | 'p' | 'm', 'n') => "NOTHING",
        ('r' | 'p' | 'm', 'f') => "FULL",
        _ => "",
    };
    if !identity.is_empty() {
        let _ = writeln!(sql, "\nALTER TABLE ONLY {} REPLICA IDENTITY {identity};", table.path());
    }
    if table.force_row_security {
        let _ = writeln!(sql, "\nALTER TABLE ONLY {} FORCE ROW LEVEL SECURITY;", table.path());
    }
    sql
}

/// The attachment of a partition to its parent.
fn add_attach(reader: &mut Reader<'_>, table: &Relation, node: usize) {
    let (true, Some(bound)) = (table.partition, &table.partition_bound) else { return };
    let Some(parent) = table.parents.first().and_then(|p| reader.relations.get(p)) else { return };
    let (parent, parent_oid) = (parent.path(), parent.oid);
    let draft = Draft::new("TABLE ATTACH", Some(&table.schema), &table.name, &table.owner)
        .sql(format!("ALTER TABLE ONLY {parent} ATTACH PARTITION {} {bound};\n", table.path()), "");
    let attach = Node::new(Kind::TableAttach, Some(&table.schema), &table.name);
    let attach = reader.add(Key::None, attach, Body::Whole(Box::new(draft)));
    reader.need(attach, node);
    // The parent may come later in the list of relations.
    reader.later.push((attach, Key::Object(class::RELATION, parent_oid)));
}

/// Comments, labels and privileges of a relation and its columns.
pub(super) fn extras(reader: &Reader<'_>, relation: &Relation) -> Vec<Extra> {
    let quoted = ident(&relation.name);
    let named = Named { kind: relation.desc(), schema: Some(&relation.schema), name: &quoted, owner: &relation.owner };
    let mut extras = reader.remarks(class::RELATION, relation.oid, named);
    let columns = || relation.columns.iter().filter(|c| !c.dropped);
    for column in columns() {
        if let Some(comment) = reader.comment_of(class::RELATION, relation.oid, column.number) {
            extras.push(named.column_comment(&column.name, comment));
        }
        if let Some(not_null) = &column.not_null
            && not_null.valid
            && let Some(comment) = reader.comment_of(class::CONSTRAINT, not_null.oid, 0)
        {
            let kind = format!("CONSTRAINT {} ON", ident(&not_null.name));
            extras.push(Named { kind: &kind, ..named }.comment(comment));
        }
    }
    for label in reader.labels.get(&(class::RELATION, relation.oid)).into_iter().flatten() {
        if let Some(column) = relation.column(label.column) {
            let name = format!("{quoted}.{}", ident(&column.name));
            extras.push(Named { kind: "COLUMN", name: &name, ..named }.label(&label.provider, &label.label));
        }
    }
    extras.extend(privileges(reader, relation));
    extras
}

/// Privileges of a relation and its columns.
pub(super) fn privileges(reader: &Reader<'_>, relation: &Relation) -> Vec<Extra> {
    let quoted = ident(&relation.name);
    let (kind, privileges) = match relation.kind {
        'S' => ("SEQUENCE", Class::Sequence),
        _ => ("TABLE", Class::Table { maintain: reader.major >= 17 }),
    };
    let named = Named { kind, schema: Some(&relation.schema), name: &quoted, owner: &relation.owner };
    let on = format!("{kind} {}", relation.path());
    let mut extras: Vec<Extra> =
        named.acl(relation.acl.commands(privileges, &on, None, &relation.owner)).into_iter().collect();
    for column in relation.columns.iter().filter(|c| !c.dropped) {
        let Some(acl) = &column.acl else { continue };
        let name = ident(&column.name);
        let commands = acl.commands(Class::Column, &on, Some(&name), &relation.owner);
        if let Some(mut extra) = named.acl(commands) {
            extra.tag = format!("COLUMN {quoted}.{name}");
            extra.after_acl = true;
            extras.push(extra);
        }
    }
    extras
}
