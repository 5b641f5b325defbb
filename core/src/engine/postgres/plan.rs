//! Which files a dump has, in which order, and into which parts they are cut.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;

use crate::engine::{DumpFile, FileRole};
use crate::error::Result;

use super::archive::{self, Archive, END_OF_COPY, Header, blob_file};
use super::catalog::{Catalog, TableData};
use super::large_row;
use super::quote::{idents, qualified};

/// Large objects are stored in pages of this size; parts begin at their borders.
const LARGE_OBJECT_PAGE: u64 = 2048;

/// The start of a `TABLE DATA` entry's definition whose rows are loaded through the root of their partitions.
pub(super) const VIA_ROOT: &str = "-- load via partition root ";

/// Where the bytes of a file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// They are here already.
    Memory(Bytes),
    /// The rows of a table; a part is that many blocks of it.
    Table { table: usize, blocks_per_part: u64 },
    /// A large object; a part is that many bytes of it.
    LargeObject { oid: u32, bytes: u64, bytes_per_part: u64 },
}

/// A file and where its bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) file: DumpFile,
    pub(super) source: Source,
}

/// A table that may be cut into parts or not.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) data: TableData,
    /// Whether ranges of its blocks can be read: it is a heap, and all its rows are dumped.
    pub(super) divisible: bool,
}

/// A large object and its size.
#[derive(Debug, Clone, Copy)]
pub(super) struct LargeObject {
    pub(super) oid: u32,
    pub(super) bytes: u64,
}

/// The tables of the archive, each with whether ranges of its blocks can be read.
pub(super) fn tables(catalog: &Catalog) -> Vec<Table> {
    let heaps: HashSet<u32> = catalog
        .entries
        .iter()
        .filter(|e| e.desc == "TABLE" && e.table_am.as_deref().is_none_or(|am| am == "heap"))
        .map(|e| e.oid)
        .collect();
    let table =
        |data: &TableData| Table { divisible: data.filter.is_none() && heaps.contains(&data.oid), data: data.clone() };
    catalog.tables.iter().map(table).collect()
}

/// The name under which each table is summed up; none for those that hold an extension's rows beside the user's.
pub(super) fn summary_names(catalog: &Catalog) -> Vec<Option<String>> {
    let roots: HashMap<i32, &str> = catalog
        .entries
        .iter()
        .filter(|e| e.desc == "TABLE DATA")
        .filter_map(|e| Some((e.dump_id, e.defn.strip_prefix(VIA_ROOT)?.trim_end())))
        .collect();
    let name = |table: &TableData| {
        let own = || qualified(&table.schema, &table.name);
        table.filter.is_none().then(|| roots.get(&table.dump_id).map_or_else(own, |root| (*root).to_owned()))
    };
    catalog.tables.iter().map(name).collect()
}

/// The table of contents, and the list of large objects where there are any.
pub(super) fn schema_files(header: Header, catalog: &Catalog) -> Result<Vec<Planned>> {
    let mut entries = catalog.entries.clone();
    // Behind the settings, where pg_dump has it.
    let settings = entries.iter().take_while(|e| matches!(e.desc.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH"));
    let at = settings.count();
    entries.splice(at..at, catalog.database.iter().cloned());
    for entry in &mut entries {
        entry.file = match entry.desc.as_str() {
            "TABLE DATA" => Some(format!("{}.dat", entry.dump_id)),
            "BLOBS" => Some("blobs.toc".to_owned()),
            _ => None,
        };
    }
    let mut planned = vec![memory_file("toc.dat", archive::write(&Archive { header, entries })?)];
    if !catalog.large_objects.is_empty() {
        planned.push(memory_file("blobs.toc", archive::write_blobs(&catalog.large_objects)));
    }
    Ok(planned)
}

/// Plans the data files, the largest first.
pub(super) fn data_files(tables: &[Table], large_objects: &[LargeObject], part_bytes: u64) -> Vec<Planned> {
    let mut planned: Vec<Planned> =
        tables.iter().enumerate().map(|(index, table)| table_file(index, table, part_bytes)).collect();
    planned.extend(large_objects.iter().map(|object| large_object_file(*object, part_bytes)));
    // A stable sort: equal sizes stay in the archive's order.
    planned.sort_by_key(|p| Reverse(p.file.parts.iter().sum::<u64>()));
    planned
}

/// A file that is in memory.
pub(super) fn memory_file(name: &str, bytes: Vec<u8>) -> Planned {
    let file = DumpFile { name: name.to_owned(), role: FileRole::Schema, parts: vec![bytes.len() as u64] };
    Planned { file, source: Source::Memory(bytes.into()) }
}

fn table_file(index: usize, table: &Table, part_bytes: u64) -> Planned {
    let TableData { dump_id, blocks, bytes, .. } = table.data;
    let blocks_per_part = if table.divisible { blocks_per_part(blocks, bytes, part_bytes) } else { u64::MAX };
    let parts = blocks.div_ceil(blocks_per_part).max(1);
    let per_block = bytes / blocks.max(1);
    let mut sizes: Vec<u64> = vec![per_block.saturating_mul(blocks_per_part); usize::try_from(parts - 1).unwrap_or(0)];
    sizes.push(bytes.saturating_sub(sizes.iter().sum()).max(END_OF_COPY.len() as u64));
    let file = DumpFile { name: format!("{dump_id}.dat"), role: FileRole::Data, parts: sizes };
    Planned { file, source: Source::Table { table: index, blocks_per_part } }
}

/// The largest power of two whose blocks, with their out-of-line values, come to `part_bytes` at most.
///
/// A power of two, so that a table that grows from night to night keeps the borders of its parts: parts without
/// changes then have the same bytes as before.
fn blocks_per_part(blocks: u64, bytes: u64, part_bytes: u64) -> u64 {
    let per_block = (bytes / blocks.max(1)).max(1);
    let fitting = (part_bytes / per_block).max(1);
    1 << fitting.ilog2()
}

fn large_object_file(object: LargeObject, part_bytes: u64) -> Planned {
    let LargeObject { oid, bytes } = object;
    let bytes_per_part = (part_bytes - part_bytes % LARGE_OBJECT_PAGE).max(LARGE_OBJECT_PAGE);
    let full = usize::try_from(bytes / bytes_per_part).unwrap_or(0);
    let mut parts = vec![bytes_per_part; full];
    if bytes % bytes_per_part > 0 || parts.is_empty() {
        parts.push(bytes % bytes_per_part);
    }
    let file = DumpFile { name: blob_file(oid), role: FileRole::Data, parts };
    Planned { file, source: Source::LargeObject { oid, bytes, bytes_per_part } }
}

/// The blocks of one part, where the table has several; the last part is open-ended.
pub(super) fn blocks_of(part: usize, parts: usize, blocks_per_part: u64) -> Option<(u64, Option<u64>)> {
    let first = (part as u64).saturating_mul(blocks_per_part);
    (parts > 1).then(|| (first, (part + 1 < parts).then(|| first.saturating_add(blocks_per_part))))
}

/// The bytes of one part of a large object.
pub(super) fn bytes_of(part: usize, bytes: u64, bytes_per_part: u64) -> Range<u64> {
    let first = (part as u64).saturating_mul(bytes_per_part).min(bytes);
    first..first.saturating_add(bytes_per_part).min(bytes)
}

/// Which rows of a table are read, as a WHERE clause or nothing.
fn condition(table: &TableData, blocks: Option<(u64, Option<u64>)>) -> String {
    match (blocks, &table.filter) {
        (Some((first, Some(end))), _) => format!(" WHERE ctid >= '({first},0)' AND ctid < '({end},0)'"),
        (Some((first, None)), _) => format!(" WHERE ctid >= '({first},0)'"),
        (None, Some(filter)) => format!(" {filter}"),
        (None, None) => String::new(),
    }
}

/// The query that tells whether there is a large row among those that [`copy_out`] reads with the same arguments.
pub(super) fn any_large_row(table: &TableData, blocks: Option<(u64, Option<u64>)>) -> Option<String> {
    let name = qualified(&table.schema, &table.name);
    large_row::any(&table.wide, &format!("FROM ONLY {name}{}", condition(table, blocks)))
}

/// The statement that reads a table's rows, or those in a range of its blocks.
pub(super) fn copy_out(table: &TableData, blocks: Option<(u64, Option<u64>)>) -> String {
    let name = qualified(&table.schema, &table.name);
    let condition = condition(table, blocks);
    match (condition.is_empty(), table.columns.is_empty()) {
        // COPY of a table costs the server less than COPY of a query; it takes no column list of no columns.
        (true, true) => format!("COPY {name} TO STDOUT"),
        (true, false) => format!("COPY {name} ({}) TO STDOUT", idents(&table.columns)),
        _ => format!("COPY (SELECT {} FROM ONLY {name}{condition}) TO STDOUT", idents(&table.columns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(blocks: u64, bytes: u64) -> Table {
        let data = TableData {
            dump_id: 12,
            oid: 1,
            schema: "public".into(),
            name: "Orders".into(),
            columns: vec!["id".into(), "total".into()],
            kind: 'r',
            blocks,
            bytes,
            wide: vec![],
            filter: None,
        };
        Table { data, divisible: true }
    }

    fn parts(blocks: u64, bytes: u64) -> Vec<u64> {
        table_file(0, &table(blocks, bytes), 8 << 20).file.parts
    }

    #[test]
    fn parts_are_powers_of_two_of_blocks() {
        assert_eq!(parts(0, 0), [5]);
        assert_eq!(parts(1, 8192), [8192]);
        assert_eq!(parts(1024, 1024 * 8192), [8 << 20]);
        assert_eq!(parts(1025, 1025 * 8192), [8 << 20, 8192]);
        assert_eq!(parts(2500, 2500 * 8192), [8 << 20, 8 << 20, 452 * 8192]);
        // Out-of-line values make each block worth more.
        assert_eq!(blocks_per_part(100, 100 * 100_000, 8 << 20), 64);
        assert_eq!(blocks_per_part(2, 1 << 30, 8 << 20), 1);
        assert_eq!(blocks_per_part(0, 0, 8 << 20), 8 << 20);
    }

    #[test]
    fn ranges_cover_a_table_whatever_its_size() {
        assert_eq!(blocks_of(0, 1, 1024), None);
        assert_eq!(blocks_of(0, 3, 1024), Some((0, Some(1024))));
        assert_eq!(blocks_of(1, 3, 1024), Some((1024, Some(2048))));
        assert_eq!(blocks_of(2, 3, 1024), Some((2048, None)));
    }

    #[test]
    fn statements_name_columns_and_ranges() {
        let mut table = table(1, 1).data;
        assert_eq!(copy_out(&table, None), "COPY public.\"Orders\" (id, total) TO STDOUT");
        assert_eq!(
            copy_out(&table, Some((8, Some(16)))),
            "COPY (SELECT id, total FROM ONLY public.\"Orders\" WHERE ctid >= '(8,0)' AND ctid < '(16,0)') TO STDOUT"
        );
        table.filter = Some("WHERE id > 10".into());
        assert_eq!(
            copy_out(&table, None),
            "COPY (SELECT id, total FROM ONLY public.\"Orders\" WHERE id > 10) TO STDOUT"
        );
        (table.filter, table.columns) = (None, vec![]);
        assert_eq!(copy_out(&table, None), "COPY public.\"Orders\" TO STDOUT");
        assert_eq!(
            copy_out(&table, Some((8, None))),
            "COPY (SELECT  FROM ONLY public.\"Orders\" WHERE ctid >= '(8,0)') TO STDOUT"
        );
    }

    #[test]
    fn large_objects_are_cut_at_their_pages() {
        let planned = |bytes| large_object_file(LargeObject { oid: 7, bytes }, 10_000).file.parts;
        assert_eq!(planned(0), [0]);
        assert_eq!(planned(8192), [8192]);
        assert_eq!(planned(20_000), [8192, 8192, 3616]);
        assert_eq!(bytes_of(2, 20_000, 8192), 16_384..20_000);
        assert_eq!(bytes_of(0, 0, 8192), 0..0);
    }

    #[test]
    fn the_largest_comes_first() {
        let names = |files: Vec<Planned>| files.into_iter().map(|p| p.file.name).collect::<Vec<_>>();
        let small = table(1, 8192);
        let big = table(9, 90_000);
        let blob = LargeObject { oid: 5, bytes: 10_000 };
        let mut big_named = big;
        big_named.data.dump_id = 13;
        assert_eq!(names(data_files(&[small, big_named], &[blob], 8 << 20)), ["13.dat", "blob_5.dat", "12.dat"]);
    }
}
