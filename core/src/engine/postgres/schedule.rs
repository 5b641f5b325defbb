//! In which order statements run on several connections at once.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::archive::{Entry, Section};

/// A statement that waits for its turn. Statements are numbered by their place in the list they were given in.
#[derive(Debug)]
struct Job {
    /// Entries that it needs, done or not.
    needs: HashSet<i32>,
    /// Entries of tables that nobody else may use while it runs.
    locks: Vec<i32>,
    /// Statements that it still waits for.
    waits_for: usize,
    /// Statements that wait for it.
    awaited_by: Vec<usize>,
    /// The more, the sooner it runs.
    weight: u64,
}

/// Hands out statements whose dependencies are done, the heaviest first, and none that would wait for another's lock.
#[derive(Debug)]
pub(super) struct Schedule {
    jobs: Vec<Job>,
    ready: BTreeSet<(Reverse<u64>, usize)>,
    running: HashSet<usize>,
    left: usize,
}

impl Schedule {
    /// Schedules `chosen` of the archive's entries; all others count as done. `weights` are the bytes of each table's
    /// data, by the number of its entry.
    pub(super) fn new(entries: &[Entry], chosen: &[usize], weights: &HashMap<i32, u64>) -> Self {
        let tables: HashSet<i32> =
            entries.iter().filter(|e| matches!(e.desc.as_str(), "TABLE" | "TABLE DATA")).map(|e| e.dump_id).collect();
        let job_of: HashMap<i32, usize> =
            chosen.iter().enumerate().map(|(job, &index)| (entries[index].dump_id, job)).collect();
        let trees = Trees::new(entries, &tables);
        let mut jobs: Vec<Job> = chosen
            .iter()
            .map(|&index| {
                let entry = &entries[index];
                let mut needs: HashSet<i32> = entry.dependencies.iter().copied().collect();
                let weight = needs.iter().filter_map(|id| weights.get(id)).max().copied().unwrap_or(0);
                let attached = if entry.desc == "INDEX ATTACH" { trees.of(entry) } else { Vec::new() };
                needs.extend(&attached);
                // Everything after the data but a plain index alters the tables it depends on.
                let exclusive = entry.section == Section::PostData && entry.desc != "INDEX";
                let locked = |id: &i32| exclusive && (tables.contains(id) || *id == ATTACHING);
                let locks = needs.iter().copied().filter(locked).collect();
                Job { needs, locks, waits_for: 0, awaited_by: Vec::new(), weight }
            })
            .collect();
        for job in 0..jobs.len() {
            let waits_for: Vec<usize> =
                jobs[job].needs.iter().filter_map(|id| job_of.get(id)).copied().filter(|&other| other != job).collect();
            jobs[job].waits_for = waits_for.len();
            for other in waits_for {
                jobs[other].awaited_by.push(job);
            }
        }
        let mut schedule = Self { left: jobs.len(), jobs, ready: BTreeSet::new(), running: HashSet::new() };
        for job in 0..schedule.jobs.len() {
            if schedule.jobs[job].waits_for == 0 {
                schedule.ready.insert((Reverse(schedule.jobs[job].weight), job));
            }
        }
        schedule
    }

    /// The next statement to run beside those that are running; none if one of them has to end first, or at the end.
    pub(super) fn start(&mut self) -> Option<usize> {
        if self.ready.is_empty() && self.running.is_empty() && self.left > 0 {
            // A loop of dependencies, which a sound archive does not have: go on in the archive's order.
            let next = (0..self.jobs.len()).find(|&job| self.jobs[job].waits_for > 0)?;
            self.jobs[next].waits_for = 0;
            self.ready.insert((Reverse(self.jobs[next].weight), next));
        }
        let conflict = |a: &Job, b: &Job| a.locks.iter().any(|id| b.needs.contains(id));
        let free = |job: usize| {
            let job = &self.jobs[job];
            !self.running.iter().any(|&other| conflict(job, &self.jobs[other]) || conflict(&self.jobs[other], job))
        };
        let next = self.ready.iter().copied().find(|&(_, job)| free(job))?;
        self.ready.remove(&next);
        self.running.insert(next.1);
        Some(next.1)
    }

    /// A statement has ended; what waited for it may run.
    pub(super) fn finished(&mut self, job: usize) {
        self.running.remove(&job);
        self.left -= 1;
        for next in std::mem::take(&mut self.jobs[job].awaited_by) {
            let waiting = &mut self.jobs[next];
            // 0 already if a loop was broken there.
            if waiting.waits_for > 0 {
                waiting.waits_for -= 1;
                if waiting.waits_for == 0 {
                    self.ready.insert((Reverse(waiting.weight), next));
                }
            }
        }
    }

    /// Whether all statements have ended.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }
}

/// Stands for the right to attach an index, which one statement has at a time: it may complete the indexes above.
const ATTACHING: i32 = 0;

/// Tables with their partitions, and indexes with their tables.
struct Trees {
    parents: HashMap<i32, i32>,
    tables: HashMap<i32, Vec<i32>>,
}

impl Trees {
    fn new(entries: &[Entry], tables: &HashSet<i32>) -> Self {
        let mut trees = Self { parents: HashMap::new(), tables: HashMap::new() };
        let attaches: Vec<&Entry> = entries.iter().filter(|e| e.desc == "TABLE ATTACH").collect();
        if attaches.is_empty() {
            return trees;
        }
        let ids = entries.iter().filter(|e| e.desc == "TABLE").map(|e| ((&e.namespace, &e.tag), e.dump_id));
        let ids: HashMap<_, _> = ids.collect();
        for entry in attaches {
            let Some(&child) = ids.get(&(&entry.namespace, &entry.tag)) else { continue };
            let parent = entry.dependencies.iter().find(|id| **id != child && tables.contains(id));
            trees.parents.extend(parent.map(|parent| (child, *parent)));
        }
        for entry in entries.iter().filter(|e| matches!(e.desc.as_str(), "INDEX" | "CONSTRAINT")) {
            let of = entry.dependencies.iter().copied().filter(|id| tables.contains(id)).collect();
            trees.tables.insert(entry.dump_id, of);
        }
        trees
    }

    /// What attaching this index locks: the tables of both indexes, and those above them.
    fn of(&self, attach: &Entry) -> Vec<i32> {
        let mut locked = vec![ATTACHING];
        for table in attach.dependencies.iter().filter_map(|id| self.tables.get(id)).flatten() {
            let mut at = Some(*table);
            while let Some(table) = at.filter(|table| !locked.contains(table)) {
                locked.push(table);
                at = self.parents.get(&table).copied();
            }
        }
        locked
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn entry(dump_id: i32, desc: &str, section: Section, dependencies: &[i32]) -> Entry {
        Entry { dump_id, desc: desc.into(), section, dependencies: dependencies.to_vec(), ..Entry::default() }
    }

    fn archive() -> Vec<Entry> {
        use Section::{PostData, PreData};
        vec![
            entry(1, "TABLE", PreData, &[]),
            entry(2, "TABLE", PreData, &[]),
            entry(3, "CONSTRAINT", PostData, &[1]),
            entry(4, "CONSTRAINT", PostData, &[2]),
            entry(5, "INDEX", PostData, &[2]),
            entry(6, "FK CONSTRAINT", PostData, &[1, 2, 4]),
            entry(7, "INDEX", PostData, &[2]),
        ]
    }

    #[test]
    fn the_heaviest_runs_first_and_locks_do_not_meet() {
        let entries = archive();
        let mut schedule = Schedule::new(&entries, &[2, 3, 4, 5, 6], &HashMap::from([(2, 100), (1, 5)]));
        // 4 locks table 2, so its indexes have to wait; 3 is of another table.
        assert_eq!((schedule.start(), schedule.start(), schedule.start()), (Some(1), Some(0), None));
        schedule.finished(1);
        // Two indexes of one table run together; the foreign key waits for the end of all.
        assert_eq!((schedule.start(), schedule.start(), schedule.start()), (Some(2), Some(4), None));
        schedule.finished(0);
        schedule.finished(2);
        assert_eq!(schedule.start(), None);
        schedule.finished(4);
        assert_eq!(schedule.start(), Some(3));
        assert!(!schedule.is_done());
        schedule.finished(3);
        assert!(schedule.is_done());
        assert_eq!(schedule.start(), None);
    }

    #[test]
    fn indexes_of_one_tree_are_attached_one_after_the_other() {
        use Section::{PostData, PreData};
        let named = |tag: &str, entry: Entry| Entry { tag: tag.into(), ..entry };
        let entries = [
            named("root", entry(1, "TABLE", PreData, &[])),
            named("part", entry(2, "TABLE", PreData, &[])),
            named("part", entry(3, "TABLE ATTACH", PreData, &[1, 2])),
            entry(4, "INDEX", PostData, &[1]),
            entry(5, "INDEX", PostData, &[2]),
            entry(6, "INDEX", PostData, &[2]),
            entry(7, "INDEX ATTACH", PostData, &[4, 5]),
            entry(8, "INDEX ATTACH", PostData, &[4, 6]),
            entry(9, "FK CONSTRAINT", PostData, &[1]),
        ];
        let mut schedule = Schedule::new(&entries, &[6, 7, 8], &HashMap::new());
        assert_eq!((schedule.start(), schedule.start()), (Some(0), None));
        schedule.finished(0);
        assert_eq!((schedule.start(), schedule.start()), (Some(1), None));
        schedule.finished(1);
        assert_eq!(schedule.start(), Some(2));
    }

    #[test]
    fn a_loop_is_broken_in_the_order_of_the_archive() {
        let entries = [entry(1, "VIEW", Section::PostData, &[2]), entry(2, "RULE", Section::PostData, &[1])];
        let mut schedule = Schedule::new(&entries, &[0, 1], &HashMap::new());
        assert_eq!(schedule.start(), Some(0));
        schedule.finished(0);
        assert_eq!(schedule.start(), Some(1));
        schedule.finished(1);
        assert!(schedule.is_done());
    }
}
