//! Finds loops among nodes that could not be ordered.

use std::collections::VecDeque;

use super::Node;

/// The strongly connected components of more than one node among `stuck` (Tarjan's algorithm, without recursion).
pub(super) fn tangles(nodes: &[Node], stuck: &[usize]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut index = vec![NEW; nodes.len()];
    let mut low = vec![0; nodes.len()];
    let mut on_stack = vec![false; nodes.len()];
    let mut stack = Vec::new();
    let mut found = Vec::new();
    let mut next_index = 0;
    for &start in stuck {
        if index[start] != NEW {
            continue;
        }
        let mut path = vec![(start, 0_usize)];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if *edge == 0 {
                index[node] = next_index;
                low[node] = next_index;
                next_index += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(&to) = nodes[node].needs.get(*edge) {
                *edge += 1;
                if index[to] == NEW {
                    path.push((to, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            path.pop();
            if let Some(&(parent, _)) = path.last() {
                low[parent] = low[parent].min(low[node]);
            }
            if low[node] == index[node] {
                let mut component = Vec::new();
                while let Some(member) = stack.pop() {
                    on_stack[member] = false;
                    component.push(member);
                    if member == node {
                        break;
                    }
                }
                if component.len() > 1 {
                    component.sort_unstable();
                    found.push(component);
                }
            }
        }
    }
    found
}

/// The shortest loop through any of the first nodes of a tangle.
pub(super) fn shortest_loop(nodes: &[Node], tangle: &[usize]) -> Vec<usize> {
    // Every node of a tangle is on some loop; a few tries find a short one without searching from everywhere.
    const TRIES: usize = 64;
    tangle
        .iter()
        .take(TRIES)
        .filter_map(|&start| loop_through(nodes, tangle, start))
        .min_by_key(Vec::len)
        .unwrap_or_default()
}

/// The shortest loop through one node, by breadth-first search.
fn loop_through(nodes: &[Node], tangle: &[usize], start: usize) -> Option<Vec<usize>> {
    let mut came_from = vec![None; tangle.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &to in &nodes[node].needs {
            let Ok(at) = tangle.binary_search(&to) else { continue };
            if to == start {
                let mut ring = vec![node];
                let mut back = node;
                while back != start {
                    back = came_from[tangle.binary_search(&back).ok()?]?;
                    ring.push(back);
                }
                ring.reverse();
                return Some(ring);
            }
            if came_from[at].is_none() {
                came_from[at] = Some(node);
                queue.push_back(to);
            }
        }
    }
    None
}
