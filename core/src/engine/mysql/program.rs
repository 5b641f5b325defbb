//! Views, routines, triggers and events as statements: their settings, their definer, and how stock tools take them.

use crate::selection::Mapping;

use super::catalog::{Kind, Object, Settings, account};
use super::quote::literal;
use super::session::Version;

/// The statements that give a session the settings an object was created under.
pub(super) fn settings(object: &Object) -> Vec<String> {
    let Some(Settings { sql_mode, charset, collation, time_zone, .. }) = &object.session else { return Vec::new() };
    // What is not written in UTF-8 by its author is by us, and means the same.
    let charset = if charset.starts_with("utf8") || object.sql.is_ascii() { charset.as_str() } else { "utf8mb4" };
    let mut statements = Vec::new();
    if !charset.is_empty() {
        statements.push(format!("SET SESSION character_set_client = {charset}, character_set_results = {charset}"));
        statements.push(format!("SET SESSION collation_connection = {collation}"));
    }
    if let Some(mode) = sql_mode {
        statements.push(format!("SET SESSION sql_mode = {}", literal(mode)));
    }
    if let Some(zone) = time_zone {
        statements.push(format!("SET SESSION time_zone = {}", literal(zone)));
    }
    statements
}

/// The statements that take these settings back, in a session of ours.
pub(super) const RESET: [&str; 2] =
    ["SET NAMES utf8mb4", "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00'"];

/// An object's statements for stock tools.
///
/// A body holds semicolons, at which `myloader` and the `mariadb` client would cut it. MariaDB since 10.6 runs it out of
/// a text without line breaks; for other servers lines end as mydumper lets them, which only `myloader` understands.
pub(super) fn stock(object: &Object, version: &Version) -> String {
    let mut text = String::new();
    let reset = RESET.map(|statement| format!("{statement};\n")).concat();
    let within_a_text = version.is_mariadb(10, 6) && object.kind != Kind::View;
    if within_a_text {
        text += &format!("{reset}SET @lastgood = {};\n", literal(&object.sql));
    }
    for statement in settings(object) {
        text += &format!("{statement};\n");
    }
    match within_a_text {
        true => text += "EXECUTE IMMEDIATE @lastgood;\n",
        false => text += &format!("{};\n", one_line_ends(&object.sql)),
    }
    text + &reset
}

/// No line but the last one ends with a semicolon.
pub(super) fn one_line_ends(sql: &str) -> String {
    sql.replace(";\n", "; \n").replace(";\r\n", "; \r\n")
}

/// An object's statement with the definer that the target is to have.
pub(super) fn with_definer(object: &Object, no_owner: bool, map: &Mapping) -> String {
    let Some((start, end)) = definer_at(&object.sql) else { return object.sql.clone() };
    let (before, after) = (&object.sql[..start], &object.sql[end..]);
    match definer(object, no_owner, map) {
        Some(definer) => format!("{before}{definer}{after}"),
        None => format!("{before}{}", after.trim_start()),
    }
}

/// `DEFINER=…` as the target is to have it. None: whoever restores.
pub(super) fn definer(object: &Object, no_owner: bool, map: &Mapping) -> Option<String> {
    let (start, end) = definer_at(&object.sql).filter(|_| !no_owner)?;
    let user = object.definer.rsplit_once('@').map_or(object.definer.as_str(), |(user, _)| user);
    Some(match map.owners.get(&object.definer).or_else(|| map.owners.get(user)) {
        Some(to) if to.contains('@') => format!("DEFINER={}", account(to)),
        Some(to) => {
            let host = object.definer.rsplit_once('@').map_or("%", |(_, host)| host);
            format!("DEFINER={}", account(&format!("{to}@{host}")))
        }
        None => object.sql[start..end].to_owned(),
    })
}

/// Where `DEFINER=…` stands in a statement.
fn definer_at(sql: &str) -> Option<(usize, usize)> {
    // Before it come only words of SQL: a name or a body may hold anything.
    let start = sql.find("DEFINER=")?;
    if sql[..start].contains(['`', '"', '\'', '(']) {
        return None;
    }
    let mut end = start + "DEFINER=".len();
    let bytes = sql.as_bytes();
    loop {
        let quote = *bytes.get(end)?;
        if quote != b'`' && quote != b'"' {
            return None;
        }
        end += 1;
        loop {
            let at = end + sql[end..].find(char::from(quote))?;
            end = at + 1;
            if bytes.get(end) != Some(&quote) {
                break;
            }
            end += 1;
        }
        if bytes.get(end) != Some(&b'@') {
            return Some((start, end));
        }
        end += 1;
    }
}

/// `user@host` of a statement with a definer.
pub(super) fn definer_of(sql: &str) -> String {
    let Some((start, end)) = definer_at(sql) else { return String::new() };
    let text = &sql[start + "DEFINER=".len()..end];
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(quote) = rest.chars().next() {
        let mut part = String::new();
        let mut chars = rest.char_indices().skip(1).peekable();
        let mut next = rest.len();
        while let Some((at, c)) = chars.next() {
            if c != quote {
                part.push(c);
            } else if chars.peek().is_some_and(|(_, c)| *c == quote) {
                part.push(c);
                chars.next();
            } else {
                next = at + c.len_utf8();
                break;
            }
        }
        parts.push(part);
        rest = rest[next..].strip_prefix('@').unwrap_or("");
    }
    parts.join("@")
}

/// An event's statement that does not let it begin yet.
pub(super) fn disabled(sql: &str) -> String {
    for (enabled, disabled) in [
        (" ON COMPLETION NOT PRESERVE ENABLE", " ON COMPLETION NOT PRESERVE DISABLE"),
        (" ON COMPLETION PRESERVE ENABLE", " ON COMPLETION PRESERVE DISABLE"),
    ] {
        if sql.contains(enabled) {
            return sql.replacen(enabled, disabled, 1);
        }
    }
    sql.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(sql: &str) -> Object {
        let mut object = Object::new(Kind::Function, "f".into(), sql.into());
        object.definer = definer_of(sql);
        object
    }

    #[test]
    fn definers_are_kept_mapped_or_dropped() {
        let view = object(
            "CREATE ALGORITHM=UNDEFINED DEFINER=`app`@`%` SQL SECURITY DEFINER VIEW `v` AS select 'DEFINER=`x`'",
        );
        assert_eq!(view.definer, "app@%");
        let none = Mapping::default();
        assert_eq!(with_definer(&view, false, &none), view.sql);
        assert_eq!(
            with_definer(&view, true, &none),
            "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select 'DEFINER=`x`'"
        );
        let map = |from: &str, to: &str| {
            let mut map = Mapping::default();
            map.owners.insert(from.to_owned(), to.to_owned());
            with_definer(&view, false, &map)
        };
        assert!(map("app", "web").contains("DEFINER=`web`@`%` SQL"));
        assert!(map("app@%", "web@localhost").contains("DEFINER=`web`@`localhost` SQL"));
        assert_eq!(map("other", "web"), view.sql);
    }

    #[test]
    fn definers_are_found_in_statements() {
        for (sql, definer) in [
            ("CREATE DEFINER=`root`@`localhost` PROCEDURE `p`()", "root@localhost"),
            ("CREATE DEFINER=\"root\"@\"localhost\" PACKAGE \"p\"", "root@localhost"),
            ("CREATE DEFINER=`a``b`@`%` EVENT `e`", "a`b@%"),
            ("CREATE DEFINER=`app role` FUNCTION `f`", "app role"),
            ("CREATE TRIGGER `t` SET x = 'DEFINER=`a`'", ""),
        ] {
            assert_eq!(definer_of(sql), definer, "{sql}");
        }
    }

    #[test]
    fn stock_tools_find_no_end_of_a_statement_within_a_body() {
        let program = object("CREATE PROCEDURE `p`()\nBEGIN\n  SELECT 'a\\b';\n  SELECT 2;\nEND");
        let text = stock(&program, &Version::parse("10.11.19-MariaDB"));
        assert!(text.contains(
            "SET @lastgood = 'CREATE PROCEDURE `p`()\\nBEGIN\\n  SELECT ''a\\\\b'';\\n  SELECT 2;\\nEND';\n"
        ));
        let text = stock(&program, &Version::parse("8.0.36"));
        assert!(text.contains("SELECT 2; \nEND;\n"));
    }

    #[test]
    fn events_wait() {
        let sql = "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE DO SELECT 1";
        assert!(disabled(sql).contains("NOT PRESERVE DISABLE DO"));
        let off = "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE DISABLE DO SELECT 1";
        assert_eq!(disabled(off), off);
    }
}
