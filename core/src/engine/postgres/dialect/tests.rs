#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::engine::postgres::archive::Header;

fn adapted(target: u32, entries: &[(&str, &str, &str)]) -> Result<(Vec<String>, Vec<String>)> {
    let header = Header {
        created: jiff::civil::date(2025, 1, 1).at(0, 0, 0, 0),
        database: "d".into(),
        server_version: "18.0".into(),
        tool_version: "x".into(),
    };
    let entry = |(dump_id, (desc, tag, defn)): (i32, &(&str, &str, &str))| Entry {
        dump_id,
        desc: (*desc).into(),
        tag: (*tag).into(),
        defn: (*defn).into(),
        namespace: Some("a".into()),
        ..Entry::default()
    };
    let mut archive = Archive { header, entries: (1..).zip(entries).map(entry).collect() };
    let warnings = adapt(&mut archive, target)?;
    Ok((
        archive.entries.into_iter().map(|e| e.defn).collect(),
        warnings.into_iter().map(|w| format!("{}: {}", w.code, w.message)).collect(),
    ))
}

#[track_caller]
fn becomes(target: u32, desc: &str, defn: &str, expected: &str) {
    assert_eq!(adapted(target, &[(desc, "t", defn)]).unwrap().0, [expected]);
}

#[test]
fn the_newest_server_takes_everything_as_it_is() {
    let defn = "CREATE TABLE a.t (\n    a integer GENERATED ALWAYS AS (1),\n    b integer NOT NULL NO INHERIT\n);\n";
    becomes(18, "TABLE", defn, defn);
}

#[test]
fn columns_are_said_in_older_words() {
    becomes(
        17,
        "TABLE",
        "CREATE TABLE a.t (\n    x numeric(12,2) DEFAULT (1)::numeric(12,2) NOT NULL,\n    y integer GENERATED ALWAYS AS ((x + 1)) NOT NULL,\n    \
         \"B c\" text CONSTRAINT \"n n\" NOT NULL NO INHERIT,\n    s text GENERATED ALWAYS AS ('a, b'::text) STORED,\n    \
         i bigint,\n    CONSTRAINT c CHECK ((x > (0)::numeric)),\n    CONSTRAINT loose CHECK ((y > 0)) NOT ENFORCED,\n    \
         CONSTRAINT own NOT NULL i\n)\nINHERITS (a.p);\nALTER TABLE ONLY a.t ALTER COLUMN x SET STATISTICS 5;\n",
        "CREATE TABLE a.t (\n    x numeric(12,2) DEFAULT (1)::numeric(12,2) NOT NULL,\n    y integer GENERATED ALWAYS AS ((x + 1)) STORED NOT NULL,\n    \
         \"B c\" text,\n    CONSTRAINT \"n n\" CHECK (\"B c\" IS NOT NULL) NO INHERIT,\n    s text GENERATED ALWAYS AS ('a, b'::text) STORED,\n    \
         i bigint,\n    CONSTRAINT c CHECK ((x > (0)::numeric))\n)\nINHERITS (a.p);\nALTER TABLE ONLY a.t ALTER COLUMN x SET STATISTICS 5;\n\n\
         ALTER TABLE ONLY a.t ALTER COLUMN i SET NOT NULL;\n",
    );
    let plain = "CREATE TABLE a.t (\n    a integer CONSTRAINT named NOT NULL,\n    b a.d[] DEFAULT ARRAY['NOT NULL'::text, 'x'::text]\n);\n";
    becomes(15, "TABLE", plain, plain);
    let none = "CREATE TABLE a.t (\n);\n";
    becomes(15, "TABLE", none, none);
    let typed = "CREATE TABLE a.t OF a.p (\n    x DEFAULT 0 NOT NULL\n);\n";
    becomes(15, "TABLE", typed, typed);
}

#[test]
fn constraints_are_said_in_older_words_or_left_out() {
    becomes(
        17,
        "CONSTRAINT",
        "ALTER TABLE a.t\n    ADD CONSTRAINT later NOT NULL d NOT VALID;\n",
        "ALTER TABLE a.t\n    ADD CONSTRAINT later CHECK (d IS NOT NULL) NOT VALID;\n",
    );
    becomes(
        15,
        "CONSTRAINT",
        "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT k PRIMARY KEY (id, \"V\" WITHOUT OVERLAPS);\n",
        "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT k EXCLUDE USING gist (id WITH =, \"V\" WITH &&);\n",
    );
    let (left, warnings) = adapted(
        17,
        &[
            (
                "FK CONSTRAINT",
                "t f",
                "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT f FOREIGN KEY (id, PERIOD v) REFERENCES a.p(id, PERIOD v);\n",
            ),
            (
                "FK CONSTRAINT",
                "t g",
                "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT g FOREIGN KEY (b) REFERENCES a.p(id) NOT ENFORCED;\n",
            ),
            ("CONSTRAINT", "t k", "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT k UNIQUE (id);\n"),
        ],
    )
    .unwrap();
    assert_eq!((left.len(), warnings.len()), (1, 2), "{left:?} {warnings:?}");
}

#[test]
fn comments_go_with_constraints_that_have_no_name() {
    let table =
        "CREATE TABLE a.t (\n    x integer CONSTRAINT \"X there\" NOT NULL,\n    CONSTRAINT c CHECK ((x > 0))\n);\n";
    let on = |name: &str| format!("COMMENT ON CONSTRAINT {name} ON a.t IS 'it''s';\n");
    let (gone, kept) = (on("\"X there\""), on("c"));
    let entries = [("TABLE", "t", table), ("COMMENT", "", gone.as_str()), ("COMMENT", "", kept.as_str())];
    assert_eq!(adapted(17, &entries).unwrap().0, [table, &kept]);
    assert_eq!(adapted(18, &entries).unwrap().0.len(), 3);
    let domain = "CREATE DOMAIN a.t AS text CONSTRAINT there NOT NULL;\n";
    let on = "COMMENT ON CONSTRAINT there ON DOMAIN a.t IS 'x';\n";
    assert_eq!(adapted(16, &[("DOMAIN", "t", domain), ("COMMENT", "", on)]).unwrap().0, [domain]);
}

#[test]
fn privileges_and_options_that_are_not_known_are_left_out() {
    becomes(
        16,
        "ACL",
        "GRANT SELECT,MAINTAIN ON TABLE a.t TO x;\nGRANT MAINTAIN ON TABLE a.t TO \"MAINTAIN\";\nGRANT ALL ON TABLE a.t TO z;\n",
        "GRANT SELECT ON TABLE a.t TO x;\n\nGRANT ALL ON TABLE a.t TO z;\n",
    );
    becomes(
        17,
        "PUBLICATION",
        "CREATE PUBLICATION p WITH (publish = 'insert', publish_generated_columns = stored);\n",
        "CREATE PUBLICATION p WITH (publish = 'insert');\n",
    );
    becomes(
        17,
        "TABLE",
        "CREATE TABLE a.t (\n    a integer\n)\nWITH (autovacuum_vacuum_max_threshold='5');\n",
        "CREATE TABLE a.t (\n    a integer\n)\n;\n",
    );
    becomes(
        16,
        "TABLE",
        "CREATE TABLE a.t (\n    a integer\n)\nPARTITION BY LIST (a);\n\nALTER TABLE a.t SET ACCESS METHOD heap;\n",
        "CREATE TABLE a.t (\n    a integer\n)\nPARTITION BY LIST (a);\n\n",
    );
    becomes(
        18,
        "TABLE",
        "CREATE UNLOGGED TABLE a.t (\n    a integer\n)\nPARTITION BY LIST (a);\n",
        "CREATE TABLE a.t (\n    a integer\n)\nPARTITION BY LIST (a);\n",
    );
}

#[test]
fn what_data_may_depend_on_is_refused_by_name() {
    let builtin = [("COLLATION", "c", "CREATE COLLATION a.c (provider = builtin, locale = 'C.UTF-8');\n")];
    let e = adapted(16, &builtin).unwrap_err();
    assert_eq!(e.code(), Code::UnsupportedDatabase);
    assert!(e.message().contains("COLLATION a.c"), "{e}");
    assert!(adapted(17, &builtin).is_ok());
    let same = [("COLLATION", "c", "CREATE COLLATION a.c (provider = builtin, locale = 'C');\n")];
    assert_eq!(adapted(15, &same).unwrap().0, ["CREATE COLLATION a.c (provider = libc, locale = 'C');\n"]);
    let child = [
        ("TABLE", "p", "CREATE TABLE a.p (\n    b integer GENERATED ALWAYS AS ((1 + 1)) STORED\n);\n"),
        ("TABLE", "q", "CREATE TABLE a.q (\n    b integer GENERATED ALWAYS AS (3) STORED\n)\nINHERITS (a.p);\n"),
    ];
    let e = adapted(15, &child).unwrap_err();
    assert!(e.message().contains("TABLE a.q, whose column b"), "{e}");
    assert!(adapted(16, &child).is_ok());
}
