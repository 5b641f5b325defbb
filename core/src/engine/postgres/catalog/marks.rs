//! Marks of the system catalogs: equal in two snapshots if and only if nothing was changed between them.
//!
//! A snapshot shows the rows of the catalogs as they were, but the server prints definitions, names and enum labels as
//! they are now. Where the marks are equal before and after, both are the same.

use sqlx::postgres::PgConnection;

use crate::error::Result;

use super::row;

/// What of the catalogs is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marked {
    /// All that goes into definitions.
    Definitions,
    /// What the text of rows, and the way to their table, depends on: enum labels and names of schemas. A table's own
    /// name cannot change while it is locked.
    Rows,
}

/// Temporary objects come and go all the time, and VACUUM FULL makes new TOAST tables.
const NOT_TEMPORARY: &str =
    "NOT IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname LIKE 'pg\\_temp\\_%' OR nspname LIKE 'pg\\_toast%')";

/// The catalogs that definitions are printed from, each with the column that names the schema or the relation, by which
/// temporary objects are told.
const CATALOGS: [(&str, Place); 27] = [
    ("pg_aggregate", Place::None),
    ("pg_am", Place::None),
    ("pg_amop", Place::None),
    ("pg_amproc", Place::None),
    ("pg_attrdef", Place::Relation("adrelid")),
    ("pg_attribute", Place::Relation("attrelid")),
    ("pg_cast", Place::None),
    ("pg_collation", Place::None),
    ("pg_constraint", Place::Schema("connamespace")),
    ("pg_conversion", Place::None),
    ("pg_enum", Place::None),
    ("pg_foreign_server", Place::None),
    ("pg_index", Place::Relation("indrelid")),
    ("pg_language", Place::None),
    ("pg_opclass", Place::None),
    ("pg_operator", Place::None),
    ("pg_opfamily", Place::None),
    ("pg_partitioned_table", Place::None),
    ("pg_policy", Place::None),
    ("pg_proc", Place::Schema("pronamespace")),
    ("pg_range", Place::None),
    ("pg_rewrite", Place::Relation("ev_class")),
    ("pg_statistic_ext", Place::None),
    ("pg_trigger", Place::Relation("tgrelid")),
    ("pg_ts_config", Place::None),
    ("pg_ts_dict", Place::None),
    ("pg_type", Place::Schema("typnamespace")),
];

#[derive(Clone, Copy)]
enum Place {
    None,
    Schema(&'static str),
    Relation(&'static str),
}

/// The marks that the connection's snapshot shows.
pub(crate) async fn read(conn: &mut PgConnection, what: Marked) -> Result<String> {
    // Rows are never changed in place but for statistics: where a row lies and who wrote it tells one from another.
    let rows =
        |catalog: &str, condition: String| mark("t.ctid, t.xmin", &format!("pg_catalog.{catalog} t"), &condition);
    let mut marks = vec![rows("pg_namespace", format!("WHERE t.oid {NOT_TEMPORARY}"))];
    match what {
        Marked::Rows => marks.push(rows("pg_enum", String::new())),
        Marked::Definitions => {
            marks.extend(CATALOGS.map(|(catalog, place)| match place {
                Place::None => rows(catalog, String::new()),
                Place::Schema(column) => rows(catalog, format!("WHERE t.{column} {NOT_TEMPORARY}")),
                Place::Relation(column) => {
                    let relation = format!(
                        "JOIN pg_catalog.pg_class c ON c.oid = t.{column} WHERE c.relnamespace {NOT_TEMPORARY}"
                    );
                    rows(catalog, relation)
                }
            }));
            // Other columns change with TRUNCATE, VACUUM FULL, REFRESH and REINDEX.
            let columns = "t.oid, t.relname, t.relnamespace, t.relkind, t.reloptions, t.relpartbound::pg_catalog.text";
            marks.push(mark(columns, "pg_catalog.pg_class t", &format!("WHERE t.relnamespace {NOT_TEMPORARY}")));
        }
    }
    let rows = row::query(conn, &marks.join(" UNION ALL ")).await?;
    let mut marks: Vec<String> = rows.iter().map(|row| row.text("mark")).collect::<Result<_>>()?;
    // Nobody promised the order of UNION ALL.
    marks.sort_unstable();
    Ok(marks.concat())
}

/// The number of rows and the sum of their hashes.
fn mark(columns: &str, from: &str, condition: &str) -> String {
    format!(
        "SELECT pg_catalog.count(*) || ' ' || \
         pg_catalog.sum(pg_catalog.hashtextextended(ROW({columns})::pg_catalog.text, 0)) || '; ' AS mark FROM {from} {condition}"
    )
}
