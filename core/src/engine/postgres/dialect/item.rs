//! The list of columns and constraints of a CREATE TABLE, taken apart.

use crate::engine::postgres::lex::{Token, tokens};

/// One item of a table's list of columns and constraints.
pub(super) enum Item<'a> {
    /// A column, without its NOT NULL; `CONSTRAINT name ` of that, if it has one; and the column's quoted name.
    Column {
        head: &'a str,
        constraint: String,
        column: &'a str,
    },
    /// `CONSTRAINT name NOT NULL column`.
    NotNull {
        name: String,
        column: &'a str,
        no_inherit: bool,
    },
    /// A check that is not enforced.
    NotEnforced(String),
    Other,
}

impl<'a> Item<'a> {
    pub(super) fn of(item: &'a str, tokens: &[Token<'a>]) -> Self {
        let is = |at: usize, word: &str| tokens.get(at).is_some_and(|t| t.is(word));
        let text = |at: usize| tokens.get(at).map_or("", |t| t.text);
        let name = if is(0, "CONSTRAINT") { format!("CONSTRAINT {} ", text(1)) } else { String::new() };
        let first = if is(0, "CONSTRAINT") { 2 } else { 0 };
        if is(first, "NOT") && is(first + 1, "NULL") {
            let no_inherit = is(tokens.len().saturating_sub(1), "INHERIT");
            return Self::NotNull { name, column: text(first + 2), no_inherit };
        }
        if item.ends_with(" NOT ENFORCED") {
            return Self::NotEnforced(text(1).to_owned());
        }
        if !name.is_empty() || is(0, "CHECK") || is(0, "LIKE") {
            return Self::Other;
        }
        // The last NOT NULL that is not inside parentheses is the column's own.
        let mut depth = 0_usize;
        let mut at = None;
        for (i, token) in tokens.iter().enumerate() {
            match token.text {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                "NOT" if depth == 0 && is(i + 1, "NULL") => at = Some(i),
                _ => {}
            }
        }
        let Some(not) = at else { return Self::Column { head: item, constraint: String::new(), column: text(0) } };
        let named = not >= 2 && is(not - 2, "CONSTRAINT");
        let constraint = if named { format!("CONSTRAINT {} ", text(not - 1)) } else { String::new() };
        let end = if named { tokens[not - 2].start } else { tokens[not].start };
        Self::Column { head: item[..end].trim_end(), constraint, column: text(0) }
    }
}

/// The expression of a generated column, where it ends, and whether its values are stored.
pub(super) fn generation(tokens: &[Token<'_>], item: &str) -> Option<(String, usize, bool)> {
    let at = tokens
        .windows(4)
        .position(|w| w[0].is("GENERATED") && w[1].is("ALWAYS") && w[2].is("AS") && w[3].is_symbol("("))?;
    let mut depth = 0_usize;
    let close = tokens[at + 3..].iter().position(|t| {
        match t.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })? + at
        + 3;
    let expression = item[tokens[at + 3].start..tokens[close].end()].to_owned();
    Some((expression, tokens[close].end(), tokens.get(close + 1).is_some_and(|t| t.is("STORED"))))
}

/// The list of columns and constraints of a CREATE TABLE with its parentheses, and its items.
pub(super) fn items(defn: &str) -> Option<(std::ops::Range<usize>, Vec<&str>)> {
    let tokens = tokens(defn);
    // `CREATE TABLE a.b (`; what has no list of its own (partitions, typed tables) begins otherwise.
    let open = tokens.iter().position(|t| t.is_symbol("(") || t.is_symbol(";"))?;
    let list = tokens[open].is_symbol("(") && tokens.get(open.checked_sub(2)?).is_some_and(|t| t.is_symbol("."));
    if !list {
        return None;
    }
    let mut items = Vec::new();
    let mut depth = 0_usize;
    let mut from = tokens[open].end();
    for token in &tokens[open..] {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    items.push(defn[from..token.start].trim());
                    items.retain(|item| !item.is_empty());
                    return Some((tokens[open].start..token.end(), items));
                }
            }
            "," if depth == 1 => {
                items.push(defn[from..token.start].trim());
                from = token.end();
            }
            _ => {}
        }
    }
    None
}
