//! Commands for psql that pg_dump and pg_dumpall write themselves. All others are refused.

use crate::engine::script::refused;
use crate::error::Result;

/// A command that a script may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// `\connect`: what follows is of this database.
    Connect(String),
    /// `\restrict`: no other command may come before it is taken back with the same word.
    Restrict(String),
    /// `\unrestrict`
    Unrestrict(String),
    /// `\encoding SQL_ASCII`, before the name of a database that may be in any encoding.
    Encoding,
}

/// Reads a line for psql.
///
/// # Errors
/// `UnsupportedScript`: it would make psql run programs, read files or worse.
pub(super) fn parse(text: &str, line: u64) -> Result<Command> {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match name {
        "\\restrict" if is_token(rest) => Ok(Command::Restrict(rest.to_owned())),
        "\\unrestrict" if is_token(rest) => Ok(Command::Unrestrict(rest.to_owned())),
        "\\encoding" if rest == "SQL_ASCII" => Ok(Command::Encoding),
        "\\connect" => database(rest)
            .map(Command::Connect)
            .ok_or_else(|| refused(line, "\\connect names something else than a database")),
        _ => {
            let name: String = name.chars().take(20).collect();
            Err(refused(line, &format!("it holds the command `{name}` for psql, which is not run")))
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The name in `name`, `"name"` or `-reuse-previous=on "dbname='name'"`.
fn database(text: &str) -> Option<String> {
    let (connection_string, text) = match text.strip_prefix("-reuse-previous=on ") {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    let argument = match text.strip_prefix('"') {
        Some(quoted) => {
            let inside = quoted.strip_suffix('"')?;
            let plain = inside.replace("\"\"", "");
            if plain.contains('"') {
                return None;
            }
            inside.replace("\"\"", "\"")
        }
        None if text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '`' | ':')) => {
            return None;
        }
        None => text.to_owned(),
    };
    if !connection_string {
        // A URL or a connection string would lead elsewhere.
        return Some(argument).filter(|name| !name.is_empty() && !name.contains('=') && !name.contains("://"));
    }
    let value = argument.strip_prefix("dbname=")?;
    let Some(quoted) = value.strip_prefix('\'') else {
        return Some(value.to_owned()).filter(|name| !name.contains([' ', '=', '\'', '\\']));
    };
    let mut name = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '\\' => name.push(chars.next()?),
            '\'' => break,
            c => name.push(c),
        }
    }
    chars.next().is_none().then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::error::Code;

    #[test]
    fn names_are_read_in_all_their_forms() {
        for (text, name) in [
            ("\\connect shop", "shop"),
            ("\\connect \"Shop\"", "Shop"),
            ("\\connect -reuse-previous=on \"dbname='my shop'\"", "my shop"),
            ("\\connect -reuse-previous=on \"dbname='it\\'s \"\"mine\"\"'\"", "it's \"mine\""),
        ] {
            assert_eq!(parse(text, 1).unwrap(), Command::Connect(name.to_owned()), "{text}");
        }
        assert_eq!(parse("\\restrict aB9", 1).unwrap(), Command::Restrict("aB9".into()));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "\\! rm -rf /",
            "\\copy t from program 'sh'",
            "\\i /etc/passwd",
            "\\o |sh",
            "\\gexec",
            "\\encoding LATIN1",
            "\\c shop",
            "\\connect shop other_user",
            "\\connect postgres://elsewhere/x",
            "\\connect \"host=elsewhere dbname=x\"",
            "\\connect -reuse-previous=on \"dbname='x' host='elsewhere'\"",
            "\\connect",
            "\\restrict a b",
            "\\.",
            "\\",
        ] {
            let refused = parse(text, 7).unwrap_err();
            assert_eq!(refused.code(), Code::UnsupportedScript, "{text}");
            assert!(refused.message().contains("line 7"), "{refused}");
        }
    }
}
