#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use proptest::prelude::*;

use super::split::{Splitter, Statement};
use super::words::kind;
use super::*;
use crate::engine::script::Split as _;
use crate::error::{Code, Result};

/// The statements of a script that arrives in pieces of this size.
fn split(script: &[u8], piece: usize) -> Result<Vec<Statement>> {
    let mut splitter = Splitter::default();
    let mut statements = Vec::new();
    for piece in script.chunks(piece) {
        splitter.feed(Bytes::copy_from_slice(piece));
        while let Some(statement) = splitter.next()? {
            statements.push(statement);
        }
    }
    statements.extend(splitter.finish()?);
    Ok(statements)
}

fn statements(script: &str) -> Vec<String> {
    let text = |statement: Statement| String::from_utf8(statement.sql).unwrap();
    split(script.as_bytes(), usize::MAX).unwrap().into_iter().map(text).collect()
}

#[test]
fn statements_end_where_the_client_says_so() {
    for (script, expected) in [
        ("SELECT 1; SELECT 2;", vec!["SELECT 1", "SELECT 2"]),
        (";;\n ; ", vec![]),
        (r"SELECT 'a;\';''\\'; x;", vec![r"SELECT 'a;\';''\\'", "x"]),
        (r#"SELECT "a;\";""\\"; x;"#, vec![r#"SELECT "a;\";""\\""#, "x"]),
        (r"SELECT `a;\`; `b``;`;", vec![r"SELECT `a;\`", "`b``;`"]),
        (
            "SET sql_mode='NO_BACKSLASH_ESCAPES'; SELECT '\\'; x;",
            vec!["SET sql_mode='NO_BACKSLASH_ESCAPES'", "SELECT '\\'", "x"],
        ),
        ("SET sql_mode='ANSI_QUOTES'; SELECT \"\\\"; x;", vec!["SET sql_mode='ANSI_QUOTES'", "SELECT \"\\\"", "x"]),
        ("-- first; '\n# second `\nSELECT 1; --\n--;\nx;", vec!["SELECT 1", "x"]),
        ("SELECT 1 -- it's\n; SELECT 1 # it's\n; x;", vec!["SELECT 1 -- it's", "SELECT 1 # it's", "x"]),
        ("SELECT 1--1; x;", vec!["SELECT 1--1", "x"]),
        ("/* it's; */ SELECT /* it's; */ 1 /**/; /*/ ; */ x;", vec!["SELECT /* it's; */ 1 /**/", "x"]),
        ("SELECT 4/2*1; x;", vec!["SELECT 4/2*1", "x"]),
        ("/*!40101 SET a='b;' */; /*M!100100 x */;", vec!["/*!40101 SET a='b;' */", "/*M!100100 x */"]),
        ("/*M it's no condition */ x;", vec!["x"]),
        ("SELECT /*+ BKA(t) it's */ 1;", vec!["SELECT /*+ BKA(t) it's */ 1"]),
        ("/*!999999\\- enable the sandbox mode */ \n-- x\nSELECT 1;", vec!["SELECT 1"]),
        ("/*M!999999\\- enable the sandbox mode */\nSELECT 1;", vec!["SELECT 1"]),
        (
            "DELIMITER ;;\nCREATE TRIGGER t BEGIN a; -- it's\nb; END */;;\nDELIMITER ;\nx;",
            vec!["CREATE TRIGGER t BEGIN a; -- it's\nb; END */", "x"],
        ),
        (
            "delimiter //\nSELECT 4/2; /* a//b */ '//'//\nx//\n  DELIMITER ; \ny;",
            vec!["SELECT 4/2; /* a//b */ '//'", "x", "y"],
        ),
        ("DELIMITER $$\r\na$b$$\r\nDELIMITER ;\r\nx;\r\n", vec!["a$b", "x"]),
        ("DELIMITER ;;\na;;; b;;", vec!["a", "; b"]),
        ("USE `shop`;\nuse other\nSELECT 1;", vec!["USE `shop`", "use other", "SELECT 1"]),
        ("SET NAMES gbk; SELECT 'x';", vec!["SET NAMES gbk", "SELECT 'x'"]),
        ("SELECT 'é🐘'; `ü`;", vec!["SELECT 'é🐘'", "`ü`"]),
    ] {
        assert_eq!(statements(script), expected, "{script}");
        let whole = split(script.as_bytes(), usize::MAX).unwrap();
        for piece in 1..=script.len() {
            assert_eq!(split(script.as_bytes(), piece).unwrap(), whole, "{script}, pieces of {piece}");
        }
    }
}

#[test]
fn binary_values_and_old_character_sets_do_not_end_a_text() {
    let script = b"SET NAMES gbk; INSERT INTO t VALUES ('\x95\x5c'); x;";
    assert_eq!(split(script, usize::MAX).unwrap().len(), 3);
    let script = b"INSERT INTO t VALUES (_binary '\x00\xff\\'\x01;'); x;";
    assert_eq!(split(script, 1).unwrap()[0].sql, b"INSERT INTO t VALUES (_binary '\x00\xff\\'\x01;')");
}

#[test]
fn lines_are_those_on_which_statements_begin() {
    let script = "-- x\n\nSELECT\n 'a\n\nb';  y\n;\nDELIMITER //\nz//\n";
    let lines: Vec<u64> = split(script.as_bytes(), 2).unwrap().iter().map(|s| s.line).collect();
    assert_eq!(lines, [3, 6, 9]);
}

#[test]
fn commands_for_the_client_are_refused_with_their_line() {
    for script in [
        "x;\n\\! rm -rf /\n",
        "x;\nSELECT 1 \\G\n",
        "x;\n\\. /etc/passwd\n",
        "x;\nsource /etc/passwd\n;",
        "x;\nsystem ls;",
        "x;\n/*!99999 \\! ls */;",
        "x;\nDELIMITER \\\n",
        "x;\nDELIMITER \n",
        "x;\n\0;",
    ] {
        let mut file = file(Box::new(std::io::Cursor::new(script.to_owned())));
        file.next_file().unwrap();
        let refused = file.next_file().unwrap_err();
        assert_eq!(refused.code(), Code::UnsupportedScript, "{script}");
        assert!(refused.message().starts_with("line 2: "), "{script}: {refused}");
    }
}

const WHOLE: &str = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB\n--\n\
    /*!40101 SET NAMES utf8mb4 */;\nCREATE TABLE `t` (\n  `a` text DEFAULT 'x;\n'\n);\nINSERT INTO `t` VALUES ('it\\'s'),('b');\n\
    DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER g BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; END */;;\nDELIMITER ;\n\
    -- Dump completed on 2025-11-21  2:00:01\n";

#[test]
fn every_cut_of_a_dump_is_seen() {
    let begin = WHOLE.find("MariaDB dump ").unwrap() + "MariaDB dump ".len();
    let end = WHOLE.find("Dump completed").unwrap() + "Dump completed".len();
    for cut in begin..WHOLE.len() {
        match split(&WHOLE.as_bytes()[..cut], usize::MAX) {
            Ok(_) => assert!(cut >= end, "cut at {cut}"),
            Err(e) => {
                assert!(cut < end && matches!(e.code(), Code::Damaged | Code::UnsupportedScript), "cut at {cut}: {e}")
            }
        }
    }
}

#[test]
fn a_last_statement_without_its_delimiter_is_damage() {
    for script in ["INSERT INTO t VALUES (1)", "SELECT 'a", "SELECT 1 /* a", "SELECT 1 -- a", "SELECT `a"] {
        assert_eq!(split(script.as_bytes(), 3).unwrap_err().code(), Code::Damaged, "{script}");
    }
}

#[test]
fn scripts_are_told_from_those_of_other_databases() {
    assert!(is_script(WHOLE.as_bytes()));
    assert!(is_script(b"SET SQL_MODE='x';\nDROP TABLE IF EXISTS `t`;"));
    assert!(!is_script(b"--\n-- PostgreSQL database dump\n--\nSELECT '`';"));
    assert!(!is_script(b"\x1f\x8b\x08`"));
    assert!(!is_script(b"SELECT 1;"));
    let raw = [&b"INSERT INTO `t` VALUES (1);\n".repeat(20)[..], b"INSERT INTO `t` VALUES ('\xff\x00');\n"].concat();
    assert!(is_script(&raw) && !is_text(&raw) && !is_script(&raw[500..]));
    assert!(is_text(b"SELECT 1;\r\n\xc3"));
    assert!(!is_text(b""));
}

/// Text of a statement that ends nowhere inside, whatever stands next to it.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 ,=()\n]{1,12}",
        "[^\\x00'\\\\]{0,12}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        "[^\\x00'\\\\]{0,12}".prop_map(|text| format!("'{text}\\'\\\\;'")),
        "[^\\x00\"\\\\]{0,12}".prop_map(|text| format!("\"{text}\"")),
        "[^\\x00`]{0,12}".prop_map(|text| format!("`{text}`")),
        "[^*/!M\\x00]{0,12}".prop_map(|text| format!(" /* {text}*/ ")),
        "[a-z0-9 ]{0,12}".prop_map(|text| format!(" /*!50003 {text}*/ ")),
        "[^\\x00\n]{0,12}".prop_map(|text| format!(" -- {text}\n")),
        "[^\\x00\n]{0,12}".prop_map(|text| format!(" # {text}\n")),
    ]
}

fn statement() -> impl Strategy<Value = String> {
    // A word of its own first: what is before a statement is none of it.
    prop::collection::vec(piece(), 0..6).prop_map(|pieces| format!("select {}", pieces.concat()))
}

proptest! {
    #[test]
    fn statements_that_were_joined_are_split_again(
        all in prop::collection::vec((statement(), prop::sample::select(vec![";", ";;", "//", "$$", "|"])), 0..6),
        piece in 1_usize..40,
    ) {
        let mut script = String::new();
        for (statement, delimiter) in &all {
            let quiet = !statement.contains(delimiter);
            let delimiter = if quiet { delimiter } else { "~end~" };
            script.push_str(&format!("DELIMITER {delimiter}\n{statement}{delimiter}\n"));
        }
        let expected: Vec<_> = all.iter().map(|(s, _)| s.trim_ascii_end().to_owned()).collect();
        let got = split(script.as_bytes(), piece).map_err(|e| e.to_string());
        let got: Result<Vec<_>, _> = got.map(|all| all.into_iter().map(|s| String::from_utf8(s.sql).unwrap()).collect());
        prop_assert_eq!(got, Ok(expected));
    }

    #[test]
    fn pieces_make_no_difference_and_nothing_panics(script in "[a-dé'\"`\\\\;\n/*!M#() -]{0,60}", piece in 1_usize..9) {
        let whole = split(script.as_bytes(), usize::MAX).map_err(|e| e.to_string());
        prop_assert_eq!(split(script.as_bytes(), piece).map_err(|e| e.to_string()), whole);
    }

    #[test]
    fn altered_dumps_never_panic(at in any::<prop::sample::Index>(), byte: u8) {
        let mut script = WHOLE.as_bytes().to_vec();
        let at = at.index(script.len());
        script[at] = byte;
        if let Ok(statements) = split(&script, 7) {
            statements.iter().for_each(|statement| drop(kind(&statement.sql)));
        }
    }
}
