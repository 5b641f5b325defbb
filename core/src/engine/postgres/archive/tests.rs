#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use crate::error::Code;

pub(super) fn header() -> Header {
    Header {
        created: jiff::civil::date(2025, 11, 21).at(2, 0, 1, 0),
        database: "shop".into(),
        server_version: "15.20".into(),
        tool_version: "lastgood 0.1.0".into(),
    }
}

pub(super) fn table() -> Entry {
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

/// An archive with a table and two large objects, and the files of its directory.
fn small() -> (Archive, Vec<(String, Vec<u8>)>) {
    let data = |dump_id, desc: &str, file: &str| Entry {
        dump_id,
        desc: desc.into(),
        section: Section::Data,
        defn: String::new(),
        copy: (desc == "TABLE DATA").then(|| "COPY public.orders (id) FROM stdin;\n".into()),
        file: Some(file.into()),
        ..table()
    };
    let blob = |dump_id, tag: &str| Entry { dump_id, desc: "BLOB".into(), tag: tag.into(), ..table() };
    let path = Entry { dump_id: 1, desc: "SEARCHPATH".into(), tag: "SEARCHPATH".into(), ..table() };
    let entries = vec![
        path,
        table(),
        blob(8, "16"),
        blob(9, "17"),
        data(10, "TABLE DATA", "10.dat"),
        data(11, "BLOBS", "blobs.toc"),
    ];
    let files = vec![
        ("10.dat".to_owned(), b"1\n2\n3\n\\.\n\n\n".to_vec()),
        ("blob_16.dat".to_owned(), vec![7; 1000]),
        ("blob_17.dat".to_owned(), vec![]),
    ];
    (Archive { header: header(), entries }, files)
}

/// The archive in the custom format, as `export` writes it, each file compressed by `compress`.
fn custom(compression: u8, compress: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (archive, files) = small();
    let plan = write_custom(&archive, &[16, 17]).unwrap();
    let mut out = plan.head.clone();
    if compression > 0 {
        // Since 1.15 a header tells the method in one byte.
        out[6] = 15;
        out.splice(11..16, [compression]);
    }
    for piece in plan.pieces {
        match piece {
            crate::engine::stock::Piece::Bytes(bytes) => out.extend(bytes),
            crate::engine::stock::Piece::Summed(_) | crate::engine::stock::Piece::End(_) => {
                panic!("of mongodump alone")
            }
            crate::engine::stock::Piece::File(name) => {
                let raw = &files.iter().find(|f| f.0 == name).unwrap().1;
                for chunk in compress(raw).chunks(100) {
                    out.extend((plan.chunk)(chunk.len()).unwrap());
                    out.extend(chunk);
                }
            }
        }
    }
    out
}

fn read_all(bytes: &[u8]) -> crate::error::Result<Vec<(String, Vec<u8>)>> {
    let mut dump = open_custom(Box::new(std::io::Cursor::new(bytes.to_vec())))?;
    let mut files = Vec::new();
    while let Some(name) = dump.files.next_file()? {
        let mut content = Vec::new();
        loop {
            let piece = dump.files.read()?;
            if piece.is_empty() {
                break;
            }
            content.extend_from_slice(&piece);
        }
        files.push((name, content));
    }
    Ok(files)
}

#[test]
fn custom_archives_of_every_compression_are_read() {
    use std::io::Write as _;
    let zlib = |raw: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    };
    let lz4 = |raw: &[u8]| {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    };
    let expected = small().1;
    assert_eq!(read_all(&custom(0, <[u8]>::to_vec)).unwrap(), expected);
    assert_eq!(read_all(&custom(1, zlib)).unwrap(), expected);
    assert_eq!(read_all(&custom(2, lz4)).unwrap(), expected);
    assert_eq!(read_all(&custom(3, |raw| zstd::encode_all(raw, 1).unwrap())).unwrap(), expected);
}

#[test]
fn every_cut_and_every_flip_of_a_custom_archive_is_refused_or_seen() {
    let whole = custom(0, <[u8]>::to_vec);
    for end in 0..whole.len() {
        assert_eq!(read_all(&whole[..end]).unwrap_err().code(), Code::Damaged, "cut at {end}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            // No panic, and nothing allocated by a length alone.
            let _ = read_all(&flipped);
        }
    }
}

#[test]
fn a_block_that_is_not_listed_or_comes_twice_is_refused() {
    let whole = custom(0, <[u8]>::to_vec);
    let plan = write_custom(&small().0, &[16, 17]).unwrap();
    let blocks = &whole[plan.head.len()..];
    assert_eq!(read_all(&[&whole, blocks].concat()).unwrap_err().code(), Code::Damaged);
    assert_eq!(read_all(&whole[..plan.head.len()]).unwrap_err().code(), Code::Damaged);
}
