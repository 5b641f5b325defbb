//! mongodump's archive: one file with the definitions first, and then the documents of all collections, interleaved.
//!
//! Described by the tools' own specification: a magic number, a header, one document for each collection with its
//! metadata.json, a terminator; then segments, each a header that names the collection, documents, a terminator. A
//! header with `EOF` ends a collection and holds the CRC-64/XZ of all its documents.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, Read};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use mongodb::bson::{RawDocumentBuf, rawdoc};

use super::metadata::{Kind, Metadata};
use super::names;
use crate::engine::StoredFile;
use crate::engine::stock::{About, FileReader, OneFile, Piece, StockDump};
use crate::error::{Code, Error, Result};
use crate::id::EngineKind;

const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];
const TERMINATOR: [u8; 4] = [0xff; 4];

/// What the oplog is called here.
const OPLOG: &str = "oplog";

/// No document of an archive is longer: 16 MiB, what servers add to their own, and long metadata.
const LONGEST: usize = 48 << 20;

/// Definitions in an archive are not more than this: 1 GiB.
const MAX_METADATA: usize = 1 << 30;

/// Bytes handed on at once, about.
const PIECE: usize = 256 << 10;

/// Whether a file begins as an archive does.
pub(super) fn is_archive(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// Opens an archive: reads its definitions.
pub(super) fn open(mut input: Box<dyn BufRead + Send>) -> Result<StockDump> {
    let mut magic = [0; 4];
    input.read_exact(&mut magic).map_err(|e| Error::of_reader(e, "the archive's beginning"))?;
    if magic != MAGIC {
        return Err(damaged("it is no archive of mongodump"));
    }
    let header = block(&mut *input)?.ok_or_else(|| damaged("it has no header"))?;
    match header.get_str("version") {
        Ok("0.1") => {}
        Ok(other) => {
            return Err(Error::new(Code::NewerFormat, format!("the archive is of version {other}, 0.1 is understood"))
                .next("restore it with the mongorestore that belongs to it"));
        }
        Err(_) => return Err(damaged("its header has no version")),
    }
    let (mut schema, mut data, mut open, mut total) = (Vec::new(), Vec::new(), BTreeMap::new(), 0);
    while let Some(entry) = block(&mut *input)? {
        total += entry.as_bytes().len();
        if total > MAX_METADATA {
            return Err(damaged("its definitions are too long"));
        }
        let text = |key: &str| entry.get_str(key).map_err(|_| damaged(&format!("a collection has no `{key}`")));
        let (database, collection) = (text("db")?, text("collection")?);
        if let Ok(metadata) = text("metadata").map(str::as_bytes)
            && !metadata.is_empty()
        {
            let name = names::metadata_file(database, collection);
            schema.push((name, Bytes::copy_from_slice(metadata)));
        }
        let data_of = match Kind::parse(entry.get_str("type").unwrap_or_default()) {
            Kind::View => continue,
            Kind::TimeSeries => format!("{}{collection}", super::catalog::BUCKETS),
            Kind::Collection => collection.to_owned(),
        };
        let name = file_of(database, &data_of);
        data.push(StoredFile { name: name.clone(), bytes: None });
        open.insert(name, Digest::new(CrcAlgorithm::Crc64Xz));
    }
    let files = Segments { input, open, ended: BTreeSet::new(), current: None, pending: None };
    Ok(StockDump {
        engine: EngineKind::Mongodb,
        about: About { format: "archive", created: None },
        schema,
        data,
        ends: HashMap::new(),
        files: Box::new(files),
    })
}

/// The oplog has no database.
fn file_of(database: &str, collection: &str) -> String {
    if database.is_empty() { format!("{collection}.bson") } else { names::data_file(database, collection) }
}

/// The segments of an archive: a collection comes as often as it has some.
struct Segments {
    input: Box<dyn BufRead + Send>,
    /// Checksums of collections that have not ended.
    open: BTreeMap<String, Digest>,
    ended: BTreeSet<String>,
    /// The collection whose documents are being read.
    current: Option<String>,
    /// A document that did not fit into the last piece.
    pending: Option<RawDocumentBuf>,
}

impl FileReader for Segments {
    fn next_file(&mut self) -> Result<Option<String>> {
        while self.current.is_some() {
            self.read()?;
        }
        loop {
            if self.input.fill_buf().map_err(|e| Error::of_reader(e, "the archive"))?.is_empty() {
                return match self.open.keys().next() {
                    None => Ok(None),
                    Some(name) => Err(damaged(&format!("it ends before {name} does"))),
                };
            }
            let header = block(&mut *self.input)?.ok_or_else(|| damaged("a segment has no header"))?;
            let text = |key: &str| header.get_str(key).map_err(|_| damaged(&format!("a segment has no `{key}`")));
            let name = file_of(text("db")?, text("collection")?);
            if self.ended.contains(&name) {
                return Err(damaged(&format!("{name} goes on after its end")));
            }
            let sum = self.open.entry(name.clone()).or_insert_with(|| Digest::new(CrcAlgorithm::Crc64Xz));
            if header.get_bool("EOF").unwrap_or(false) {
                let told = header.get_i64("CRC").map_err(|_| damaged("a collection has no checksum"))?;
                if sum.finalize().cast_signed() != told {
                    return Err(damaged(&format!("the documents of {name} are not what its checksum is of")));
                }
                if block(&mut *self.input)?.is_some() {
                    return Err(damaged("there are documents where a collection has ended"));
                }
                self.open.remove(&name);
                self.ended.insert(name);
                continue;
            }
            self.current = Some(name.clone());
            return Ok(Some(name));
        }
    }

    fn read(&mut self) -> Result<Bytes> {
        let Some(name) = self.current.clone() else { return Ok(Bytes::new()) };
        let mut piece: Vec<u8> = self.pending.take().map(RawDocumentBuf::into_bytes).unwrap_or_default();
        while piece.len() < PIECE {
            match block(&mut *self.input)? {
                Some(document) => piece.extend_from_slice(document.as_bytes()),
                None => {
                    self.current = None;
                    break;
                }
            }
        }
        if let Some(sum) = self.open.get_mut(&name) {
            sum.update(&piece);
        }
        if piece.is_empty() {
            self.current = None;
        }
        Ok(piece.into())
    }
}

/// The next document; none at a terminator.
fn block(input: &mut dyn Read) -> Result<Option<RawDocumentBuf>> {
    let failed = |e| Error::of_reader(e, "the archive");
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(failed)?;
    if length == TERMINATOR {
        return Ok(None);
    }
    let bytes = usize::try_from(i32::from_le_bytes(length)).unwrap_or(0);
    if !(5..=LONGEST).contains(&bytes) {
        return Err(damaged("the length of a document is impossible"));
    }
    let mut document = Vec::with_capacity(bytes.min(PIECE));
    document.extend_from_slice(&length);
    let read = input.take((bytes - 4) as u64).read_to_end(&mut document).map_err(failed)?;
    if read != bytes - 4 {
        return Err(damaged("it ends in the middle of a document"));
    }
    RawDocumentBuf::from_bytes(document).map(Some).map_err(|_| damaged("a document has no end"))
}

fn damaged(what: &str) -> Error {
    Error::new(Code::Damaged, format!("the archive cannot be read: {what}"))
        .next("use another copy of it, or another backup")
}

/// A dump directory, whose metadata files these are, as an archive; perhaps with an oplog.
pub(super) fn one_file(schema: &[(String, Bytes)], oplog: bool) -> Result<OneFile> {
    let mut head = MAGIC.to_vec();
    let header = rawdoc! {
        "concurrent_collections": 1,
        "version": "0.1",
        "server_version": "",
        "tool_version": concat!("lastgood ", env!("CARGO_PKG_VERSION")),
    };
    head.extend_from_slice(header.as_bytes());
    let mut pieces = Vec::new();
    for (file, text) in schema {
        let Some((database, stem, kind)) = names::parse(file) else { continue };
        if kind == names::Kind::Data {
            // Users and roles, which have no metadata.
            let entry = rawdoc! { "db": database, "collection": stem, "metadata": "", "size": 0, "type": "" };
            head.extend_from_slice(entry.as_bytes());
            let mut sum = Digest::new(CrcAlgorithm::Crc64Xz);
            sum.update(text);
            let end = segment(database, stem, Some(sum.finalize()));
            let segment = [&segment(database, stem, None)[..], text, &TERMINATOR, &end, &TERMINATOR].concat();
            pieces.push(Piece::Bytes(segment));
            continue;
        }
        let metadata = Metadata::decode(text, names::unescaped(stem).as_deref()).map_err(|e| e.at(file))?;
        let told = std::str::from_utf8(text).map_err(|_| damaged("metadata is no text"))?;
        let kind = if metadata.kind == Kind::Collection { "" } else { metadata.kind.as_str() };
        let entry = rawdoc! {
            "db": database, "collection": metadata.collection.as_str(), "metadata": told, "size": 0, "type": kind,
        };
        head.extend_from_slice(entry.as_bytes());
        let data = match metadata.kind {
            Kind::View => continue,
            Kind::TimeSeries => format!("{}{}", super::catalog::BUCKETS, metadata.collection),
            Kind::Collection => metadata.collection,
        };
        pieces.extend(documents(database.to_owned(), data));
    }
    if oplog {
        // Of no database, and last, since it is applied to all others.
        let entry = rawdoc! { "db": "", "collection": OPLOG, "metadata": "", "size": 0, "type": "" };
        head.extend_from_slice(entry.as_bytes());
        pieces.extend(documents(String::new(), OPLOG.to_owned()));
    }
    head.extend_from_slice(&TERMINATOR);
    Ok(OneFile { head, pieces, chunk: |_| Ok(Vec::new()) })
}

/// All documents of a collection.
fn documents(database: String, collection: String) -> [Piece; 3] {
    let begin = Piece::Bytes(segment(&database, &collection, None));
    let file = Piece::Summed(file_of(&database, &collection));
    let end =
        move |sum| [TERMINATOR.to_vec(), segment(&database, &collection, Some(sum)), TERMINATOR.to_vec()].concat();
    [begin, file, Piece::End(Box::new(end))]
}

fn segment(database: &str, collection: &str, sum: Option<u64>) -> Vec<u8> {
    let header = rawdoc! {
        "db": database, "collection": collection, "EOF": sum.is_some(), "CRC": sum.unwrap_or(0).cast_signed(),
    };
    header.into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Cursor;

    use super::*;

    const TEXT: &str = r#"{"options":{},"indexes":[],"collectionName":"a b","type":"collection"}"#;

    fn archive() -> Vec<u8> {
        let view = r#"{"options":{"viewOn":"a b","pipeline":[]},"indexes":[],"collectionName":"v","type":"view"}"#;
        let schema = [
            ("shop/a+b.metadata.json".to_owned(), Bytes::from_static(TEXT.as_bytes())),
            ("shop/v.metadata.json".to_owned(), Bytes::from_static(view.as_bytes())),
        ];
        let plan = one_file(&schema, false).unwrap();
        let mut out = plan.head;
        let documents = [rawdoc! { "_id": 1 }, rawdoc! { "_id": 2, "x": "y" }];
        let mut sum = Digest::new(CrcAlgorithm::Crc64Xz);
        for piece in plan.pieces {
            match piece {
                Piece::Bytes(bytes) => out.extend(bytes),
                Piece::Summed(name) => {
                    assert_eq!(name, "shop/a+b.bson");
                    for document in &documents {
                        sum.update(document.as_bytes());
                        out.extend_from_slice(document.as_bytes());
                    }
                }
                Piece::End(end) => out.extend(end(sum.finalize())),
                Piece::File(name) => panic!("{name}"),
            }
        }
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut dump = open(Box::new(Cursor::new(bytes.to_vec())))?;
        let mut found = Vec::new();
        while let Some(name) = dump.files.next_file()? {
            let mut content = Vec::new();
            loop {
                let piece = dump.files.read()?;
                if piece.is_empty() {
                    break;
                }
                content.extend_from_slice(&piece);
            }
            found.push((name, content));
        }
        Ok(found)
    }

    #[test]
    fn an_archive_comes_back() {
        let found = read(&archive()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "shop/a+b.bson");
        assert_eq!(
            found[0].1.len(),
            rawdoc! { "_id": 1 }.as_bytes().len() + rawdoc! { "_id": 2, "x": "y" }.as_bytes().len()
        );
        let dump = open(Box::new(Cursor::new(archive()))).unwrap();
        assert_eq!(dump.schema[0], ("shop/a+b.metadata.json".to_owned(), Bytes::from_static(TEXT.as_bytes())));
        assert_eq!(dump.data.len(), 1, "a view has no documents");
    }

    #[test]
    fn interleaved_segments_are_told_apart() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(rawdoc! { "version": "0.1" }.as_bytes());
        for name in ["a", "b"] {
            let entry = rawdoc! { "db": "shop", "collection": name, "metadata": "", "size": 0, "type": "" };
            bytes.extend_from_slice(entry.as_bytes());
        }
        bytes.extend_from_slice(&TERMINATOR);
        let mut sums = HashMap::new();
        for (name, id) in [("a", 1), ("b", 2), ("a", 3)] {
            let document = rawdoc! { "_id": id };
            sums.entry(name).or_insert_with(|| Digest::new(CrcAlgorithm::Crc64Xz)).update(document.as_bytes());
            bytes.extend([segment("shop", name, None), document.into_bytes(), TERMINATOR.to_vec()].concat());
        }
        for name in ["b", "a"] {
            bytes.extend([segment("shop", name, Some(sums[name].finalize())), TERMINATOR.to_vec()].concat());
        }
        let names: Vec<_> = read(&bytes).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["shop/a.bson", "shop/b.bson", "shop/a.bson"]);
    }

    #[test]
    fn whatever_is_cut_or_flipped_in_documents_is_noticed() {
        let whole = archive();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut at {length}");
        }
        let (first, second) = (rawdoc! { "_id": 1 }, rawdoc! { "_id": 2, "x": "y" });
        let documents = [first.as_bytes(), second.as_bytes()].concat();
        let begin = whole.windows(documents.len()).position(|w| w == documents).unwrap();
        for at in begin..begin + documents.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(read(&bytes).is_err(), "flipped at {at}");
        }
    }
}
