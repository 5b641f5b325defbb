#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

/// A graph under construction; nodes are called by name.
#[derive(Default)]
struct Graph(Vec<Node>);

impl Graph {
    fn add(&mut self, kind: Kind, name: &str) -> usize {
        self.0.push(Node::new(kind, Some("public"), name));
        self.0.len() - 1
    }

    fn part(&mut self, kind: Kind, name: &str, of: usize) -> usize {
        let part = self.add(kind, name);
        self.0[part].part_of = Some(of);
        self.need(of, part);
        self.need(part, of);
        part
    }

    fn need(&mut self, node: usize, needed: usize) {
        self.0[node].needs.push(needed);
    }

    fn sorted(&mut self) -> Vec<&str> {
        let order = sort(&mut self.0).unwrap();
        order.into_iter().map(|n| self.0[n].name.as_str()).collect()
    }
}

#[test]
fn kinds_come_in_order_and_names_within_a_kind() {
    let mut graph = Graph::default();
    for (kind, name) in [
        (Kind::Refresh, "refresh"),
        (Kind::Table, "b"),
        (Kind::View, "a"),
        (Kind::Index, "index"),
        (Kind::TableData, "data"),
        (Kind::Function, "f"),
        (Kind::Schema, "public"),
    ] {
        graph.add(kind, name);
    }
    assert_eq!(graph.sorted(), ["public", "f", "a", "b", "data", "index", "refresh"]);
}

#[test]
fn what_is_needed_moves_forward_and_nothing_else_moves() {
    let mut graph = Graph::default();
    let function = graph.add(Kind::Function, "f");
    graph.add(Kind::Function, "g");
    graph.add(Kind::Table, "a");
    let needed = graph.add(Kind::Table, "z");
    graph.need(function, needed);
    assert_eq!(graph.sorted(), ["z", "f", "g", "a"]);
}

#[test]
fn a_views_rule_is_part_of_it_and_brings_what_it_selects_from() {
    let mut graph = Graph::default();
    let view = graph.add(Kind::View, "a view");
    let rule = graph.part(Kind::ViewRule, "_RETURN", view);
    let table = graph.add(Kind::Table, "table");
    graph.need(rule, table);
    let order = graph.sorted();
    assert_eq!(order, ["table", "_RETURN", "a view"]);
    assert!(!graph.0[rule].separate && !graph.0[view].placeholder);
}

#[test]
fn a_view_that_needs_itself_starts_as_a_placeholder() {
    let mut graph = Graph::default();
    let view = graph.add(Kind::View, "view");
    let rule = graph.part(Kind::ViewRule, "_RETURN", view);
    let row_type = graph.add(Kind::ImplicitType, "view");
    let function = graph.add(Kind::Function, "f");
    graph.need(row_type, view);
    graph.need(function, row_type);
    graph.need(rule, function);
    assert_eq!(graph.sorted(), ["view", "view", "f", "_RETURN"]);
    assert!(graph.0[rule].separate && graph.0[view].placeholder);
}

#[test]
fn checks_and_defaults_are_inside_unless_what_they_use_needs_the_table() {
    for (kind, whole_kind) in
        [(Kind::Check, Kind::Table), (Kind::Default, Kind::Table), (Kind::DomainCheck, Kind::Domain)]
    {
        let mut graph = Graph::default();
        let whole = graph.add(whole_kind, "whole");
        let inside = graph.part(kind, "inside", whole);
        let apart = graph.part(kind, "apart", whole);
        let function = graph.add(Kind::Function, "f");
        graph.need(apart, function);
        graph.need(function, whole);
        let order = graph.sorted();
        let at = |name| order.iter().position(|&n| n == name).unwrap();
        assert!(at("inside") < at("whole") && at("whole") < at("f") && at("f") < at("apart"), "{kind:?}: {order:?}");
        assert!(!graph.0[inside].separate && graph.0[apart].separate);
    }
}

#[test]
fn a_check_that_became_separate_comes_after_the_data() {
    let mut graph = Graph::default();
    let table = graph.add(Kind::Table, "table");
    let check = graph.part(Kind::Check, "check", table);
    let function = graph.add(Kind::Function, "f");
    let data = graph.add(Kind::TableData, "data");
    graph.need(data, table);
    graph.need(check, function);
    graph.need(function, table);
    assert_eq!(graph.sorted(), ["table", "f", "data", "check"]);
}

#[test]
fn a_type_and_its_functions_begin_with_its_shell() {
    let mut graph = Graph::default();
    let base = graph.add(Kind::Type, "base");
    let shell = graph.add(Kind::ShellType, "shell");
    graph.0[shell].part_of = Some(base);
    graph.need(base, shell);
    let input = graph.add(Kind::Function, "input");
    graph.need(base, input);
    graph.need(input, base);
    assert_eq!(graph.sorted(), ["shell", "input", "base"]);
    assert!(graph.0[shell].separate);
}

#[test]
fn what_needs_a_key_is_postponed_behind_the_data() {
    for kind in [Kind::MaterializedView, Kind::Function] {
        let mut graph = Graph::default();
        let table = graph.add(Kind::Table, "table");
        let key = graph.add(Kind::Constraint, "key");
        let grouped = graph.add(kind, "grouped");
        graph.need(key, table);
        graph.need(grouped, key);
        let data = graph.add(Kind::TableData, "data");
        graph.need(data, table);
        assert_eq!(graph.sorted(), ["table", "data", "key", "grouped"]);
        assert!(graph.0[grouped].postponed);
    }
}

#[test]
fn a_view_that_needs_a_key_is_completed_behind_the_data() {
    let mut graph = Graph::default();
    let table = graph.add(Kind::Table, "table");
    let key = graph.add(Kind::Constraint, "key");
    let view = graph.add(Kind::View, "view");
    let rule = graph.part(Kind::ViewRule, "_RETURN", view);
    graph.need(key, table);
    graph.need(rule, key);
    assert_eq!(graph.sorted(), ["table", "view", "key", "_RETURN"]);
}

#[test]
fn data_that_needs_data_in_a_circle_still_gets_an_order() {
    let mut graph = Graph::default();
    let a = graph.add(Kind::TableData, "a");
    let b = graph.add(Kind::TableData, "b");
    let c = graph.add(Kind::TableData, "c");
    graph.need(a, b);
    graph.need(b, c);
    graph.need(c, a);
    assert_eq!(graph.sorted().len(), 3);
}

#[test]
fn fifty_thousand_nodes_do_not_take_long_or_overflow_the_stack() {
    let mut graph = Graph::default();
    let mut last = graph.add(Kind::View, "v");
    for i in 0..25_000 {
        let view = graph.add(Kind::View, &format!("v{i}"));
        let rule = graph.part(Kind::ViewRule, "_RETURN", view);
        graph.need(rule, last);
        last = view;
    }
    assert_eq!(graph.sorted().len(), 50_001);
}

const KINDS: &[Kind] = &[
    Kind::Schema,
    Kind::Type,
    Kind::Function,
    Kind::Table,
    Kind::View,
    Kind::MaterializedView,
    Kind::ViewRule,
    Kind::Check,
    Kind::Default,
    Kind::TableData,
    Kind::Constraint,
    Kind::Index,
    Kind::Trigger,
];

proptest! {
    #[test]
    fn any_graph_gets_an_order_in_which_all_that_is_still_needed_comes_first(
        kinds in proptest::collection::vec(0..KINDS.len(), 1..40),
        edges in proptest::collection::vec((0..40_usize, 0..40_usize, any::<bool>()), 0..120),
    ) {
        let mut graph = Graph::default();
        for (i, kind) in kinds.iter().enumerate() {
            graph.add(KINDS[*kind], &format!("n{i}"));
        }
        let count = kinds.len();
        for (from, to, part) in edges {
            let (from, to) = (from % count, to % count);
            graph.need(from, to);
            if part {
                graph.0[from].part_of = Some(to);
            }
        }
        let order = sort(&mut graph.0).unwrap();
        let mut place = vec![usize::MAX; count];
        for (at, &node) in order.iter().enumerate() {
            prop_assert_eq!(place[node], usize::MAX);
            place[node] = at;
        }
        prop_assert_eq!(order.len(), count);
        for (node, at) in place.iter().enumerate() {
            for &needed in &graph.0[node].needs {
                prop_assert!(place[needed] < *at, "{} before {}", node, needed);
            }
        }
    }
}
