//! Patterns for the names of schemas and tables, as psql and pg_dump know them.

use crate::error::{Code, Error, Result};

/// What one character of a name may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Is(char),
    One,
    Many,
}

/// A pattern for a name, with one for the schema if it has that before it.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Pattern {
    /// As it was given.
    pub(in crate::engine) text: String,
    schema: Option<Vec<Piece>>,
    name: Vec<Piece>,
}

impl Pattern {
    /// Understands `name`, `"Name"`, `order*`, and with `qualified` also `schema.name`.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub(in crate::engine) fn parse(text: &str, qualified: bool) -> Result<Self> {
        let wrong = |why: &str| {
            let example = if qualified { "public.orders, sales.* or \"Odd Name\"" } else { "sales, app_* or \"Odd\"" };
            Err(Error::new(Code::InvalidOption, format!("`{text}` is no pattern for a name: {why}"))
                .next(format!("write it as {example}")))
        };
        let mut parts = vec![Vec::new()];
        let mut quoted = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let Some(part) = parts.last_mut() else { break };
            match c {
                '"' if quoted && chars.next_if_eq(&'"').is_some() => part.push(Piece::Is('"')),
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(Vec::new()),
                '*' if !quoted => part.push(Piece::Many),
                '?' if !quoted => part.push(Piece::One),
                c if quoted => part.push(Piece::Is(c)),
                c => part.extend(c.to_lowercase().map(Piece::Is)),
            }
        }
        if quoted {
            return wrong("a quote is not closed");
        }
        if parts.iter().any(Vec::is_empty) {
            return wrong("a name is empty");
        }
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if !parts.is_empty() || (schema.is_some() && !qualified) {
            return wrong("it has too many points");
        }
        Ok(Self { text: text.to_owned(), schema, name })
    }

    pub(in crate::engine) fn parse_all(texts: &[String], qualified: bool) -> Result<Vec<Self>> {
        texts.iter().map(|text| Self::parse(text, qualified)).collect()
    }

    /// Whether it fits this name in this schema. Without a schema of its own it fits in every one.
    pub(in crate::engine) fn fits(&self, schema: &str, name: &str) -> bool {
        self.schema.as_ref().is_none_or(|pieces| fits(pieces, schema)) && fits(&self.name, name)
    }

    /// The letters of its name, for finding names that are near.
    pub(in crate::engine) fn letters(&self) -> String {
        self.name
            .iter()
            .filter_map(|p| if let Piece::Is(c) = p { Some(c.to_ascii_lowercase()) } else { None })
            .collect()
    }
}

fn fits(pieces: &[Piece], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // Where to go on when what follows the last `*` does not fit.
    let mut again = None;
    let (mut p, mut n) = (0, 0);
    while n < name.len() {
        match pieces.get(p) {
            Some(Piece::Many) => {
                again = Some((p, n));
                p += 1;
            }
            Some(Piece::One) => (p, n) = (p + 1, n + 1),
            Some(Piece::Is(c)) if *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match again {
                Some((many, taken)) => {
                    again = Some((many, taken + 1));
                    (p, n) = (many + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pieces[p..].iter().all(|piece| *piece == Piece::Many)
}

/// Up to three of these names that somebody may have meant, the nearest first.
pub(in crate::engine) fn near<'a>(letters: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ranked: Vec<(usize, &str)> = names
        .map(|name| {
            let lower = name.to_lowercase();
            let bare = lower.rsplit('.').next().unwrap_or_default();
            let contained = !letters.is_empty() && (bare.contains(letters) || letters.contains(bare));
            (if contained { 0 } else { distance(letters, bare) }, name)
        })
        .filter(|(distance, _)| *distance <= letters.len().div_ceil(3))
        .collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How many letters have to be put in, left out or exchanged to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let exchanged = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn patterns_fit_as_in_psql() {
        for (pattern, schema, name, fits) in [
            ("orders", "any", "orders", true),
            ("ORDERS", "any", "orders", true),
            ("orders", "any", "Orders", false),
            ("\"Orders\"", "any", "Orders", true),
            ("\"a.b\"", "any", "a.b", true),
            ("\"say \"\"hi\"\"\"", "any", "say \"hi\"", true),
            ("public.orders", "sales", "orders", false),
            ("sales.*", "sales", "orders", true),
            ("s*.o?d*s", "sales", "orders", true),
            ("*or*er*", "x", "border", true),
            ("*or*ex*", "x", "border", false),
            ("\"*\"", "x", "y", false),
            ("\"My \"*", "x", "My Table", true),
            ("??", "x", "é🐘", true),
            ("?", "x", "ab", false),
            ("a*", "x", "a", true),
        ] {
            assert_eq!(Pattern::parse(pattern, true).unwrap().fits(schema, name), fits, "{pattern} {schema}.{name}");
        }
        for bad in ["", "a.", ".a", "a.b.c", "\"a", "a..b"] {
            assert_eq!(Pattern::parse(bad, true).unwrap_err().code(), Code::InvalidOption, "{bad}");
        }
        assert!(Pattern::parse("a.b", false).is_err());
    }

    #[test]
    fn near_names_are_found() {
        let names = ["public.orders", "public.order_items", "public.customers", "sales.invoice"];
        let near = |letters: &str| near(letters, names.into_iter());
        assert_eq!(near("ordesr"), ["public.orders"]);
        assert_eq!(near("order"), ["public.order_items", "public.orders"]);
        assert_eq!(near("invoices"), ["sales.invoice"]);
        assert_eq!(near("zzz"), [""; 0]);
    }
}
