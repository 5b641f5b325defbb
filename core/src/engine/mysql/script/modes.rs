//! What a script sets on which it depends where its statements end.

use std::collections::HashMap;

use super::words::{Token, tokens};

/// Modes that make names of what stands between double quotes.
const ANSI_QUOTES: [&str; 7] = ["ANSI_QUOTES", "ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"];

/// A statement that sets something is not longer than this.
const MAX_SET: usize = 16 << 10;

/// The settings of the session as the script has left them. It begins with those of a restore.
#[derive(Debug, Default)]
pub(super) struct Modes {
    sql_mode: String,
    character_set: String,
    /// Variables that hold an earlier value of one of the two.
    saved: HashMap<String, String>,
    no_backslash_escapes: bool,
    ansi_quotes: bool,
    wide: Option<Wide>,
}

/// Character sets in whose characters a quote or backslash may be the second byte.
#[derive(Debug, Clone, Copy)]
enum Wide {
    /// big5, gbk, gb18030
    Chinese,
    /// sjis, cp932
    Japanese,
}

/// What a statement sets, as far as it counts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    SqlMode,
    CharacterSet,
}

impl Modes {
    /// Whether a backslash escapes the next byte between these quotes.
    pub(super) fn backslashes_escape(&self, quote: u8) -> bool {
        !(self.no_backslash_escapes || quote == b'"' && self.ansi_quotes)
    }

    /// Whether this byte begins a character of two.
    pub(super) fn is_lead(&self, byte: u8) -> bool {
        match self.wide {
            None => false,
            Some(Wide::Chinese) => (0x81..=0xFE).contains(&byte),
            Some(Wide::Japanese) => matches!(byte, 0x81..=0x9F | 0xE0..=0xFC),
        }
    }

    /// Whether any byte does.
    pub(super) fn has_lead_bytes(&self) -> bool {
        self.wide.is_some()
    }

    /// Follows a statement, if it sets something.
    pub(super) fn follow(&mut self, sql: &[u8]) {
        if sql.len() > MAX_SET {
            return;
        }
        let mut tokens = tokens(sql).peekable();
        if tokens.next() != Some(Token::Word("set".to_owned())) {
            return;
        }
        let all: Vec<Token> = tokens.collect();
        if let [Token::Word(names), value, ..] = &all[..]
            && names == "names"
        {
            self.set(Setting::CharacterSet, &text(value).unwrap_or_default());
        }
        for assignment in all.split(|token| *token == Token::Other(b',')) {
            self.assign(assignment);
        }
        self.no_backslash_escapes = self.has_mode(&["NO_BACKSLASH_ESCAPES"]);
        self.ansi_quotes = self.has_mode(&ANSI_QUOTES);
        self.wide = match self.character_set.as_str() {
            "big5" | "gbk" | "gb18030" => Some(Wide::Chinese),
            "sjis" | "cp932" => Some(Wide::Japanese),
            _ => None,
        };
    }

    fn assign(&mut self, assignment: &[Token]) {
        // `@a = 1`, `sql_mode := 'x'`, `SESSION sql_mode = x`, `@@session.sql_mode = x`
        let Some(at) = assignment.iter().position(|token| *token == Token::Other(b'=')) else { return };
        let (mut target, value) = (&assignment[..at], &assignment[at + 1..]);
        if let Some(Token::Other(b':')) = target.last() {
            target = &target[..at - 1];
        }
        let Some(value) = self.value(value) else { return };
        if let [Token::Variable(name)] = target {
            self.saved.insert(name.clone(), value);
        } else if let Some(setting) = setting(target) {
            self.set(setting, &value);
        }
    }

    /// What an expression holds, if it is one that dump tools write.
    fn value(&self, expression: &[Token]) -> Option<String> {
        match expression {
            [Token::Variable(name)] => self.saved.get(name).cloned(),
            [one] if text(one).is_some() && setting(expression).is_none() => text(one),
            _ => setting(expression).map(|setting| match setting {
                Setting::SqlMode => self.sql_mode.clone(),
                Setting::CharacterSet => self.character_set.clone(),
            }),
        }
    }

    fn set(&mut self, setting: Setting, value: &str) {
        match setting {
            Setting::SqlMode => self.sql_mode = value.to_ascii_uppercase(),
            Setting::CharacterSet => self.character_set = value.to_ascii_lowercase(),
        }
    }

    fn has_mode(&self, modes: &[&str]) -> bool {
        self.sql_mode.split(',').any(|mode| modes.contains(&mode.trim()))
    }
}

fn text(token: &Token) -> Option<String> {
    match token {
        Token::Text(text) | Token::Name(text) | Token::Word(text) => Some(text.clone()),
        _ => None,
    }
}

/// The setting that these words name: of the session, not of the server.
fn setting(words: &[Token]) -> Option<Setting> {
    let name = match words {
        [Token::Word(name)] | [Token::System(name)] => name.as_str(),
        [Token::Word(scope), Token::Word(name)] if scope == "session" || scope == "local" => name,
        _ => return None,
    };
    let name = name.strip_prefix("session.").or_else(|| name.strip_prefix("local.")).unwrap_or(name);
    match name {
        "sql_mode" => Some(Setting::SqlMode),
        "character_set_client" => Some(Setting::CharacterSet),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(script: &[&str]) -> Modes {
        let mut modes = Modes::default();
        script.iter().for_each(|sql| modes.follow(sql.as_bytes()));
        modes
    }

    #[test]
    fn modes_are_followed_as_dumps_set_them_and_take_them_back() {
        for (script, escape, double) in [
            (&["SELECT 'NO_BACKSLASH_ESCAPES'"][..], true, true),
            (&["SET sql_mode = 'NO_BACKSLASH_ESCAPES'"], false, false),
            (&["/*!50003 SET sql_mode              = 'STRICT_TRANS_TABLES,ANSI_QUOTES' */"], true, false),
            (&["SET @a=1, @@session.sql_mode := \"ansi\""], true, false),
            (&["SET SESSION sql_mode=ORACLE"], true, false),
            (&["SET GLOBAL sql_mode='ANSI'", "SET @@global.sql_mode='ANSI'"], true, true),
            (
                &[
                    "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_BACKSLASH_ESCAPES' */",
                    "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */",
                ],
                true,
                true,
            ),
            (&["SET sql_mode='ANSI'", "SET @s = @@sql_mode", "SET sql_mode=''", "SET sql_mode = @s"], true, false),
            (&["SET sql_mode='ANSI'", "SET sql_mode = @unknown"], true, false),
        ] {
            let modes = after(script);
            assert_eq!(
                (modes.backslashes_escape(b'\''), modes.backslashes_escape(b'"')),
                (escape, double),
                "{script:?}"
            );
        }
    }

    #[test]
    fn character_sets_with_lead_bytes_are_known() {
        for (script, byte, expected) in [
            (&["SET NAMES utf8mb4"][..], 0x81, false),
            (&["SET NAMES gbk"], 0x81, true),
            (&["/*!40101 SET NAMES 'sjis' */"], 0x81, true),
            (&["SET NAMES sjis"], 0xB1, false),
            (
                &[
                    "SET @a = @@character_set_client",
                    "SET character_set_client = big5",
                    "SET character_set_client = @a",
                ],
                0x81,
                false,
            ),
        ] {
            assert_eq!(after(script).is_lead(byte), expected, "{script:?}");
        }
    }
}
