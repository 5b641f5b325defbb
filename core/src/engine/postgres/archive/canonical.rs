//! Any archive's table of contents as one of ours: archive version 1.14, one entry a large object, one file a table.

use std::collections::{HashMap, HashSet};

use crate::error::{Code, Error, Result};

use super::{Archive, Entry, Section};
use crate::engine::postgres::quote::{ident, qualified};

/// The file that lists the large objects.
pub(crate) const BLOBS: &str = "blobs.toc";

/// An archive as a directory of ours would hold it.
#[derive(Debug)]
pub(crate) struct Canonical {
    pub(crate) archive: Archive,
    /// The large objects, each with a file of its own.
    pub(crate) blobs: Vec<u32>,
    /// What the archive calls its data, by entry, and what it is here.
    pub(crate) data: HashMap<i32, Data>,
}

/// What an entry's data are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// A table's rows: the name of the file in the archive, and here.
    Table { theirs: String, ours: String },
    /// Large objects: the name of the file that lists them.
    Blobs { list: String },
}

/// Rewrites what versions before 1.14 and after it say in another way.
///
/// # Errors
/// `UnsupportedDatabase` for what no supported server can take; `Damaged`.
pub(crate) fn canonical(archive: Archive) -> Result<Canonical> {
    let Archive { header, entries } = archive;
    let fixed_path = entries.iter().any(|e| e.desc == "SEARCHPATH");
    let mut groups = Groups::new(&entries)?;
    let mut made = Made { fixed_path, entries: Vec::new(), blobs: Vec::new(), data: HashMap::new(), blob_data: None };
    for entry in entries {
        made.add(entry, &mut groups)?;
    }
    let Made { mut entries, blobs, data, .. } = made;
    for entry in &mut entries {
        groups.spread(&mut entry.dependencies);
    }
    if blobs.iter().collect::<HashSet<_>>().len() != blobs.len() {
        return Err(damaged("a large object is listed twice"));
    }
    Ok(Canonical { archive: Archive { header, entries }, blobs, data })
}

struct Made {
    /// Whether the archive qualifies every name; before 1.13 each entry counts on its own search path.
    fixed_path: bool,
    entries: Vec<Entry>,
    blobs: Vec<u32>,
    data: HashMap<i32, Data>,
    /// The entry for the data of all large objects.
    blob_data: Option<usize>,
}

impl Made {
    fn add(&mut self, mut entry: Entry, groups: &mut Groups) -> Result<()> {
        match entry.desc.as_str() {
            // The target's server counts for itself, by ANALYZE.
            "STATISTICS DATA" => {}
            "BLOB METADATA" => {
                for (oid, dump_id) in groups.members(entry.dump_id) {
                    self.blobs.push(oid);
                    self.entries.push(blob(&entry, oid, dump_id));
                }
            }
            "BLOB" => {
                self.blobs.push(entry.tag.parse().map_err(|_| damaged(format!("`{}` is no large object", entry.tag)))?);
                self.entries.push(entry);
            }
            "BLOBS" => {
                let Some(list) = entry.file.take() else { return Ok(()) };
                self.data.insert(entry.dump_id, Data::Blobs { list });
                match self.blob_data {
                    Some(first) => self.entries[first].dependencies.extend(entry.dependencies),
                    None => {
                        self.blob_data = Some(self.entries.len());
                        entry.file = Some(BLOBS.to_owned());
                        self.entries.push(entry);
                    }
                }
            }
            "ACL" | "SECURITY LABEL" if entry.tag.starts_with("LARGE OBJECTS ") => {
                for (oid, dump_id) in groups.of(&entry) {
                    self.entries.push(groups.one_of(&entry, oid, dump_id)?);
                }
            }
            "TABLE DATA" => {
                self.qualify_copy(&mut entry)?;
                if let Some(theirs) = entry.file.take() {
                    let ours = format!("{}.dat", entry.dump_id);
                    entry.file = Some(ours.clone());
                    self.data.insert(entry.dump_id, Data::Table { theirs, ours });
                }
                self.entries.push(entry);
            }
            _ if entry.file.is_some() => {
                let what = format!("{} {} holds data of a kind that is not known here", entry.desc, entry.tag);
                return Err(Error::new(Code::UnsupportedDatabase, what).next("restore this archive with pg_restore"));
            }
            _ => {
                self.set_path(&mut entry);
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    /// Names in a definition are looked up in the entry's schema.
    fn set_path(&self, entry: &mut Entry) {
        let setting = matches!(entry.desc.as_str(), "ENCODING" | "STDSTRINGS" | "DATABASE");
        if let Some(namespace) = entry.namespace.as_deref().filter(|n| !n.is_empty())
            && !(self.fixed_path || setting || entry.defn.is_empty())
        {
            entry.defn = format!("SET search_path = {}, pg_catalog;\n{}", ident(namespace), entry.defn);
        }
    }

    /// `COPY name (…)` becomes `COPY schema.name (…)`.
    fn qualify_copy(&self, entry: &mut Entry) -> Result<()> {
        let Some(copy) = &mut entry.copy else { return Ok(()) };
        if copy.contains(") WITH OIDS ") {
            let what = format!("table {} has OIDs, which PostgreSQL 12 and later do not know", entry.tag);
            return Err(Error::new(Code::UnsupportedDatabase, what)
                .next("restore it into a server of its time, ALTER TABLE … SET WITHOUT OIDS, and dump again"));
        }
        let rest = copy.strip_prefix("COPY ").and_then(|rest| rest.get(name_length(rest)..));
        if let (false, Some(namespace), Some(rest)) = (self.fixed_path, &entry.namespace, rest)
            && !namespace.is_empty()
            && !rest.starts_with('.')
        {
            *copy = format!("COPY {}{rest}", qualified(namespace, &entry.tag));
        }
        Ok(())
    }
}

/// How long the name is that a text begins with.
fn name_length(text: &str) -> usize {
    match text.strip_prefix('"') {
        Some(quoted) => {
            let mut at = 0;
            while let Some(end) = quoted[at..].find('"') {
                at += end + 1;
                if !quoted[at..].starts_with('"') {
                    return at + 1;
                }
                at += 1;
            }
            text.len()
        }
        None => text.find([' ', '.', '(']).unwrap_or(text.len()),
    }
}

/// Large objects with the same owner and privileges, which 17 and later put into one entry.
struct Groups {
    /// By the number of the group's entry: each object, and the number of its own entry.
    groups: HashMap<i32, Vec<(u32, i32)>>,
    next_id: i32,
}

impl Groups {
    fn new(entries: &[Entry]) -> Result<Self> {
        let next_id = entries.iter().map(|e| e.dump_id).max().unwrap_or(0);
        let mut groups = Self { groups: HashMap::new(), next_id };
        for entry in entries.iter().filter(|e| e.desc == "BLOB METADATA") {
            let mut members = Vec::new();
            for line in entry.defn.lines().filter(|line| !line.is_empty()) {
                let oid = line.parse().map_err(|_| damaged("a list of large objects holds something else"))?;
                let dump_id = if members.is_empty() { entry.dump_id } else { groups.fresh()? };
                members.push((oid, dump_id));
            }
            groups.groups.insert(entry.dump_id, members);
        }
        Ok(groups)
    }

    fn fresh(&mut self) -> Result<i32> {
        self.next_id = self.next_id.checked_add(1).ok_or_else(|| damaged("its entries have too high numbers"))?;
        Ok(self.next_id)
    }

    fn members(&self, group: i32) -> Vec<(u32, i32)> {
        self.groups.get(&group).cloned().unwrap_or_default()
    }

    /// The objects that an entry is about.
    fn of(&self, entry: &Entry) -> Vec<(u32, i32)> {
        entry.dependencies.iter().flat_map(|id| self.members(*id)).collect()
    }

    /// What an entry says of the first object of its group, said of another one.
    fn one_of(&mut self, entry: &Entry, oid: u32, object: i32) -> Result<Entry> {
        let first = self.of(entry).first().map_or(oid, |first| first.0);
        let (from, to) = (format!(" LARGE OBJECT {first} "), format!(" LARGE OBJECT {oid} "));
        Ok(Entry {
            dump_id: if first == oid { entry.dump_id } else { self.fresh()? },
            tag: format!("LARGE OBJECT {oid}"),
            defn: entry.defn.replace(&from, &to),
            dependencies: vec![object],
            ..entry.clone()
        })
    }

    /// Who needs a group needs each of its objects.
    fn spread(&self, dependencies: &mut Vec<i32>) {
        let others = dependencies.iter().flat_map(|id| self.groups.get(id).into_iter().flatten().skip(1));
        let others: Vec<i32> = others.map(|member| member.1).collect();
        dependencies.extend(others);
    }
}

fn blob(group: &Entry, oid: u32, dump_id: i32) -> Entry {
    Entry {
        dump_id,
        oid,
        tag: oid.to_string(),
        desc: "BLOB".to_owned(),
        section: Section::PreData,
        defn: format!("SELECT pg_catalog.lo_create('{oid}');\n"),
        drop: format!("SELECT pg_catalog.lo_unlink('{oid}');\n"),
        ..group.clone()
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::Damaged, format!("toc.dat: {}", what.into()))
        .next("use another copy of this dump or another backup")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::engine::postgres::archive::tests::{header, table};

    fn entry(dump_id: i32, desc: &str, tag: &str, defn: &str, dependencies: &[i32]) -> Entry {
        let (desc, tag, defn) = (desc.to_owned(), tag.to_owned(), defn.to_owned());
        Entry { dump_id, desc, tag, defn, dependencies: dependencies.to_vec(), namespace: None, ..table() }
    }

    fn path() -> Entry {
        entry(90, "SEARCHPATH", "SEARCHPATH", "SELECT …;\n", &[])
    }

    #[test]
    fn groups_of_large_objects_become_one_entry_each() {
        let mut data = entry(5, "BLOBS", "10..12", "", &[4]);
        data.file = Some("blobs_5.toc".into());
        let acl = "GRANT SELECT ON LARGE OBJECT 10 TO reader;\nGRANT ALL ON LARGE OBJECT 10 TO writer;\n";
        let entries = vec![
            path(),
            entry(4, "BLOB METADATA", "10..12", "10\n12\n", &[]),
            entry(6, "ACL", "LARGE OBJECTS 10..12", acl, &[4]),
            data,
        ];
        let made = canonical(Archive { header: header(), entries }).unwrap();
        assert_eq!(made.blobs, [10, 12]);
        let shown: Vec<_> = made.archive.entries.iter().map(|e| (e.dump_id, e.desc.as_str(), e.tag.as_str())).collect();
        assert_eq!(
            shown[1..],
            [
                (4, "BLOB", "10"),
                (91, "BLOB", "12"),
                (6, "ACL", "LARGE OBJECT 10"),
                (92, "ACL", "LARGE OBJECT 12"),
                (5, "BLOBS", "10..12")
            ]
        );
        assert_eq!(made.archive.entries[4].defn, acl.replace("10", "12"));
        assert_eq!(made.archive.entries[4].dependencies, [91]);
        assert_eq!(made.archive.entries[5].dependencies, [4, 91]);
        assert_eq!(made.data[&5], Data::Blobs { list: "blobs_5.toc".into() });
    }

    #[test]
    fn old_archives_get_their_search_path() {
        let mut data = entry(8, "TABLE DATA", "My\"orders", "", &[7]);
        data.copy = Some("COPY \"My\"\"orders\" (id, \"a.b\") FROM stdin;\n".into());
        data.namespace = Some("shop".into());
        let made = canonical(Archive { header: header(), entries: vec![table(), data] }).unwrap();
        assert!(made.archive.entries[0].defn.starts_with("SET search_path = public, pg_catalog;\nCREATE TABLE"));
        let copy = made.archive.entries[1].copy.as_deref().unwrap();
        assert_eq!(copy, "COPY shop.\"My\"\"orders\" (id, \"a.b\") FROM stdin;\n");
    }

    #[test]
    fn newer_archives_keep_their_text() {
        let made = canonical(Archive { header: header(), entries: vec![path(), table()] }).unwrap();
        assert_eq!(made.archive.entries[1], table());
    }

    #[test]
    fn tables_with_oids_are_refused() {
        let mut data = entry(8, "TABLE DATA", "t", "", &[7]);
        data.copy = Some("COPY t (id) WITH OIDS FROM stdin;\n".into());
        let refused = canonical(Archive { header: header(), entries: vec![data] }).unwrap_err();
        assert_eq!(refused.code(), Code::UnsupportedDatabase);
    }
}
