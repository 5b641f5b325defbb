//! Takes SQL apart into its tokens, as far as finding and replacing names needs it.

use std::borrow::Cow;

use super::quote::{ident, literal};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string in single quotes, with `E` before them or between dollars.
    String,
    /// Digits, or a parameter's number.
    Number,
    /// One or several of the characters of operators.
    Operator,
    /// `::` or one of `. , ; : ( ) [ ]`.
    Symbol,
}

/// A piece of a statement. Blanks and comments are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// As it stands in the statement.
    pub(super) text: &'a str,
    /// Where it begins there, in bytes.
    pub(super) start: usize,
}

impl Token<'_> {
    /// The byte behind it.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this keyword. Definitions have keywords in upper and names in lower case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text == keyword
    }

    /// Whether it is this symbol.
    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// The name that it stands for, if it may be one.
    pub(super) fn name(&self) -> Option<Cow<'_, str>> {
        match self.kind {
            Kind::Word if self.text.bytes().any(|b| b.is_ascii_uppercase()) => {
                Some(Cow::Owned(self.text.to_ascii_lowercase()))
            }
            Kind::Word => Some(Cow::Borrowed(self.text)),
            Kind::Quoted => Some(Cow::Owned(inside(self.text).replace("\"\"", "\""))),
            _ => None,
        }
    }

    /// Whether it is a word of the language rather than a name.
    pub(super) fn is_keyword(&self) -> bool {
        self.kind == Kind::Word && self.text.chars().any(char::is_uppercase)
    }

    /// The text of a string in single quotes. Not of one with `E`, whose backslashes mean something.
    pub(super) fn string(&self) -> Option<String> {
        let plain = self.kind == Kind::String && self.text.starts_with('\'');
        plain.then(|| inside(self.text).replace("''", "'"))
    }

    /// This name instead, quoted as this token is a name or a string.
    pub(super) fn instead(&self, name: &str) -> String {
        if self.kind == Kind::String { literal(name) } else { ident(name) }
    }
}

fn inside(quoted: &str) -> &str {
    let mut chars = quoted.chars();
    chars.next();
    chars.next_back();
    chars.as_str()
}

/// The tokens of a statement. What is not closed ends with the text.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let (kind, length) = match c {
            _ if c.is_whitespace() => (None, c.len_utf8()),
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (None, block_comment(rest)),
            '\'' => (Some(Kind::String), quoted(rest, '\'', false)),
            '"' => (Some(Kind::Quoted), quoted(rest, '"', false)),
            'E' | 'e' if rest[1..].starts_with('\'') => (Some(Kind::String), 1 + quoted(&rest[1..], '\'', true)),
            'B' | 'b' | 'X' | 'x' | 'N' | 'n' if rest[1..].starts_with('\'') => {
                (Some(Kind::String), 1 + quoted(&rest[1..], '\'', false))
            }
            '$' => match dollar_quoted(rest) {
                Some(length) => (Some(Kind::String), length),
                None => (Some(Kind::Number), 1 + run(&rest[1..], |c| c.is_ascii_digit())),
            },
            '0'..='9' => (Some(Kind::Number), number(rest)),
            _ if c.is_alphabetic() || c == '_' || !c.is_ascii() => {
                (Some(Kind::Word), run(rest, |c| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()))
            }
            ':' if rest.starts_with("::") => (Some(Kind::Symbol), 2),
            _ if is_operator(c) => (Some(Kind::Operator), operator(rest)),
            _ => (Some(Kind::Symbol), c.len_utf8()),
        };
        tokens.extend(kind.map(|kind| Token { kind, text: &rest[..length], start: at }));
        at += length;
    }
    tokens
}

/// Puts texts in the place of ranges, which come in order.
pub(super) fn replaced(sql: &str, changes: &[(std::ops::Range<usize>, String)]) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut at = 0;
    for (range, new) in changes {
        text.push_str(&sql[at..range.start]);
        text.push_str(new);
        at = range.end;
    }
    text.push_str(&sql[at..]);
    text
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// `1`, `1.5`, `1e-10`. A second point is no part of it, nor one before another: `1..2`.
fn number(text: &str) -> usize {
    let digits = |text: &str| run(text, |c| c.is_ascii_alphanumeric() || c == '_');
    let mut length = digits(text);
    if text[length..].starts_with('.') && !text[length..].starts_with("..") {
        length += 1 + digits(&text[length + 1..]);
    }
    if text[..length].ends_with(['e', 'E']) && text[length..].starts_with(['+', '-']) {
        length += 1 + digits(&text[length + 1..]);
    }
    length
}

fn is_operator(c: char) -> bool {
    "+-*/<>=~!@#%^&|`?".contains(c)
}

/// An operator ends where a comment begins.
fn operator(text: &str) -> usize {
    let length = run(text, is_operator);
    let comment = ["--", "/*"].iter().filter_map(|start| text[..length].find(start)).min();
    comment.unwrap_or(length).max(1)
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a text that begins with `quote` and ends with one that is not doubled (nor behind a backslash).
fn quoted(text: &str, quote: char, backslashes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && backslashes {
            chars.next();
        } else if c == quote && chars.next_if(|next| next.1 == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// The length of `$tag$ … $tag$`, if that is what the text begins with.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = 1 + text[1..].find('$')?;
    let tag = &text[..=tag_end];
    let name = &tag[1..tag_end];
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.contains(|c: char| !(c.is_alphanumeric() || c == '_')) {
        return None;
    }
    let body = &text[tag.len()..];
    Some(body.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokens(sql).iter().map(|t| t.text).collect()
    }

    #[test]
    fn every_kind_of_token_ends_where_it_ends() {
        assert_eq!(
            texts("SELECT a.\"b\"\"c\", 'it''s', E'a\\'b', $f$ x'y $f$, $1::app.t -- no 'string'\n/* a /* b */ c */;"),
            [
                "SELECT",
                "a",
                ".",
                "\"b\"\"c\"",
                ",",
                "'it''s'",
                ",",
                "E'a\\'b'",
                ",",
                "$f$ x'y $f$",
                ",",
                "$1",
                "::",
                "app",
                ".",
                "t",
                ";"
            ]
        );
        assert_eq!(texts("a<=-1.5e-3+b$c"), ["a", "<=-", "1.5e-3", "+", "b$c"]);
        assert_eq!(texts("OPERATOR(app.===)"), ["OPERATOR", "(", "app", ".", "===", ")"]);
        assert_eq!(texts("x[1:2] \"é🐘\" ü -- end"), ["x", "[", "1", ":", "2", "]", "\"é🐘\"", "ü"]);
        assert_eq!(texts("a+--c\nb*/*d*/c"), ["a", "+", "b", "*", "c"]);
        assert_eq!(texts("'open"), ["'open"]);
        assert_eq!(texts("$$a$b$$ $"), ["$$a$b$$", "$"]);
    }

    #[test]
    fn names_and_strings_are_told_without_their_quotes() {
        let sql = "Abc \"A\"\"b\" 'it''s' E'x' $$y$$";
        let tokens = tokens(sql);
        let names: Vec<_> = tokens.iter().map(|t| t.name().map(Cow::into_owned)).collect();
        assert_eq!(names, [Some("abc".to_owned()), Some("A\"b".to_owned()), None, None, None]);
        assert_eq!(tokens[2].string().as_deref(), Some("it's"));
        assert_eq!((tokens[3].string(), tokens[4].string()), (None, None));
        assert_eq!((tokens[1].instead("Ä"), tokens[2].instead("o'x")), ("\"Ä\"".to_owned(), "'o''x'".to_owned()));
    }
}
