//! Character sets and collations that the target does not know: replaced by what compares in nearly the same way, or refused.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::catalog::Catalog;
use super::connect::Session;

/// Replaces in catalogs what the target does not know.
///
/// # Errors
/// `UnsupportedDatabase` for what nothing there comes near.
pub(super) async fn adapt(session: &mut Session, catalogs: &mut [Catalog]) -> Result<Vec<Warning>> {
    // All columns: MariaDB has short names in one and full names in another.
    let sql = "SELECT * FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY";
    let known: HashSet<String> =
        session.query(sql, "listing the collations").await?.into_iter().flatten().flatten().collect();
    replace_unknown(catalogs, &known)
}

fn replace_unknown(catalogs: &mut [Catalog], known: &HashSet<String>) -> Result<Vec<Warning>> {
    let mut used: BTreeSet<String> = catalogs.iter().flat_map(|c| [c.charset.clone(), c.collation.clone()]).collect();
    for object in catalogs.iter().flat_map(|c| &c.objects) {
        used.extend(names(&object.sql).map(|(start, end)| object.sql[start..end].to_owned()));
        if let Some(settings) = &object.session {
            used.extend([settings.charset.clone(), settings.collation.clone()]);
            used.extend(settings.database_collation.clone());
        }
    }
    let mut instead = BTreeMap::new();
    for name in used.into_iter().filter(|name| !name.is_empty() && name != "binary" && !known.contains(name)) {
        let Some(near) = near(&name).into_iter().find(|near| known.contains(near)) else {
            return Err(Error::new(Code::UnsupportedDatabase, format!("the target does not know `{name}`"))
                .next("restore into a newer server, or into one of the kind that the backup is of"));
        };
        instead.insert(name, near);
    }
    let mapped = |name: &str| instead.get(name).cloned().unwrap_or_else(|| name.to_owned());
    for catalog in catalogs.iter_mut() {
        catalog.charset = mapped(&catalog.charset);
        catalog.collation = mapped(&catalog.collation);
    }
    for object in catalogs.iter_mut().flat_map(|c| &mut c.objects) {
        object.sql = rewritten(&object.sql, &mapped);
        if let Some(settings) = &mut object.session {
            settings.charset = mapped(&settings.charset);
            settings.collation = mapped(&settings.collation);
            settings.database_collation = settings.database_collation.as_deref().map(&mapped);
        }
    }
    // utf8 and utf8mb3 are two names of one thing.
    let other =
        instead.iter().filter(|(from, to)| from.replacen("utf8mb3", "utf8", 1) != to.replacen("utf8mb3", "utf8", 1));
    let told = |(from, to): (&String, &String)| {
        let message = format!(
            "the target does not know {from}: {to} stands in for it, which may sort and compare some letters otherwise"
        );
        Warning::new("other_collation", message)
    };
    Ok(other.map(told).collect())
}

/// What compares nearly as a collation does, the nearest first.
fn near(name: &str) -> Vec<String> {
    let (charset, rest) = name.split_once('_').unwrap_or((name, ""));
    let with = |rest: &str| if rest.is_empty() { charset.to_owned() } else { format!("{charset}_{rest}") };
    let mut near = Vec::new();
    if rest == "0900_bin" {
        near.push(with("bin"));
    } else if let Some(kind) = rest.strip_prefix("0900_") {
        near.push(with(&format!("uca1400_{kind}")));
    } else if let Some(kind) = rest.strip_prefix("uca1400_") {
        near.push(with(&format!("0900_{kind}")));
    } else if let Some((_, kind)) = rest.split_once("_0900_") {
        near.push(with(&format!("uca1400_{kind}")));
    }
    if rest.contains("0900") || rest.contains("uca1400") {
        if rest.ends_with("_cs") {
            near.push(with("bin"));
        } else {
            near.extend([with("unicode_520_ci"), with("unicode_ci")]);
        }
    }
    match charset {
        "utf8mb3" => near.push(name.replacen("utf8mb3", "utf8", 1)),
        "utf8" => near.push(name.replacen("utf8", "utf8mb3", 1)),
        _ => {}
    }
    near
}

/// Where a statement names character sets and collations.
fn names(sql: &str) -> impl Iterator<Item = (usize, usize)> {
    const BEFORE: [&str; 5] = ["COLLATE ", "COLLATE=", "CHARSET=", "CHARACTER SET ", "collate "];
    let starts =
        BEFORE.into_iter().flat_map(move |before| sql.match_indices(before).map(move |(at, _)| at + before.len()));
    starts.filter_map(move |start| {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let end = sql[start..].find(|c| !word(c)).map_or(sql.len(), |length| start + length);
        (end > start).then_some((start, end))
    })
}

fn rewritten(sql: &str, mapped: &dyn Fn(&str) -> String) -> String {
    let mut places: Vec<(usize, usize)> = names(sql).collect();
    places.sort_unstable();
    let mut text = String::with_capacity(sql.len());
    let mut done = 0;
    for (start, end) in places {
        text.push_str(&sql[done..start]);
        text.push_str(&mapped(&sql[start..end]));
        done = end;
    }
    text + &sql[done..]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::slice;

    use super::super::catalog::{Kind, Object};
    use super::*;

    fn catalog(sql: &str) -> Catalog {
        Catalog {
            charset: "utf8mb4".into(),
            collation: "utf8mb4_0900_ai_ci".into(),
            objects: vec![Object::new(Kind::Table, "t".into(), sql.into())],
            ..Catalog::default()
        }
    }

    fn known(names: &[&str]) -> HashSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn collations_of_mysql_8_become_the_nearest_ones() {
        let sql = "CREATE TABLE `t` (\n  `a` text COLLATE utf8mb4_0900_bin\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci COMMENT='utf8mb4_0900_ai_ci'";
        let mut catalog = catalog(sql);
        let known = known(&["utf8mb4", "utf8mb4_bin", "utf8mb4_unicode_520_ci", "utf8mb4_uca1400_ai_ci"]);
        let warnings = replace_unknown(slice::from_mut(&mut catalog), &known).unwrap();
        assert_eq!(catalog.collation, "utf8mb4_uca1400_ai_ci");
        assert_eq!(
            catalog.objects[0].sql,
            "CREATE TABLE `t` (\n  `a` text COLLATE utf8mb4_bin\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_ai_ci COMMENT='utf8mb4_0900_ai_ci'"
        );
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn what_nothing_comes_near_is_refused_and_names_of_one_thing_are_not_told() {
        let sql = "CREATE TABLE `t` (\n  `a` text CHARACTER SET gb18030 COLLATE gb18030_chinese_ci\n)";
        let refused = replace_unknown(&mut [catalog(sql)], &known(&["utf8mb4", "utf8mb4_unicode_ci"])).unwrap_err();
        assert_eq!(refused.code(), Code::UnsupportedDatabase);
        let mut old = catalog("CREATE TABLE `t` (\n  `a` text CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci\n)");
        old.collation = "utf8mb4_bin".into();
        assert_eq!(
            replace_unknown(slice::from_mut(&mut old), &known(&["utf8mb4", "utf8mb4_bin", "utf8", "utf8_general_ci"]))
                .unwrap(),
            []
        );
        assert!(old.objects[0].sql.contains("CHARACTER SET utf8 COLLATE utf8_general_ci"));
    }
}
