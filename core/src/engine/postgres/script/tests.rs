#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use proptest::prelude::*;

use super::split::{Event, Splitter};
use super::*;
use crate::engine::script::{SCRIPT, Split as _};
use crate::error::{Code, Result};

/// The events of a script that arrives in pieces of this size; neighbouring rows are joined.
fn split(script: &[u8], piece: usize) -> Result<Vec<Event>> {
    let mut splitter = Splitter::default();
    let mut events: Vec<Event> = Vec::new();
    let mut add = |event: Event| match (events.last_mut(), event) {
        (Some(Event::Rows(before)), Event::Rows(more)) => *before = [&before[..], &more].concat().into(),
        (_, event) => events.push(event),
    };
    for piece in script.chunks(piece) {
        splitter.feed(Bytes::copy_from_slice(piece));
        while let Some(event) = splitter.next()? {
            add(event);
        }
    }
    if let Some(event) = splitter.finish()? {
        add(event);
    }
    Ok(events)
}

fn statements(script: &str) -> Vec<String> {
    let text = |event| match event {
        Event::Statement { sql, .. } => sql,
        other => panic!("{other:?}"),
    };
    split(script.as_bytes(), usize::MAX).unwrap().into_iter().map(text).collect()
}

#[test]
fn statements_end_where_the_server_says_so() {
    for (script, expected) in [
        ("SELECT 1; SELECT 2", vec!["SELECT 1", "SELECT 2"]),
        (";;\n ; ", vec![]),
        ("SELECT ';''\\'; SELECT 2", vec!["SELECT ';''\\'", "SELECT 2"]),
        (r"SELECT E'\';''\\'; SELECT 2", vec![r"SELECT E'\';''\\'", "SELECT 2"]),
        (r"SELECT e'a'';\'b'; x", vec![r"SELECT e'a'';\'b'", "x"]),
        (r"SELECT type'\'; x", vec![r"SELECT type'\'", "x"]),
        ("SELECT \";\"\"\\\"; x", vec!["SELECT \";\"\"\\\"", "x"]),
        ("DO $$;$a$;$$; x", vec!["DO $$;$a$;$$", "x"]),
        ("DO $_b1$ ; $_b$ $$ $_b1$; x", vec!["DO $_b1$ ; $_b$ $$ $_b1$", "x"]),
        ("SELECT $1, a$b$c; x", vec!["SELECT $1, a$b$c", "x"]),
        ("SELECT 1 -- no; end\n; /* ; /* ; */ ; */ x", vec!["SELECT 1", "x"]),
        ("SELECT 1-2, 1/2; x", vec!["SELECT 1-2, 1/2", "x"]),
        ("CREATE RULE r AS ON DELETE TO t DO (a; b); x", vec!["CREATE RULE r AS ON DELETE TO t DO (a; b)", "x"]),
        (
            "CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN b END; SELECT 2; END; x",
            vec!["CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN b END; SELECT 2; END", "x"],
        ),
        ("CREATE PROCEDURE p() BEGIN ATOMIC a; END; x", vec!["CREATE PROCEDURE p() BEGIN ATOMIC a; END", "x"]),
        ("BEGIN; SELECT 1; END; x", vec!["BEGIN", "SELECT 1", "END", "x"]),
        ("CREATE VIEW begin AS SELECT 1; x", vec!["CREATE VIEW begin AS SELECT 1", "x"]),
        (
            "SET standard_conforming_strings = off; SELECT '\\';'; x",
            vec!["SET standard_conforming_strings = off", "SELECT '\\';'", "x"],
        ),
        ("SELECT 'é🐘'; \"ü\"", vec!["SELECT 'é🐘'", "\"ü\""]),
    ] {
        assert_eq!(statements(script), expected, "{script}");
        let whole = split(script.as_bytes(), usize::MAX).unwrap();
        assert_eq!(split(script.as_bytes(), 1).unwrap(), whole, "{script}, byte by byte");
    }
}

#[test]
fn rows_of_copy_end_at_the_mark_alone() {
    let script = b"-- first\nCOPY public.t (a) FROM stdin;\n\\N\n\\.x\nx\\.\n;'$$\n\\.\nSELECT 1;\n\\restrict abc\n";
    let expected = [
        Event::Copy { sql: "COPY public.t (a) FROM stdin".into(), line: 2 },
        Event::Rows(Bytes::from_static(b"\\N\n\\.x\nx\\.\n;'$$\n")),
        Event::EndOfRows,
        Event::Statement { sql: "SELECT 1".into(), line: 8 },
        Event::Command { text: "\\restrict abc".into(), line: 9 },
    ];
    for piece in 1..=script.len() {
        assert_eq!(split(script, piece).unwrap(), expected, "pieces of {piece}");
    }
    let empty = split(b"COPY t FROM stdin;\n\\.\r\nCOPY u FROM stdin;\n\n\\.\n", 3).unwrap();
    assert_eq!(empty.len(), 5);
    assert_eq!(empty[1], Event::EndOfRows);
    assert_eq!(empty[3], Event::Rows(Bytes::from_static(b"\n")));
}

#[test]
fn commands_within_statements_are_refused_with_their_line() {
    for script in ["SELECT 1\n\\gexec\n", "SELECT 1\n \\; SELECT 2;", "COPY t FROM stdin; SELECT\n1"] {
        let refused = split(script.as_bytes(), usize::MAX).unwrap_err();
        assert_eq!(refused.code(), Code::UnsupportedScript, "{script}");
        assert!(refused.message().starts_with("line "), "{refused}");
    }
}

const WHOLE: &str = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.t (\n    a text DEFAULT 'x;\n'\n);\n\n\
    COPY public.t (a) FROM stdin;\none\n\\.\n\nCREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n";

#[test]
fn every_cut_of_a_dump_is_seen() {
    let end = WHOLE.find("dump complete").unwrap() + "dump complete".len();
    for cut in WHOLE.find("dump\n").unwrap() + 5..WHOLE.len() {
        let result = split(&WHOLE.as_bytes()[..cut], usize::MAX);
        match result {
            Ok(_) => assert!(cut >= end, "cut at {cut}"),
            Err(e) => assert!(cut < end && e.code() == Code::Damaged, "cut at {cut}: {e}"),
        }
    }
}

#[test]
fn text_is_told_from_other_files() {
    assert!(is_script(b"--\n-- PostgreSQL database dump\n\t\r\n"));
    assert!(is_script("SELECT 'é".as_bytes()));
    assert!(is_script(&"SELECT 'é".as_bytes()[..9]));
    assert!(!is_script(b"\x1f\x8b\x08"));
    assert!(!is_script(b"SELECT\0"));
    assert!(!is_script(b""));
}

#[test]
fn the_file_is_handed_on_as_it_is() {
    let mut file = file(Box::new(std::io::Cursor::new(WHOLE)));
    assert_eq!(file.next_file().unwrap().as_deref(), Some(SCRIPT));
    let mut out = Vec::new();
    loop {
        let piece = file.read().unwrap();
        if piece.is_empty() {
            break;
        }
        out.extend_from_slice(&piece);
    }
    assert_eq!(out, WHOLE.as_bytes());
    assert_eq!(file.next_file().unwrap(), None);
}

proptest! {
    #[test]
    fn pieces_make_no_difference_and_nothing_panics(script in "[a-zé$'\"\\\\;\n./*() -]{0,60}", piece in 1_usize..9) {
        let whole = split(script.as_bytes(), usize::MAX).map_err(|e| e.to_string());
        prop_assert_eq!(split(script.as_bytes(), piece).map_err(|e| e.to_string()), whole);
    }

    #[test]
    fn altered_dumps_never_panic(at in any::<prop::sample::Index>(), byte: u8) {
        let mut script = WHOLE.as_bytes().to_vec();
        let at = at.index(script.len());
        script[at] = byte;
        let _ = split(&script, 7);
    }
}
