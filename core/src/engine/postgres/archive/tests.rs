#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use crate::error::Code;

fn header() -> Header {
    Header {
        created: jiff::civil::date(2025, 11, 21).at(2, 0, 1, 0),
        database: "shop".into(),
        server_version: "15.20".into(),
        tool_version: "lastgood 0.1.0".into(),
    }
}

fn table() -> Entry {
    Entry {
        dump_id: 7,
        catalog: 1259,
        oid: 16_400,
        tag: "orders".into(),
        desc: "TABLE".into(),
        section: Section::PreData,
        defn: "CREATE TABLE public.orders (\n    id integer\n);\n".into(),
        drop: "DROP TABLE public.orders;\n".into(),
        copy: None,
        namespace: Some("public".into()),
        tablespace: Some(String::new()),
        table_am: Some("heap".into()),
        owner: "shop".into(),
        dependencies: vec![3, 5],
        file: None,
    }
}

#[test]
fn what_is_written_is_read_again() {
    let data = Entry {
        dump_id: 8,
        desc: "TABLE DATA".into(),
        section: Section::Data,
        copy: Some("COPY public.orders (id) FROM stdin;\n".into()),
        file: Some("8.dat".into()),
        dependencies: vec![7],
        ..table()
    };
    let archive = Archive { header: header(), entries: vec![table(), data] };
    assert_eq!(read(&write(&archive).unwrap()).unwrap(), archive);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = write(&Archive { header: header(), entries: vec![table(), table()] }).unwrap();
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end]).unwrap_err().code(), Code::Damaged, "cut at {end}");
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = write(&Archive { header: header(), entries: vec![table()] }).unwrap();
    bytes.push(0);
    assert_eq!(read(&bytes).unwrap_err().code(), Code::Damaged);
}

#[test]
fn versions_are_told_apart() {
    let mut bytes = write(&Archive { header: header(), entries: vec![] }).unwrap();
    bytes[6] = 17;
    assert_eq!(read(&bytes).unwrap_err().code(), Code::NewerFormat);
    bytes[6] = 11;
    assert_eq!(read(&bytes).unwrap_err().code(), Code::UnsupportedDatabase);
}

#[test]
fn a_length_beyond_the_end_allocates_nothing() {
    let mut bytes = write(&Archive { header: header(), entries: vec![] }).unwrap();
    // The entry count is the last integer.
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&i32::MAX.to_le_bytes());
    assert_eq!(read(&bytes).unwrap_err().code(), Code::Damaged);
}

#[test]
fn large_objects_are_listed_line_by_line() {
    let bytes = write_blobs(&[16_400, 4_294_967_295]);
    assert_eq!(bytes, b"16400 blob_16400.dat\n4294967295 blob_4294967295.dat\n");
    assert_eq!(read_blobs(&bytes).unwrap(), [16_400, 4_294_967_295]);
    for bad in ["1\n", "1 blob_2.dat\n", "x blob_x.dat\n", "1 ../../etc/passwd\n", "1 blob_1.dat extra\n"] {
        assert_eq!(read_blobs(bad.as_bytes()).unwrap_err().code(), Code::Damaged, "{bad}");
    }
}

/// Archives that pg_dump itself wrote: `LASTGOOD_TEST_ARCHIVES` names toc.dat or custom-format files.
#[test]
fn archives_of_pg_dump_are_read() {
    let Ok(files) = std::env::var("LASTGOOD_TEST_ARCHIVES") else { return };
    for file in files.split_whitespace() {
        let archive = read(&std::fs::read(file).unwrap()).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(archive.entries.iter().any(|e| e.desc == "TABLE DATA" && e.file.is_some()), "{file}");
        assert!(archive.header.created.year() > 2020, "{file}");
    }
}

fn entries() -> impl Strategy<Value = Entry> {
    let text = || "\\PC{0,12}";
    let maybe = || proptest::option::of("\\PC{0,12}");
    let section = proptest::sample::select(vec![Section::None, Section::PreData, Section::Data, Section::PostData]);
    (
        (1..i32::MAX, any::<u32>(), any::<u32>(), text(), text(), section),
        (text(), text(), maybe(), maybe(), maybe(), maybe()),
        (text(), proptest::collection::vec(any::<i32>(), 0..5), proptest::option::of("[a-z0-9.]{1,9}")),
    )
        .prop_map(|((dump_id, catalog, oid, tag, desc, section), b, (owner, dependencies, file))| {
            let (defn, drop, copy, namespace, tablespace, table_am) = b;
            Entry {
                dump_id,
                catalog,
                oid,
                tag,
                desc,
                section,
                defn,
                drop,
                copy,
                namespace,
                tablespace,
                table_am,
                owner,
                dependencies,
                file,
            }
        })
}

proptest! {
    #[test]
    fn any_archive_round_trips(entries in proptest::collection::vec(entries(), 0..8)) {
        let archive = Archive { header: header(), entries };
        prop_assert_eq!(read(&write(&archive).unwrap()).unwrap(), archive);
    }

    #[test]
    fn altered_bytes_never_panic(entries in proptest::collection::vec(entries(), 1..4), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = write(&Archive { header: header(), entries }).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes);
    }
}
