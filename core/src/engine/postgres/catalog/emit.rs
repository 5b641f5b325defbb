//! From the ordered graph to numbered archive entries.

use std::collections::HashMap;

use crate::engine::postgres::archive::{Entry, Section};
use crate::engine::postgres::order::{self, Kind, Node};
use crate::error::{Code, Error, Result};

use super::TableData;
use super::draft::{Body, Draft, Extra, Settled};

/// Collects entries and gives them their numbers.
struct Emitter {
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    next_id: i32,
    /// The numbers of the nodes that have one.
    ids: Vec<Option<i32>>,
    /// Comments of parts that went into a whole which is yet to come.
    waiting: HashMap<usize, Vec<Extra>>,
}

/// Everything numbered.
pub(super) struct Emitted {
    pub(super) entries: Vec<Entry>,
    pub(super) database: Vec<Entry>,
    pub(super) tables: Vec<TableData>,
}

/// Sorts the graph and writes its entries after `first`, which are the archive's settings.
pub(super) fn emit(
    mut nodes: Vec<Node>,
    bodies: Vec<Body>,
    first: Vec<Draft>,
    database: Vec<Draft>,
    tables: Vec<(usize, TableData)>,
) -> Result<Emitted> {
    let sequence = order::sort(&mut nodes)?;
    let ids = vec![None; nodes.len()];
    let mut emitter = Emitter { nodes, entries: Vec::new(), next_id: 1, ids, waiting: HashMap::new() };
    for draft in first {
        let id = emitter.number()?;
        emitter.push(draft, id, Vec::new())?;
    }
    let mut bodies: Vec<Option<Body>> = bodies.into_iter().map(Some).collect();
    for node in sequence {
        if let Some(body) = bodies[node].take() {
            let settled = body.settle(&emitter.nodes[node], &emitter.nodes);
            emitter.node(node, settled)?;
        }
    }
    let mut tables: Vec<TableData> = tables
        .into_iter()
        .filter_map(|(node, table)| Some(TableData { dump_id: emitter.ids[node]?, ..table }))
        .collect();
    tables.sort_by_key(|t| t.dump_id);
    let entries = std::mem::take(&mut emitter.entries);
    let mut created = None;
    for draft in database {
        let id = emitter.number()?;
        emitter.push(draft, id, created.into_iter().collect())?;
        created = created.or(Some(id));
    }
    Ok(Emitted { entries, database: emitter.entries, tables })
}

impl Emitter {
    fn number(&mut self) -> Result<i32> {
        let id = self.next_id;
        self.next_id =
            id.checked_add(1).ok_or_else(|| Error::new(Code::Internal, "too many objects for an archive"))?;
        Ok(id)
    }

    fn node(&mut self, node: usize, settled: Settled) -> Result<()> {
        match settled {
            Settled::Silent => {}
            Settled::Inside(whole, extras) => self.waiting.entry(whole).or_default().extend(extras),
            Settled::Present(extras) => {
                let id = self.number()?;
                self.ids[node] = Some(id);
                self.extras(extras, id)?;
            }
            Settled::Entry(mut draft) => {
                let id = self.number()?;
                // Data needs its table first of all: pg_restore counts on it. Configuration tables of extensions have
                // their foreign keys already and need each other's data too.
                let needs = if matches!(self.nodes[node].kind, Kind::TableData | Kind::SequenceValue) {
                    self.nodes[node].needs.iter().filter_map(|&n| self.ids[n]).collect()
                } else {
                    self.needs(node)
                };
                self.ids[node] = Some(id);
                draft.extras.extend(self.waiting.remove(&node).unwrap_or_default());
                self.push(*draft, id, needs)?;
            }
        }
        Ok(())
    }

    /// The numbers of all that a node needs, looking through nodes that have none.
    fn needs(&self, node: usize) -> Vec<i32> {
        let mut numbers = Vec::new();
        let mut seen = std::collections::HashSet::from([node]);
        let mut stack: Vec<usize> = self.nodes[node].needs.iter().rev().copied().collect();
        while let Some(needed) = stack.pop() {
            if !seen.insert(needed) {
                continue;
            }
            match self.ids[needed] {
                Some(id) => numbers.push(id),
                None => stack.extend(self.nodes[needed].needs.iter().rev()),
            }
        }
        numbers.sort_unstable();
        numbers
    }

    fn push(&mut self, draft: Draft, id: i32, dependencies: Vec<i32>) -> Result<()> {
        self.entries.push(Entry {
            dump_id: id,
            catalog: draft.catalog,
            oid: draft.oid,
            tag: draft.tag,
            desc: draft.desc.to_owned(),
            section: draft.section,
            defn: draft.defn,
            drop: draft.drop,
            copy: draft.copy,
            namespace: draft.schema,
            tablespace: draft.tablespace,
            table_am: draft.table_am,
            owner: draft.owner,
            dependencies,
            file: None,
        });
        self.extras(draft.extras, id)
    }

    fn extras(&mut self, extras: Vec<Extra>, of: i32) -> Result<()> {
        let mut acl = None;
        for extra in extras {
            let id = self.number()?;
            let mut dependencies = vec![of];
            if extra.after_acl {
                dependencies.extend(acl);
            } else if extra.desc == "ACL" {
                acl = Some(id);
            }
            self.entries.push(Entry {
                dump_id: id,
                catalog: 0,
                oid: 0,
                tag: extra.tag,
                desc: extra.desc.to_owned(),
                section: extra.section,
                defn: extra.defn,
                drop: String::new(),
                copy: None,
                namespace: extra.schema,
                tablespace: None,
                table_am: None,
                owner: extra.owner,
                dependencies,
                file: None,
            });
        }
        Ok(())
    }
}

/// The settings with which an archive begins. pg_restore takes these texts apart: they have to be just so.
pub(super) fn settings(encoding: &str) -> Vec<Draft> {
    let setting = |desc, defn: String| {
        let mut draft = Draft::new(desc, None, desc, "");
        draft.section = Section::PreData;
        draft.sql(defn, "")
    };
    vec![
        setting("ENCODING", format!("SET client_encoding = '{encoding}';\n")),
        setting("STDSTRINGS", "SET standard_conforming_strings = 'on';\n".to_owned()),
        setting("SEARCHPATH", "SELECT pg_catalog.set_config('search_path', '', false);\n".to_owned()),
    ]
}
