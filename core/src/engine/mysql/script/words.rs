//! What a statement is, told by its words.

use std::borrow::Cow;
use std::iter::Peekable;
use std::slice::Iter;

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word or number, lower-case.
    Word(String),
    /// Between backticks.
    Name(String),
    /// Between quotes.
    Text(String),
    /// `@name`, lower-case.
    Variable(String),
    /// `@@name` or `@@session.name`, lower-case.
    System(String),
    /// Any other byte.
    Other(u8),
}

/// The pieces of a statement, without comments; what conditional comments hold counts.
pub(super) fn tokens(sql: &[u8]) -> impl Iterator<Item = Token> + '_ {
    let mut rest = sql.iter().peekable();
    std::iter::from_fn(move || {
        while let Some(&byte) = rest.next() {
            match byte {
                _ if byte.is_ascii_whitespace() => {}
                b'/' if rest.peek() == Some(&&b'*') => comment(&mut rest),
                b'*' if rest.peek() == Some(&&b'/') => drop(rest.next()),
                b'#' => line(&mut rest),
                b'-' if rest.clone().next() == Some(&b'-')
                    && rest.clone().nth(1).is_none_or(u8::is_ascii_whitespace) =>
                {
                    line(&mut rest);
                }
                b'`' => return Some(Token::Name(quoted(&mut rest, byte))),
                b'\'' | b'"' => return Some(Token::Text(quoted(&mut rest, byte))),
                b'@' => {
                    let system = rest.next_if(|b| **b == b'@').is_some();
                    let quote = rest.next_if(|b| matches!(b, b'`' | b'\'' | b'"'));
                    let name = match quote {
                        Some(&quote) => quoted(&mut rest, quote).to_ascii_lowercase(),
                        None => word(&mut rest, String::new()),
                    };
                    return Some(if system { Token::System(name) } else { Token::Variable(name) });
                }
                _ if is_word(byte) => {
                    return Some(Token::Word(word(&mut rest, char::from(byte.to_ascii_lowercase()).into())));
                }
                _ => return Some(Token::Other(byte)),
            }
        }
        None
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// A comment, whose `/` was just read; of a conditional one what opens it.
fn comment(rest: &mut Peekable<Iter<'_, u8>>) {
    let mut ahead = rest.clone().skip(1);
    let conditional = match ahead.next() {
        Some(b'!') => 2,
        Some(b'M') if ahead.next() == Some(&b'!') => 3,
        _ => 0,
    };
    if conditional > 0 {
        rest.nth(conditional - 1);
        while rest.next_if(|b| b.is_ascii_digit()).is_some() {}
        return;
    }
    rest.next();
    let mut star = false;
    for byte in rest.by_ref() {
        if star && *byte == b'/' {
            return;
        }
        star = *byte == b'*';
    }
}

fn line(rest: &mut Peekable<Iter<'_, u8>>) {
    rest.find(|b| **b == b'\n');
}

/// What stands up to the closing quote. Backslashes are left as they are: names and settings hold none.
fn quoted(rest: &mut Peekable<Iter<'_, u8>>, quote: u8) -> String {
    let mut text = Vec::new();
    while let Some(&byte) = rest.next() {
        if byte == quote && rest.next_if(|b| **b == quote).is_none() {
            break;
        }
        text.push(byte);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn word(rest: &mut Peekable<Iter<'_, u8>>, mut word: String) -> String {
    while let Some(byte) = rest.next_if(|b| is_word(**b) || **b == b'.') {
        word.push(char::from(byte.to_ascii_lowercase()));
    }
    word
}

/// What a script's statement means for a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is run as it is.
    Plain,
    /// INSERT or REPLACE: many of them are run together.
    Insert,
    /// What follows is of this database.
    Use(String),
    /// `CREATE DATABASE`, with the options that it names: the target has its own name.
    CreateDatabase(String, String),
    /// `ALTER DATABASE`, with its options.
    AlterDatabase(String),
    /// `DROP DATABASE`
    DropDatabase,
    /// It makes an event.
    Event,
    /// A parameter of the session.
    Setting,
    /// Tables are locked, or freed.
    Lock,
    /// It is about the server: users, roles, tablespaces, its settings.
    Global,
    /// It is about replication, or about what replicas are told.
    Replication,
    /// It moves data between the server or the client and files, or does something to the server.
    Refused(&'static str),
}

/// Commands of the clients that need no backslash.
const COMMANDS: [&str; 24] = [
    "source",
    "system",
    "connect",
    "edit",
    "pager",
    "nopager",
    "tee",
    "notee",
    "print",
    "prompt",
    "quit",
    "exit",
    "ego",
    "go",
    "clear",
    "charset",
    "help",
    "rehash",
    "status",
    "warnings",
    "nowarning",
    "resetconnection",
    "delimiter",
    "costs",
];

/// Words before the kind of object that a CREATE makes.
const BEFORE_OBJECT: [&str; 20] = [
    "or",
    "replace",
    "definer",
    "sql",
    "security",
    "invoker",
    "algorithm",
    "undefined",
    "merge",
    "temptable",
    "if",
    "not",
    "exists",
    "aggregate",
    "temporary",
    "unique",
    "online",
    "offline",
    "current_user",
    "current_role",
];

/// Tells what a statement is.
pub(super) fn kind(sql: &[u8]) -> Kind {
    let mut tokens = tokens(sql);
    let Some(Token::Word(first)) = tokens.next() else { return Kind::Plain };
    // Most of a script, and each may be long.
    if first == "insert" || first == "replace" {
        return Kind::Insert;
    }
    let rest: Vec<Token> = tokens.take(64).collect();
    let word = |at: usize| match rest.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    match (first.as_str(), word(0)) {
        ("use", _) => Kind::Use(rest.first().and_then(name).unwrap_or_default()),
        ("create", _) => create(&rest),
        ("alter", "database" | "schema") => Kind::AlterDatabase(options(&rest)),
        ("drop", "database" | "schema") => Kind::DropDatabase,
        ("set", "password" | "global" | "persist" | "persist_only" | "default") | ("set", "role") => Kind::Global,
        ("set", _) => set(&rest),
        ("lock" | "unlock", "table" | "tables") => Kind::Lock,
        ("alter" | "drop" | "rename", "user" | "role" | "server" | "tablespace" | "instance" | "logfile")
        | ("grant" | "revoke" | "flush", _) => Kind::Global,
        ("change", "master" | "replication")
        | ("start" | "stop", "slave" | "replica" | "all" | "group_replication") => Kind::Replication,
        ("reset" | "purge" | "binlog" | "shutdown" | "kill" | "install" | "uninstall" | "restart" | "clone", _) => {
            Kind::Refused("it does something to the server, not to the database")
        }
        ("load", _) => Kind::Refused("LOAD reads a file"),
        ("select" | "with" | "table" | "values", _) if into_file(sql) => Kind::Refused("the server would write a file"),
        (command, _) if COMMANDS.contains(&command) => Kind::Refused("it holds a command for the client"),
        _ => Kind::Plain,
    }
}

fn create(rest: &[Token]) -> Kind {
    let Some(at) = object_at(rest) else { return Kind::Plain };
    let Some(Token::Word(object)) = rest.get(at) else { return Kind::Plain };
    match object.as_str() {
        "database" | "schema" => {
            let name = rest[at + 1..].iter().filter(|t| !is_before_object(t)).find_map(name).unwrap_or_default();
            Kind::CreateDatabase(name, options(rest))
        }
        "user" | "role" | "server" | "tablespace" | "logfile" | "undo" | "resource" => Kind::Global,
        "event" => Kind::Event,
        "function" if rest.contains(&Token::Word("soname".to_owned())) => {
            Kind::Refused("the server would load a library")
        }
        _ => Kind::Plain,
    }
}

/// Where the kind of object stands in what follows CREATE.
fn object_at(rest: &[Token]) -> Option<usize> {
    let mut at = 0;
    loop {
        match rest.get(at)? {
            // `DEFINER = user@host`, whose parts may be called anything.
            Token::Word(word) if word == "definer" && rest.get(at + 1) == Some(&Token::Other(b'=')) => {
                at += 3;
                if let Some(Token::Variable(_)) = rest.get(at) {
                    at += 1;
                }
            }
            Token::Word(word) if !BEFORE_OBJECT.contains(&word.as_str()) => return Some(at),
            _ => at += 1,
        }
    }
}

fn set(rest: &[Token]) -> Kind {
    let mut kind = Kind::Setting;
    for assignment in rest.split(|token| *token == Token::Other(b',')) {
        let target = match assignment {
            [Token::Word(scope), ..] if scope == "global" => return Kind::Global,
            [Token::Word(scope), Token::Word(name), ..] if scope == "session" || scope == "local" => name,
            [Token::Word(name) | Token::System(name), ..] => name,
            _ => continue,
        };
        match target.rsplit('.').next().unwrap_or_default() {
            "gtid_purged" | "sql_log_bin" | "gtid_next" | "gtid_slave_pos" => kind = Kind::Replication,
            _ if target.starts_with("global.") || target.starts_with("persist") => return Kind::Global,
            _ => {}
        }
    }
    kind
}

fn is_before_object(token: &Token) -> bool {
    matches!(token, Token::Word(word) if BEFORE_OBJECT.contains(&word.as_str()))
}

fn name(token: &Token) -> Option<String> {
    match token {
        Token::Name(name) | Token::Text(name) | Token::Word(name) => Some(name.clone()),
        _ => None,
    }
}

/// The character set and collation that a statement about a database names, as another one would.
fn options(rest: &[Token]) -> String {
    let words: Vec<String> = rest.iter().filter_map(name).map(|word| word.to_ascii_lowercase()).collect();
    let safe = |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then(|| word.to_owned());
    // By their last words: a database may be called `collate`.
    let after = |key: &[&str]| {
        let at = words.windows(key.len()).rposition(|window| window == key)?;
        safe(words.get(at + key.len())?)
    };
    let mut options = Vec::new();
    if let Some(set) = after(&["character", "set"]).or_else(|| after(&["charset"])) {
        options.push(format!("CHARACTER SET {set}"));
    }
    if let Some(collation) = after(&["collate"]) {
        options.push(format!("COLLATE {collation}"));
    }
    options.join(" ")
}

fn into_file(sql: &[u8]) -> bool {
    let mut into = false;
    tokens(sql).any(|token| match token {
        Token::Word(word) => {
            std::mem::replace(&mut into, word == "into") && matches!(word.as_str(), "outfile" | "dumpfile")
        }
        _ => {
            into = false;
            false
        }
    })
}

/// A statement that creates something with a definer, without naming it: whoever runs it is the definer.
pub(super) fn without_definer(sql: &[u8]) -> Cow<'_, [u8]> {
    const KEY: &[u8] = b"DEFINER";
    /// Of what is before the object's name.
    const HEAD: usize = 1024;
    let head: Vec<Token> = tokens(&sql[..sql.len().min(HEAD)]).collect();
    let object = head.split_first().filter(|(first, _)| **first == Token::Word("create".to_owned()));
    let object = object.and_then(|(_, rest)| rest.get(object_at(rest)?));
    let defined = ["view", "trigger", "procedure", "function", "event", "package"];
    if !matches!(object, Some(Token::Word(object)) if defined.contains(&object.as_str())) {
        return Cow::Borrowed(sql);
    }
    let starts = sql.windows(KEY.len()).take(HEAD).enumerate().filter(|(_, window)| window.eq_ignore_ascii_case(KEY));
    // That of `SQL SECURITY DEFINER` names nobody.
    let named = starts.map(|(at, _)| at).find_map(|at| {
        let mut rest = sql[at + KEY.len()..].iter().peekable();
        let length = |rest: &Peekable<Iter<'_, u8>>| sql.len() - rest.len();
        while rest.next_if(|b| b.is_ascii_whitespace()).is_some() {}
        rest.next_if(|b| **b == b'=')?;
        loop {
            while rest.next_if(|b| b.is_ascii_whitespace()).is_some() {}
            match rest.next() {
                Some(quote @ (b'`' | b'\'' | b'"')) => drop(quoted(&mut rest, *quote)),
                _ => drop(word(&mut rest, String::new())),
            }
            if rest.next_if(|b| **b == b'@').is_none() {
                break;
            }
        }
        // `CURRENT_USER()`
        if rest.next_if(|b| **b == b'(').is_some() {
            rest.next_if(|b| **b == b')');
        }
        Some((at, length(&rest)))
    });
    match named {
        Some((from, to)) => Cow::Owned([&sql[..from], &sql[to..]].concat()),
        None => Cow::Borrowed(sql),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        let database = |name: &str, options: &str| Kind::CreateDatabase(name.to_owned(), options.to_owned());
        for (sql, expected) in [
            ("INSERT INTO `t` VALUES (1)", Kind::Insert),
            ("replace into t values (1)", Kind::Insert),
            ("USE `a``b`", Kind::Use("a`b".into())),
            ("use shop", Kind::Use("shop".into())),
            (
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT CHARACTER SET latin1 COLLATE latin1_bin */ /*!80016 DEFAULT ENCRYPTION='N' */",
                database("shop", "CHARACTER SET latin1 COLLATE latin1_bin"),
            ),
            ("CREATE SCHEMA IF NOT EXISTS x", database("x", "")),
            (
                "ALTER DATABASE `shop` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ",
                Kind::AlterDatabase("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin".into()),
            ),
            ("DROP SCHEMA IF EXISTS sakila", Kind::DropDatabase),
            (
                "/*!50106 CREATE*/ /*!50117 DEFINER=`root`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */",
                Kind::Event,
            ),
            (
                "/*!50003 CREATE*/ /*!50017 DEFINER=`event`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 1 */",
                Kind::Plain,
            ),
            ("CREATE DEFINER = root@localhost EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", Kind::Event),
            ("CREATE DEFINER=CURRENT_USER PROCEDURE `p`() SELECT 1", Kind::Plain),
            ("CREATE TABLE `database` (`user` int)", Kind::Plain),
            ("CREATE FUNCTION f RETURNS STRING SONAME 'x.so'", Kind::Refused("the server would load a library")),
            ("CREATE OR REPLACE USER a IDENTIFIED BY 'x'", Kind::Global),
            ("GRANT ALL ON *.* TO a", Kind::Global),
            ("/*!40101 SET NAMES utf8mb4 */", Kind::Setting),
            ("SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ ''", Kind::Replication),
            ("SET @@SESSION.SQL_LOG_BIN= 0", Kind::Replication),
            ("SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN", Kind::Setting),
            ("SET @a = 1, GLOBAL max_connections = 5", Kind::Global),
            ("SET GLOBAL x = 1", Kind::Global),
            ("CHANGE MASTER TO MASTER_LOG_FILE='x'", Kind::Replication),
            ("LOCK TABLES `t` WRITE", Kind::Lock),
            ("UNLOCK TABLES", Kind::Lock),
            ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t", Kind::Refused("LOAD reads a file")),
            ("SELECT 1 INTO OUTFILE '/tmp/x'", Kind::Refused("the server would write a file")),
            ("SELECT 'into outfile'", Kind::Plain),
            ("source /etc/passwd", Kind::Refused("it holds a command for the client")),
            ("system rm -rf /", Kind::Refused("it holds a command for the client")),
            ("/*!40000 ALTER TABLE `t` DISABLE KEYS */", Kind::Plain),
        ] {
            assert_eq!(kind(sql.as_bytes()), expected, "{sql}");
        }
    }

    #[test]
    fn definers_are_taken_out_of_what_has_one() {
        for (sql, expected) in [
            (
                "/*!50003 CREATE*/ /*!50017 DEFINER=`ro``ot`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 'DEFINER=x' */",
                "/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 'DEFINER=x' */",
            ),
            (
                "/*!50013 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`b` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 */",
                "/*!50013 CREATE ALGORITHM=UNDEFINED */\n/*!50013  SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 */",
            ),
            ("CREATE DEFINER = root@localhost PROCEDURE p() SELECT 1", "CREATE  PROCEDURE p() SELECT 1"),
            ("CREATE DEFINER=CURRENT_USER() FUNCTION f()", "CREATE  FUNCTION f()"),
            ("CREATE TABLE t (a text DEFAULT 'DEFINER=x')", "CREATE TABLE t (a text DEFAULT 'DEFINER=x')"),
            ("CREATE VIEW v AS SELECT 1", "CREATE VIEW v AS SELECT 1"),
        ] {
            assert_eq!(String::from_utf8_lossy(&without_definer(sql.as_bytes())), expected);
        }
    }
}
