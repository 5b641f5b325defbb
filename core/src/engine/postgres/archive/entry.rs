//! One entry of an archive's table of contents.

/// When an entry is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    /// Settings of the archive itself: ENCODING, STDSTRINGS, SEARCHPATH.
    #[default]
    None,
    /// What data needs: schemas, types, functions, tables.
    PreData,
    /// Rows, sequence values, large objects.
    Data,
    /// What needs data: indexes, constraints, triggers, rules, policies.
    PostData,
}

/// One object of the database, as pg_dump's archive format describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The entry's number in this archive, from 1.
    pub(crate) dump_id: i32,
    /// OID of the catalog that holds the object (`tableoid`), 0 if none.
    pub(crate) catalog: u32,
    /// OID of the object in the source, 0 if none.
    pub(crate) oid: u32,
    /// The object's name as pg_restore lists it: `orders`, `orders orders_pkey`, `f(integer)`.
    pub(crate) tag: String,
    /// What it is: `TABLE`, `TABLE DATA`, `FK CONSTRAINT`, …
    pub(crate) desc: String,
    /// When it is restored.
    pub(crate) section: Section,
    /// SQL that creates it; empty for data.
    pub(crate) defn: String,
    /// SQL that drops it; empty where nothing needs to be dropped.
    pub(crate) drop: String,
    /// For table data: the `COPY … FROM stdin;` statement.
    pub(crate) copy: Option<String>,
    /// The schema it lies in, unquoted.
    pub(crate) namespace: Option<String>,
    /// Its tablespace, where it has one of its own; an empty string means the default.
    pub(crate) tablespace: Option<String>,
    /// Its table access method, for tables and materialized views.
    pub(crate) table_am: Option<String>,
    /// Its owner, unquoted; an empty string where ownership does not apply.
    pub(crate) owner: String,
    /// Entries that must be restored before this one.
    pub(crate) dependencies: Vec<i32>,
    /// For data: its file in the directory, without a codec's suffix (`3456.dat`, `blobs.toc`).
    pub(crate) file: Option<String>,
}
