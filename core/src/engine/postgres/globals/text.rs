//! Takes `globals.sql` apart: which statement is about which role or tablespace.
//!
//! It is read statement by statement, so a file of `pg_dumpall --globals-only` is understood as well.

use std::collections::BTreeMap;

use crate::error::{Code, Error, Result};

/// What the file says of one role.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct RoleText {
    /// As ALTER ROLE takes them: `NOSUPERUSER`, `CONNECTION LIMIT 5`.
    pub(super) attributes: Vec<String>,
    /// The password's verifier as a literal. Never printed.
    pub(super) password: Option<String>,
    /// Its settings, comment and labels.
    pub(super) remarks: Vec<String>,
    /// Its privileges on configuration parameters.
    pub(super) parameters: Vec<String>,
}

/// A role's being a member of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) role: String,
    pub(super) member: String,
    /// Whether the member can use the role's privileges. Since 16 whoever creates a role becomes a member of it who only
    /// administers it.
    pub(super) used: bool,
    /// The statement, without its grantor.
    pub(super) sql: String,
    /// ` GRANTED BY …`, or nothing.
    pub(super) by: String,
}

/// What the file says of one tablespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TablespaceText {
    pub(super) owner: Option<String>,
    pub(super) create: String,
    /// Its options, privileges, comment and labels.
    pub(super) remarks: Vec<String>,
}

/// The whole file.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Globals {
    pub(super) roles: BTreeMap<String, RoleText>,
    pub(super) memberships: Vec<Membership>,
    pub(super) tablespaces: BTreeMap<String, TablespaceText>,
}

impl Globals {
    /// # Errors
    /// `Damaged` when the bytes are no text. Statements of other kinds are passed over.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Error::new(Code::Damaged, "globals.sql is not UTF-8").next("use another backup"))?;
        let mut globals = Self::default();
        for statement in statements(text) {
            globals.take(&statement);
        }
        Ok(globals)
    }

    fn take(&mut self, statement: &Statement<'_>) {
        let sql = || statement.sql.to_owned();
        let role = |name: &Token<'_>| name.name();
        match statement.tokens.as_slice() {
            [Key("CREATE"), Key("ROLE"), name, ..] => {
                self.roles.entry(name.name()).or_default();
            }
            [Key("ALTER"), Key("ROLE"), name, Key("WITH"), rest @ ..] => {
                if let Some(found) = self.roles.get_mut(&role(name)) {
                    found.set_attributes(rest);
                }
            }
            [Key("ALTER"), Key("ROLE"), name, Key("SET"), ..]
            | [Key("COMMENT"), Key("ON"), Key("ROLE"), name, ..]
            | [Key("SECURITY"), Key("LABEL"), Key("FOR"), _, Key("ON"), Key("ROLE"), name, ..] => {
                if let Some(found) = self.roles.get_mut(&role(name)) {
                    found.remarks.push(sql());
                }
            }
            [Key("GRANT"), granted, Key("TO"), member, rest @ ..] => {
                let by = rest.windows(3).find_map(|three| match three {
                    [Key("GRANTED"), Key("BY"), grantor] => Some(format!(" GRANTED BY {}", grantor.raw())),
                    _ => None,
                });
                let by = by.unwrap_or_default();
                let off = |option: &str| rest.windows(2).any(|two| two[0] == Key(option) && two[1] == Key("FALSE"));
                let used = !(off("INHERIT") && off("SET"));
                let sql = statement.sql.strip_suffix(&by).unwrap_or(statement.sql).to_owned();
                self.memberships.push(Membership { role: granted.name(), member: member.name(), used, sql, by });
            }
            [Key("CREATE"), Key("TABLESPACE"), name, rest @ ..] => {
                let owner = match rest {
                    [Key("OWNER"), owner, ..] => Some(owner.name()),
                    _ => None,
                };
                let found = self.tablespaces.entry(name.name()).or_default();
                (found.owner, found.create) = (owner, sql());
            }
            [Key("ALTER" | "COMMENT" | "SECURITY" | "GRANT" | "REVOKE"), rest @ ..] => self.take_privilege(rest, sql()),
            _ => {}
        }
    }

    /// Privileges on a parameter or a tablespace, and what else is said of a tablespace.
    fn take_privilege(&mut self, tokens: &[Token<'_>], sql: String) {
        let after = |word: &str| {
            let pair = tokens.windows(2).find(|pair| matches!(pair[0], Key(key) if key == word));
            pair.map(|pair| pair[1].name())
        };
        if let Some(name) = after("TABLESPACE") {
            if let Some(found) = self.tablespaces.get_mut(&name) {
                found.remarks.push(sql);
            }
        } else if after("PARAMETER").is_some()
            && let Some(role) = after("TO").or_else(|| after("FROM"))
            && let Some(found) = self.roles.get_mut(&role)
        {
            found.parameters.push(sql);
        }
    }
}

impl RoleText {
    fn set_attributes(&mut self, tokens: &[Token<'_>]) {
        let mut tokens = tokens.iter();
        while let Some(token) = tokens.next() {
            let word = token.raw();
            let mut next = || tokens.next().map(|t| t.raw().to_owned()).unwrap_or_default();
            match word {
                "PASSWORD" => self.password = Some(next()),
                "CONNECTION" | "VALID" => {
                    let (second, value) = (next(), next());
                    self.attributes.push(format!("{word} {second} {value}"));
                }
                word => self.attributes.push(word.to_owned()),
            }
        }
    }
}

/// One statement, without its semicolon.
struct Statement<'t> {
    sql: &'t str,
    tokens: Vec<Token<'t>>,
}

/// A piece of a statement, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    /// A word that is not quoted. Names without quotes are in lower case, keywords in upper case.
    Key(&'t str),
    /// A name in double quotes or a text in single quotes, with its quotes.
    Quoted(&'t str),
    /// Anything else.
    Other(&'t str),
}

use Token::{Key, Other, Quoted};

impl Token<'_> {
    fn raw(&self) -> &str {
        match self {
            Key(text) | Quoted(text) | Other(text) => text,
        }
    }

    /// The name that it stands for.
    fn name(&self) -> String {
        match self {
            Quoted(text) => {
                let quote = &text[..1];
                let inner = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)).unwrap_or_default();
                inner.replace(&quote.repeat(2), quote)
            }
            other => other.raw().to_owned(),
        }
    }
}

fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let mut tokens: Vec<(usize, Token<'_>)> = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = match c {
            '-' if rest.starts_with("--") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            // psql's own commands are not for a server.
            '\\' if tokens.is_empty() => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' | '\'' => quoted(rest, c),
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.'))).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let piece = &rest[..length];
        match c {
            ';' => {
                if let Some((start, _)) = tokens.first() {
                    let sql = text[*start..at].trim_end();
                    statements.push(Statement { sql, tokens: tokens.drain(..).map(|(_, token)| token).collect() });
                }
            }
            '"' | '\'' => tokens.push((at, Quoted(piece))),
            c if c.is_alphanumeric() || c == '_' => tokens.push((at, Key(piece))),
            c if c.is_whitespace() => {}
            _ => tokens.push((at, Other(piece))),
        }
        at += length;
    }
    statements
}

/// The length of a quoted text, in which a quote is written twice. One that does not end goes to the end.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = r#"--
-- it's a comment; with "quotes"
--
\restrict abc
SET client_encoding = 'UTF8';
CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER INHERIT LOGIN CONNECTION LIMIT 5 PASSWORD 'SCRAM-SHA-256$4096:a;b''c' VALID UNTIL '2030-01-01 00:00:00+00';
COMMENT ON ROLE app IS 'it''s; "ours"
-- still';
CREATE ROLE "Odd; ""one""'s";
ALTER ROLE "Odd; ""one""'s" SET search_path TO 'a', 'b';
ALTER ROLE ALL SET work_mem TO '5MB';
GRANT app TO "Odd; ""one""'s" WITH ADMIN OPTION, INHERIT TRUE GRANTED BY "Big Boss";
GRANT pg_monitor TO app;
GRANT SET ON PARAMETER "my.param" TO app;
CREATE TABLESPACE fast OWNER app LOCATION '/mnt/it''s';
ALTER TABLESPACE fast SET (random_page_cost=1);
GRANT ALL ON TABLESPACE fast TO PUBLIC;
"#;

    #[test]
    fn statements_are_told_by_what_they_are_about() {
        let globals = Globals::parse(TEXT.replace("\\\\", "\\").as_bytes()).unwrap();
        let names: Vec<&String> = globals.roles.keys().collect();
        assert_eq!(names, ["Odd; \"one\"'s", "app"]);
        let app = &globals.roles["app"];
        let limit = ["NOSUPERUSER", "INHERIT", "LOGIN", "CONNECTION LIMIT 5", "VALID UNTIL '2030-01-01 00:00:00+00'"];
        assert_eq!(app.attributes, limit);
        assert_eq!(app.password.as_deref(), Some("'SCRAM-SHA-256$4096:a;b''c'"));
        assert_eq!(app.remarks, ["COMMENT ON ROLE app IS 'it''s; \"ours\"\n-- still'"]);
        assert_eq!(app.parameters, ["GRANT SET ON PARAMETER \"my.param\" TO app"]);
        assert_eq!(globals.roles["Odd; \"one\"'s"].remarks.len(), 1);
        let by_boss = Membership {
            role: "app".into(),
            member: "Odd; \"one\"'s".into(),
            used: true,
            sql: "GRANT app TO \"Odd; \"\"one\"\"'s\" WITH ADMIN OPTION, INHERIT TRUE".into(),
            by: " GRANTED BY \"Big Boss\"".into(),
        };
        assert_eq!(globals.memberships[0], by_boss);
        assert_eq!((globals.memberships[1].role.as_str(), globals.memberships[1].by.as_str()), ("pg_monitor", ""));
        let fast = &globals.tablespaces["fast"];
        assert_eq!((fast.owner.as_deref(), fast.remarks.len()), (Some("app"), 2));
        assert_eq!(fast.create, "CREATE TABLESPACE fast OWNER app LOCATION '/mnt/it''s'");
    }

    #[test]
    fn what_is_no_globals_file_gives_nothing_and_does_not_panic() {
        for text in
            ["", ";", "'", "\"", "CREATE ROLE", "CREATE ROLE '", "ALTER ROLE a WITH PASSWORD;", "GRANT é TO 🐘;--"]
        {
            assert!(Globals::parse(text.as_bytes()).unwrap().tablespaces.is_empty());
        }
        assert_eq!(Globals::parse(&[0xff]).err().unwrap().code(), Code::Damaged);
    }
}
