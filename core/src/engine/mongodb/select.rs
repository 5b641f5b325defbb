//! What of a deployment is dumped or restored: databases stand for schemas, collections for tables.

use crate::error::{Code, Error, Result};
use crate::selection::Selection;

/// A selection whose patterns were understood.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    selection: &'a Selection,
}

/// What is taken of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) definition: bool,
    pub(super) documents: bool,
}

impl<'a> Scope<'a> {
    pub(super) fn new(selection: &'a Selection) -> Result<Self> {
        selection.check()?;
        Ok(Self { selection })
    }

    /// What of this collection is taken; none if nothing.
    pub(super) fn takes(&self, database: &str, collection: &str) -> Option<Taken> {
        let s = self.selection;
        let of_table = |pattern: &String| is_of(pattern, database, collection);
        let of_schema = |pattern: &String| fits(pattern, database);
        let named = !s.names_some() || s.schemas.iter().any(of_schema) || s.tables.iter().any(of_table);
        let excluded = s.exclude_schemas.iter().any(of_schema) || s.exclude_tables.iter().any(of_table);
        if !named || excluded {
            return None;
        }
        let documents = !s.schema_only && !s.exclude_data.iter().any(of_table);
        Some(Taken { definition: !s.data_only, documents })
    }

    /// Refuses patterns that are to take something and fit nothing.
    ///
    /// # Errors
    /// `NothingSelected`.
    pub(super) fn check_all_fit<'n>(&self, names: impl Iterator<Item = (&'n str, &'n str)> + Clone) -> Result<()> {
        let nothing = |what: &str, pattern: &str| {
            let mut some: Vec<String> = names.clone().map(|(d, c)| format!("{d}.{c}")).collect();
            some.truncate(5);
            Error::new(Code::NothingSelected, format!("no {what} fits `{pattern}`"))
                .next(format!("give a name or a pattern of what there is: {}", some.join(", ")))
        };
        for pattern in &self.selection.schemas {
            if !names.clone().any(|(database, _)| fits(pattern, database)) {
                return Err(nothing("database", pattern));
            }
        }
        for pattern in &self.selection.tables {
            if !names.clone().any(|(database, collection)| is_of(pattern, database, collection)) {
                return Err(nothing("collection", pattern));
            }
        }
        Ok(())
    }
}

/// Whether a pattern is for this collection. Names of collections may hold points, so both readings are tried.
fn is_of(pattern: &str, database: &str, collection: &str) -> bool {
    fits(pattern, collection) || fits(pattern, &format!("{database}.{collection}"))
}

/// `*` is any characters, `?` one; what stands between double quotes is itself. Names differ by case.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = Vec::new();
    let mut quoted = false;
    for c in pattern.chars() {
        match c {
            '"' => quoted = !quoted,
            '*' if !quoted => pieces.push(None),
            '?' if !quoted => pieces.push(Some(None)),
            c => pieces.push(Some(Some(c))),
        }
    }
    let name: Vec<char> = name.chars().collect();
    // Which beginnings of the name fit the pieces so far.
    let mut fit = vec![false; name.len() + 1];
    fit[0] = true;
    for piece in pieces {
        match piece {
            None => {
                for i in 1..fit.len() {
                    fit[i] |= fit[i - 1];
                }
            }
            Some(wanted) => {
                for i in (1..fit.len()).rev() {
                    fit[i] = fit[i - 1] && wanted.is_none_or(|c| c == name[i - 1]);
                }
                fit[0] = false;
            }
        }
    }
    fit[name.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn patterns_fit_names_with_points() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("Orders", "orders", false),
            ("fs.*", "fs.files", true),
            ("*s", "orders", true),
            ("*", "", true),
            ("o?ders", "orders", true),
            ("\"a*\"", "a*", true),
            ("\"a*\"", "ab", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_excluded_is_left_out() {
        let selection = Selection {
            tables: vec!["shop.*".into()],
            exclude_tables: vec!["*.tmp*".into()],
            exclude_data: vec!["log".into()],
            ..Selection::default()
        };
        let scope = Scope::new(&selection).unwrap();
        let whole = Some(Taken { definition: true, documents: true });
        assert_eq!(scope.takes("shop", "orders"), whole);
        assert_eq!(scope.takes("other", "orders"), None);
        assert_eq!(scope.takes("shop", "x.tmp1"), None);
        assert_eq!(scope.takes("shop", "log"), Some(Taken { definition: true, documents: false }));
        assert!(scope.check_all_fit([("shop", "a")].into_iter()).is_ok());
        assert_eq!(scope.check_all_fit([("x", "a")].into_iter()).unwrap_err().code(), Code::NothingSelected);
    }
}
