//! Rows that are read one at a time, because the driver holds a row two or three times while it comes in.
//!
//! These servers do not keep the sizes of values beside them, so asking first would mean to read every value twice. A
//! query leaves large values out instead and marks their rows, at no cost where there are none; marked rows are asked for
//! again.

use crate::engine::turns::LARGE_ROW;

use super::catalog::tables::{Column, Form};
use super::quote::ident;

/// Types whose values have fewer bytes than this make no row large.
const WIDE: u64 = 65_535;

/// Which values of a table are large: for each column the condition, none for columns that cannot hold such a value. None
/// at all if the largest row that the columns allow is not large.
pub(super) fn conditions(columns: &[Column]) -> Option<Vec<Option<String>>> {
    let largest = columns.iter().fold(0, |sum: u64, column| sum.saturating_add(column.most));
    let wide = columns.iter().filter(|column| column.most >= WIDE).count() as u64;
    // A row is large only if one of them has its share.
    let share = LARGE_ROW.checked_div(wide).filter(|_| largest > LARGE_ROW)?;
    let condition = |column: &Column| {
        let (name, size) =
            (ident(&column.name), if column.form == Form::Json { "JSON_STORAGE_SIZE" } else { "LENGTH" });
        (column.most >= WIDE).then(|| format!("{size}({name}) > {share}"))
    };
    Some(columns.iter().map(condition).collect())
}

/// The condition under which a row has a large value.
pub(super) fn any(conditions: &[Option<String>]) -> String {
    conditions.iter().flatten().cloned().collect::<Vec<_>>().join(" OR ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn column(name: &str, most: u64) -> Column {
        Column { name: name.into(), select: ident(name), form: Form::Text, most }
    }

    #[test]
    fn a_row_is_asked_about_only_if_it_can_be_large() {
        assert_eq!(conditions(&[column("id", 0), column("name", 1020)]), None);
        assert_eq!(conditions(&[column("id", 0), column("body", 65_535)]), None);
        let one = conditions(&[column("id", 0), column("photo", u64::from(u32::MAX))]).unwrap();
        assert_eq!(one, [None, Some("LENGTH(`photo`) > 8388608".to_owned())]);
        let many: Vec<Column> = (0..200).map(|i| column(&format!("t{i}"), 65_535)).collect();
        let many = conditions(&many).unwrap();
        assert!(any(&many).starts_with("LENGTH(`t0`) > 41943 OR LENGTH(`t1`) > 41943 OR "));
    }
}
