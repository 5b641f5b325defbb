//! The order in which objects are restored: by kind and name, unless a dependency says otherwise.
//!
//! A pure function over a graph. Objects are first ranked by kind, schema and name, so that equal databases give
//! equal dumps; then the ranking is changed as little as the dependencies demand. PostgreSQL's dependencies have
//! loops of a few known shapes; each is broken by creating one of its objects in two steps.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::error::{Code, Error, Result};

mod tangle;

/// What an object is, as far as ordering cares. The variants stand in order of restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Schema,
    Language,
    Collation,
    Transform,
    Extension,
    Type,
    Domain,
    /// Stands in for a base or range type while its support functions are created.
    ShellType,
    Cast,
    Function,
    Aggregate,
    AccessMethod,
    Operator,
    OperatorClass,
    OperatorFamily,
    Conversion,
    TextSearchParser,
    TextSearchTemplate,
    TextSearchDictionary,
    TextSearchConfiguration,
    ForeignDataWrapper,
    ForeignServer,
    UserMapping,
    /// A table, sequence or foreign table.
    Table,
    View,
    MaterializedView,
    TableAttach,
    /// A type that comes with its table or its element type.
    ImplicitType,
    Default,
    LargeObject,
    PreDataBoundary,
    TableData,
    SequenceValue,
    LargeObjectData,
    PostDataBoundary,
    /// A check of a table; part of the table unless `separate`.
    Check,
    /// A check of a domain; part of the domain unless `separate`.
    DomainCheck,
    /// A PRIMARY KEY, UNIQUE or EXCLUDE constraint.
    Constraint,
    Index,
    IndexAttach,
    Statistics,
    Rule,
    /// What a view selects; part of the view unless `separate`.
    ViewRule,
    Trigger,
    ForeignKey,
    Policy,
    Publication,
    PublicationTable,
    PublicationSchema,
    Subscription,
    DefaultAcl,
    EventTrigger,
    Refresh,
}

impl Kind {
    /// Kinds of one priority are sorted among each other by name.
    fn priority(self) -> u8 {
        let same = match self {
            Self::Domain | Self::ShellType => Self::Type,
            Self::OperatorClass => Self::OperatorFamily,
            Self::View | Self::MaterializedView => Self::Table,
            Self::Check | Self::DomainCheck => Self::Constraint,
            Self::ViewRule => Self::Rule,
            other => other,
        };
        same as u8
    }

    fn is_relation(self) -> bool {
        matches!(self, Self::Table | Self::View | Self::MaterializedView)
    }
}

/// One object and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    /// Tells objects of one kind, schema and name apart: a function's arguments.
    pub(crate) detail: String,
    /// Nodes that must come before this one.
    pub(crate) needs: Vec<usize>,
    /// The object this one is a part of: a check's table, a view's rule's view, a shell type's type.
    pub(crate) part_of: Option<usize>,
    /// Created by a statement of its own. For parts this starts as false and is set where a loop demands it.
    pub(crate) separate: bool,
    /// A view that is first created with its columns only, because its rule became separate.
    pub(crate) placeholder: bool,
    /// A materialized view or function that can only be created after the data.
    pub(crate) postponed: bool,
}

impl Node {
    pub(crate) fn new(kind: Kind, schema: Option<&str>, name: impl Into<String>) -> Self {
        Self {
            kind,
            schema: schema.map(str::to_owned),
            name: name.into(),
            detail: String::new(),
            needs: Vec::new(),
            part_of: None,
            separate: false,
            placeholder: false,
            postponed: false,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.kind
            .priority()
            .cmp(&other.kind.priority())
            .then_with(|| match (&self.schema, &other.schema) {
                (Some(a), Some(b)) => a.cmp(b),
                (a, b) => a.is_none().cmp(&b.is_none()),
            })
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| self.kind.cmp(&other.kind))
            .then_with(|| self.detail.cmp(&other.detail))
    }

    /// Whether it is restored before the data.
    fn is_pre_data(&self) -> bool {
        self.kind < Kind::PreDataBoundary
    }

    /// Whether it is restored after the data.
    fn is_post_data(&self) -> bool {
        match self.kind {
            Kind::Check | Kind::DomainCheck | Kind::ViewRule => self.separate,
            kind => kind > Kind::PostDataBoundary,
        }
    }
}

/// Sorts the nodes into restore order and breaks loops on the way, which changes `needs`, `separate`, `placeholder`
/// and `postponed` of some. Returns the nodes' indexes in order.
///
/// # Errors
/// `Internal`, when the loops do not come to an end.
pub(crate) fn sort(nodes: &mut Vec<Node>) -> Result<Vec<usize>> {
    let count = nodes.len();
    add_boundaries(nodes);
    for (i, node) in nodes.iter_mut().enumerate() {
        node.needs.sort_unstable();
        node.needs.dedup();
        node.needs.retain(|&n| n != i);
    }
    let ranks = ranks(nodes);
    break_pairs(nodes);
    // Each round takes at least one dependency away, so this ends; the bound turns a defect into an error.
    let most = nodes.iter().map(|n| n.needs.len()).sum::<usize>() * 2 + 16;
    for _ in 0..most {
        match topological(nodes, &ranks) {
            Ok(mut order) => {
                nodes.truncate(count);
                for node in nodes.iter_mut() {
                    node.needs.retain(|&n| n < count);
                }
                order.retain(|&n| n < count);
                return Ok(order);
            }
            Err(stuck) => break_loops(nodes, &stuck),
        }
    }
    Err(Error::new(Code::Internal, "the objects' dependencies could not be ordered").next("please report this"))
}

/// Appends the two nodes that keep the sections apart.
fn add_boundaries(nodes: &mut Vec<Node>) {
    let pre = nodes.len();
    let post = pre + 1;
    let mut pre_node = Node::new(Kind::PreDataBoundary, None, "");
    let mut post_node = Node::new(Kind::PostDataBoundary, None, "");
    post_node.needs.push(pre);
    for (i, node) in nodes.iter_mut().enumerate() {
        if node.is_pre_data() {
            pre_node.needs.push(i);
        } else if node.is_post_data() {
            node.needs.push(post);
        } else if node.kind < Kind::PostDataBoundary {
            node.needs.push(pre);
            post_node.needs.push(i);
        }
    }
    nodes.push(pre_node);
    nodes.push(post_node);
}

fn ranks(nodes: &[Node]) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..nodes.len()).collect();
    sorted.sort_by(|&a, &b| nodes[a].compare(&nodes[b]));
    let mut ranks = vec![0; nodes.len()];
    for (rank, node) in sorted.into_iter().enumerate() {
        ranks[node] = rank;
    }
    ranks
}

/// Fills the order from its end with the highest-ranked node that nothing left needs, so that a node moves only
/// when something ranked before it needs it. Fails with the nodes that are on a loop or needed by one.
fn topological(nodes: &[Node], ranks: &[usize]) -> Result<Vec<usize>, Vec<usize>> {
    let mut needed_by = vec![0_usize; nodes.len()];
    for node in nodes {
        for &n in &node.needs {
            needed_by[n] += 1;
        }
    }
    let mut free: BinaryHeap<(usize, usize)> =
        (0..nodes.len()).filter(|&n| needed_by[n] == 0).map(|n| (ranks[n], n)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some((_, node)) = free.pop() {
        order.push(node);
        for &n in &nodes[node].needs {
            needed_by[n] -= 1;
            if needed_by[n] == 0 {
                free.push((ranks[n], n));
            }
        }
    }
    if order.len() == nodes.len() {
        order.reverse();
        Ok(order)
    } else {
        Err((0..nodes.len()).filter(|&n| needed_by[n] > 0).collect())
    }
}

/// Breaks every loop of two nodes that has a known shape; nearly every table, view and type has some.
fn break_pairs(nodes: &mut [Node]) {
    for a in 0..nodes.len() {
        for b in nodes[a].needs.clone() {
            if nodes[b].needs.binary_search(&a).is_ok() {
                break_pair(nodes, a, b);
            }
        }
    }
}

/// Two nodes that need each other. Returns whether the loop is of a known shape, and broken.
fn break_pair(nodes: &mut [Node], a: usize, b: usize) -> bool {
    for (whole, part) in [(a, b), (b, a)] {
        let is_part = nodes[part].part_of == Some(whole);
        match (nodes[whole].kind, nodes[part].kind) {
            // A type and its input, output or canonical function: the function needs only the shell.
            (Kind::Type, Kind::Function) => {
                forget(nodes, part, whole);
                let shell = nodes.iter().position(|n| n.kind == Kind::ShellType && n.part_of == Some(whole));
                if let Some(shell) = shell {
                    need(nodes, part, shell);
                    nodes[shell].separate = true;
                }
                return true;
            }
            // Created as one: the part's own dependencies then come before the whole.
            (Kind::View | Kind::MaterializedView, Kind::ViewRule)
            | (Kind::Domain, Kind::DomainCheck)
            | (_, Kind::Check | Kind::Default)
                if is_part =>
            {
                forget(nodes, part, whole);
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Finds one loop in each tangle of stuck nodes and breaks it.
fn break_loops(nodes: &mut [Node], stuck: &[usize]) {
    for tangle in tangle::tangles(nodes, stuck) {
        let ring = tangle::shortest_loop(nodes, &tangle);
        break_loop(nodes, &ring);
    }
}

/// Breaks one loop, in which each node needs the next and the last needs the first.
fn break_loop(nodes: &mut [Node], ring: &[usize]) {
    if let &[a, b] = ring
        && break_pair(nodes, a, b)
    {
        return;
    }
    let part_in_ring = |nodes: &[Node], kind: Kind, whole: fn(Kind) -> bool| {
        ring.iter().copied().find_map(|part| {
            let node = &nodes[part];
            let parent = node.part_of?;
            let fits = node.kind == kind && !node.separate && ring.contains(&parent) && whole(nodes[parent].kind);
            fits.then_some((parent, part))
        })
    };
    let after_boundary = || {
        let at = ring.iter().position(|&n| nodes[n].kind == Kind::PreDataBoundary)?;
        Some((ring[at], ring[(at + 1) % ring.len()]))
    };
    if let Some((view, rule)) = part_in_ring(nodes, Kind::ViewRule, |k| k == Kind::View) {
        split_off(nodes, view, rule);
        nodes[view].placeholder = true;
        return;
    }
    // Something created before the data needs something created after it: a view that groups by a primary key.
    for kind in [Kind::MaterializedView, Kind::Function] {
        if ring.iter().any(|&n| nodes[n].kind == kind)
            && let Some((boundary, next)) = after_boundary()
        {
            forget(nodes, boundary, next);
            if nodes[next].kind == kind {
                nodes[next].postponed = true;
            }
            return;
        }
    }
    for (kind, whole) in [
        (Kind::Check, Kind::is_relation as fn(Kind) -> bool),
        (Kind::Default, Kind::is_relation),
        (Kind::DomainCheck, |k| k == Kind::Domain),
    ] {
        if let Some((whole, part)) = part_in_ring(nodes, kind, whole) {
            split_off(nodes, whole, part);
            return;
        }
    }
    // No principled way: let the first go without what it needs.
    if let Some(&first) = ring.first() {
        let next = ring.get(1).copied().unwrap_or(first);
        forget(nodes, first, next);
    }
}

/// Gives a part a statement of its own, after the whole.
fn split_off(nodes: &mut [Node], whole: usize, part: usize) {
    forget(nodes, whole, part);
    need(nodes, part, whole);
    nodes[part].separate = true;
    if nodes[part].is_post_data() {
        let post = nodes.len() - 1;
        need(nodes, part, post);
    }
}

fn forget(nodes: &mut [Node], node: usize, needed: usize) {
    nodes[node].needs.retain(|&n| n != needed);
}

fn need(nodes: &mut [Node], node: usize, needed: usize) {
    if let Err(at) = nodes[node].needs.binary_search(&needed) {
        nodes[node].needs.insert(at, needed);
    }
}

#[cfg(test)]
mod tests;
