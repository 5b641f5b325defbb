//! Into which ranges of its primary key a table is cut.

use crate::error::Result;

use super::catalog::tables::{KeyColumn, KeyKind, TableData};
use super::connect::Session;
use super::quote::{ident, literal, qualified};

/// More parts than this are not made of one table.
const MAX_PARTS: u64 = 100_000;

/// The rows of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    /// Which rows; none for all of them.
    pub(super) condition: Option<String>,
    /// Raw bytes, about.
    pub(super) bytes: u64,
}

/// Cuts a table into parts of about so many bytes each, in the order of its primary key.
///
/// Ranges have no end at both ends: together they hold every row, also those that came since the borders were taken.
pub(super) async fn ranges(
    session: &mut Session,
    database: &str,
    table: &TableData,
    part_bytes: u64,
) -> Result<Vec<Range>> {
    let whole = vec![Range { condition: None, bytes: table.bytes }];
    let parts = (table.bytes / part_bytes.max(1)).min(MAX_PARTS);
    // Old versions of rows are found in no order.
    if parts < 2 || table.rows < 2 || table.history {
        return Ok(whole);
    }
    let borders = match table.key.as_slice() {
        [] => return Ok(whole),
        [key] if key.kind == KeyKind::Integer => integers(session, database, table, key, parts).await?,
        keys if keys.iter().all(|k| k.kind != KeyKind::Other) => rows(session, database, table, parts).await?,
        _ => return Ok(whole),
    };
    let bytes = table.bytes / (borders.len() as u64 + 1);
    let mut ranges = Vec::with_capacity(borders.len() + 1);
    for index in 0..=borders.len() {
        let from = index.checked_sub(1).and_then(|i| borders.get(i)).map(|b| at_least(&table.key, b));
        let below = borders.get(index).map(|b| before(&table.key, b));
        let condition = [from, below].into_iter().flatten().collect::<Vec<_>>();
        let condition = (!condition.is_empty()).then(|| condition.join(" AND "));
        ranges.push(Range { condition, bytes });
    }
    Ok(ranges)
}

/// Borders at multiples of a power of two, so that a table that grows from night to night keeps them.
async fn integers(
    session: &mut Session,
    database: &str,
    table: &TableData,
    key: &KeyColumn,
    parts: u64,
) -> Result<Vec<Vec<String>>> {
    let name = ident(&key.name);
    let sql = format!("SELECT MIN({name}), MAX({name}) FROM {}", qualified(database, &table.name));
    let row = session.query(&sql, &format!("planning the parts of {}", table.name)).await?.into_iter().next();
    let number = |i: usize| row.as_ref()?.get(i)?.as_ref()?.parse::<i128>().ok();
    let (Some(first), Some(last)) = (number(0), number(1)) else { return Ok(Vec::new()) };
    Ok(multiples(first, last, parts).into_iter().map(|n| vec![n.to_string()]).collect())
}

/// The multiples of a power of two between two numbers that give at most twice so many pieces.
fn multiples(first: i128, last: i128, parts: u64) -> Vec<i128> {
    let width = (last - first) / i128::from(parts.max(1)) + 1;
    // The next smaller one: rather more parts than larger ones.
    let width = 1_i128 << width.ilog2();
    let mut borders = Vec::new();
    let mut border = (first.div_euclid(width) + 1) * width;
    while border <= last {
        borders.push(border);
        border += width;
    }
    borders
}

/// Borders that lie so many rows apart.
async fn rows(session: &mut Session, database: &str, table: &TableData, parts: u64) -> Result<Vec<Vec<String>>> {
    let keys: Vec<String> = table.key.iter().map(|k| ident(&k.name)).collect();
    let selected: Vec<String> = table
        .key
        .iter()
        .map(|k| if k.kind == KeyKind::Binary { format!("HEX({})", ident(&k.name)) } else { ident(&k.name) })
        .collect();
    let apart = (table.rows / parts).max(1);
    let mut borders: Vec<Vec<String>> = Vec::new();
    while (borders.len() as u64) < MAX_PARTS {
        let from = borders.last().map_or_else(String::new, |b| format!(" WHERE {}", at_least(&table.key, b)));
        let sql = format!(
            "SELECT {} FROM {}{from} ORDER BY {} LIMIT {apart}, 1",
            selected.join(", "),
            qualified(database, &table.name),
            keys.join(", ")
        );
        let row = session.query(&sql, &format!("planning the parts of {}", table.name)).await?.into_iter().next();
        let Some(values) = row.and_then(|row| row.into_iter().collect::<Option<Vec<String>>>()) else { break };
        borders.push(table.key.iter().zip(&values).map(|(key, value)| written(key, value)).collect());
    }
    Ok(borders)
}

/// A key's value as a literal.
fn written(key: &KeyColumn, value: &str) -> String {
    match key.kind {
        KeyKind::Integer => value.to_owned(),
        KeyKind::Binary => format!("x'{value}'"),
        KeyKind::Text | KeyKind::Other => literal(value),
    }
}

/// The rows from a border on. Spelled out: the servers do not use an index for comparisons of tuples.
fn at_least(keys: &[KeyColumn], border: &[String]) -> String {
    compared(keys, border, ">", ">=")
}

/// The rows before a border.
fn before(keys: &[KeyColumn], border: &[String]) -> String {
    compared(keys, border, "<", "<")
}

fn compared(keys: &[KeyColumn], border: &[String], strictly: &str, last: &str) -> String {
    let pairs: Vec<(String, &String)> = keys.iter().map(|k| ident(&k.name)).zip(border).collect();
    let alternatives: Vec<String> = (0..pairs.len())
        .map(|upto| {
            let sign = if upto + 1 == pairs.len() { last } else { strictly };
            let equal = pairs[..upto].iter().map(|(key, value)| format!("{key} = {value}"));
            let (key, value) = &pairs[upto];
            equal.chain([format!("{key} {sign} {value}")]).collect::<Vec<_>>().join(" AND ")
        })
        .collect();
    match alternatives.as_slice() {
        [only] => only.clone(),
        several => format!("({})", several.join(" OR ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, kind: KeyKind) -> KeyColumn {
        KeyColumn { name: name.into(), kind }
    }

    #[test]
    fn borders_stay_where_they_are_when_a_table_grows() {
        let tonight = multiples(1, 1_000_000, 10);
        let tomorrow = multiples(1, 1_020_000, 10);
        assert_eq!(tonight[..], tomorrow[..tonight.len()]);
        assert!(tonight.len() >= 9 && tonight.len() < 20);
        assert_eq!(multiples(5, 5, 10), []);
        assert_eq!(multiples(-10, 10, 4), [-8, -4, 0, 4, 8]);
        assert_eq!(multiples(i128::from(i64::MIN), i128::from(u64::MAX), 2), [0, 1 << 63]);
    }

    #[test]
    fn conditions_meet_at_their_borders() {
        let one = [key("id", KeyKind::Integer)];
        assert_eq!(at_least(&one, &["8".into()]), "`id` >= 8");
        assert_eq!(before(&one, &["8".into()]), "`id` < 8");
        let two = [key("a", KeyKind::Text), key("b", KeyKind::Integer)];
        let border = ["'x'".to_owned(), "7".to_owned()];
        assert_eq!(at_least(&two, &border), "(`a` > 'x' OR `a` = 'x' AND `b` >= 7)");
        assert_eq!(before(&two, &border), "(`a` < 'x' OR `a` = 'x' AND `b` < 7)");
    }
}
