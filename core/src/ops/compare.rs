//! Compares a restored database with what was backed up, and runs the caller's queries on it.

use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::progress::{Phase, Run};
use crate::report::TableSummary;

/// What is not as it was: counts and hashes that differ, queries that fail or say no. Nothing, if all is well.
///
/// # Errors
/// The database could not be asked; that says nothing about its content.
pub(super) async fn differences(
    engine: &dyn Engine,
    tables: &[TableSummary],
    queries: &[String],
    jobs: usize,
    run: &Run,
) -> Result<Vec<String>> {
    run.begin(Phase::Comparing, None);
    let found = run.until_cancelled(engine.summarize(tables, jobs)).await?;
    let mut problems = compare(tables, &found);
    for query in queries {
        match run.until_cancelled(engine.smoke(query)).await {
            Ok(true) => {}
            Ok(false) => problems.push(format!("the query `{query}` said no")),
            Err(e) if e.code() == Code::DatabaseError => {
                problems.push(format!("the query `{query}` failed: {}", e.message()))
            }
            Err(e) => return Err(e),
        }
    }
    run.end();
    Ok(problems)
}

/// The first of these differences, and how many more there are.
pub(super) fn first_of(problems: &[String]) -> Option<String> {
    let first = problems.first()?;
    let more = if problems.len() > 1 { format!(" (and {} more)", problems.len() - 1) } else { String::new() };
    Some(format!("{first}{more}"))
}

/// What differs between what was backed up and what was restored.
fn compare(expected: &[TableSummary], found: &[TableSummary]) -> Vec<String> {
    let mut problems = Vec::new();
    for table in expected {
        match found.iter().find(|f| f.name == table.name) {
            None => problems.push(format!("table {} is missing", table.name)),
            Some(f) if f.rows != table.rows => {
                problems.push(format!("table {} has {} rows instead of {}", table.name, f.rows, table.rows))
            }
            Some(f) if f.hash != table.hash => problems.push(format!("table {} has other content", table.name)),
            Some(_) => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_found() {
        let table =
            |name: &str, rows, hash: &str| TableSummary { name: name.into(), columns: vec![], rows, hash: hash.into() };
        let expected = [table("a", 1, "x"), table("b", 2, "y"), table("c", 3, "z"), table("d", 4, "w")];
        let found = [table("d", 4, "w"), table("b", 1, "y"), table("a", 1, "other")];
        let problems = compare(&expected, &found);
        assert_eq!(problems, ["table a has other content", "table b has 1 rows instead of 2", "table c is missing"]);
    }
}
