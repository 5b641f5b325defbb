//! Which files a dump has, in which order, and at which `_id`s collections are cut into parts.

use std::cmp::Reverse;

use bytes::Bytes;
use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::Hint;

use super::catalog::Collection;
use super::connect::Server;
use super::failure::{failure, is_lost_cursor};
use super::names::{data_file, metadata_file};
use crate::engine::{DumpFile, FileRole};
use crate::error::Result;

/// No collection is cut into more parts: their borders are in memory.
const MOST_PARTS: u64 = 4096;

/// A collection of less than so many parts is read in one.
const FEWEST_PARTS: u64 = 4;

/// How often borders are looked for when the server gives up the cursor.
const ATTEMPTS: usize = 3;

/// Documents of a part that are looked at for each border that is found by sampling: the server samples without
/// reading everything only up to a twentieth of a collection.
const SAMPLES: u64 = 8;

/// Where the bytes of a file come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// They are here already.
    Memory(Bytes),
    /// The documents of a collection; the parts end before these `_id`s.
    Documents { collection: usize, borders: Vec<Bson> },
}

/// A file and where its bytes come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) file: DumpFile,
    pub(super) source: Source,
}

impl Planned {
    /// A file that is read whole before anything is loaded.
    pub(super) fn whole(name: String, bytes: Bytes) -> Self {
        let file = DumpFile { name, role: FileRole::Schema, parts: vec![bytes.len() as u64] };
        Self { file, source: Source::Memory(bytes) }
    }
}

/// The documents of one part: from this `_id` on, to before that one.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Range {
    pub(super) from: Option<Bson>,
    pub(super) to: Option<Bson>,
}

/// Plans metadata first, then documents, the largest collection first.
pub(super) fn files(collections: &[Collection], borders: Vec<Option<Vec<Bson>>>) -> Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for collection in collections {
        let name = metadata_file(&collection.database, collection.name());
        planned.push(Planned::whole(name, collection.metadata.encode()?.into()));
    }
    let mut data: Vec<Planned> = collections
        .iter()
        .enumerate()
        .zip(borders)
        .filter_map(|((index, collection), borders)| {
            let borders = borders?;
            let name = data_file(&collection.database, collection.data.as_deref()?);
            let parts = borders.len() as u64 + 1;
            let sizes = vec![collection.bytes / parts; borders.len() + 1];
            let file = DumpFile { name, role: FileRole::Data, parts: sizes };
            Some(Planned { file, source: Source::Documents { collection: index, borders } })
        })
        .collect();
    // A stable sort: equal sizes stay in the order of their names.
    data.sort_by_key(|p| Reverse(p.file.parts.iter().sum::<u64>()));
    planned.append(&mut data);
    Ok(planned)
}

/// The range of one part.
pub(super) fn range(part: usize, borders: &[Bson]) -> Range {
    Range { from: part.checked_sub(1).and_then(|i| borders.get(i)).cloned(), to: borders.get(part).cloned() }
}

/// How many parts a collection is worth; one where its order has to be kept.
pub(super) fn parts(collection: &Collection, part_bytes: u64) -> u64 {
    let parts = (collection.bytes / part_bytes.max(1)).min(MOST_PARTS);
    if collection.is_capped() || parts < FEWEST_PARTS { 1 } else { parts.min(collection.documents.max(1)) }
}

/// How the borders between so many parts of a collection are found.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// So many documents at random: every [`SAMPLES`]th is a border.
    Sample(u64),
    /// Every so many-th entry of the index on `_id`: documents are large, so there are few.
    Walk(u64),
}

fn way(parts: u64, documents: u64) -> Way {
    let sample = parts * SAMPLES;
    if sample.saturating_mul(25) <= documents { Way::Sample(sample) } else { Way::Walk((documents / parts).max(1)) }
}

/// The `_id`s at which a collection is cut, in the server's own order.
pub(super) async fn borders(server: &Server, collection: &Collection, part_bytes: u64) -> Result<Vec<Bson>> {
    let parts = parts(collection, part_bytes);
    let Some(data) = collection.data.as_deref().filter(|_| parts > 1) else { return Ok(Vec::new()) };
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        match look_for_borders(server, collection, data, parts).await {
            // Nothing was read yet, so that it can be begun again.
            Err(e) if is_lost_cursor(&e) && left > 0 => tracing::debug!(%e, "looking for parts again"),
            borders => {
                return borders.map_err(|e| failure(format!("looking for parts of {}", collection.full_name()), e));
            }
        }
    }
}

async fn look_for_borders(
    server: &Server,
    collection: &Collection,
    data: &str,
    parts: u64,
) -> mongodb::error::Result<Vec<Bson>> {
    let documents = server.database(&collection.database).collection::<RawDocumentBuf>(data);
    let id = |document: &RawDocumentBuf| document.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok());
    let mut borders = Vec::new();
    match way(parts, collection.documents) {
        Way::Sample(size) => {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            let pipeline = [
                doc! { "$sample": { "size": size } },
                doc! { "$project": { "_id": 1 } },
                doc! { "$sort": { "_id": 1 } },
            ];
            let sampled: Vec<Document> = documents.aggregate(pipeline).await?.try_collect().await?;
            let step = usize::try_from(SAMPLES).unwrap_or(1);
            borders.extend(sampled.into_iter().skip(step).step_by(step).filter_map(|mut d| d.remove("_id")));
        }
        Way::Walk(step) => {
            let find = documents.find(doc! {}).projection(doc! { "_id": 1 }).sort(doc! { "_id": 1 });
            let mut cursor = find.hint(Hint::Keys(doc! { "_id": 1 })).await?;
            let mut seen = 0;
            while let Some(document) = cursor.try_next().await? {
                if seen > 0 && seen % step == 0 {
                    borders.extend(id(&document));
                }
                seen += 1;
            }
        }
    }
    borders.dedup();
    Ok(borders)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::metadata::{Kind, Metadata};
    use super::*;

    fn collection(name: &str, bytes: u64, documents: u64, options: Document) -> Collection {
        let metadata = Metadata {
            options,
            indexes: vec![],
            uuid: String::new(),
            collection: name.to_owned(),
            kind: Kind::Collection,
        };
        Collection { database: "shop".into(), metadata, data: Some(name.to_owned()), bytes, documents }
    }

    #[test]
    fn ranges_cover_a_collection() {
        let borders = [Bson::from(10), Bson::from("x")];
        let told: Vec<_> = (0..3).map(|part| range(part, &borders)).collect();
        assert_eq!(told[0], Range { from: None, to: Some(10.into()) });
        assert_eq!(told[1], Range { from: Some(10.into()), to: Some("x".into()) });
        assert_eq!(told[2], Range { from: Some("x".into()), to: None });
        assert_eq!(range(0, &[]), Range::default());
    }

    #[test]
    fn only_what_pays_is_cut() {
        let of = |bytes, documents, options| parts(&collection("a", bytes, documents, options), 8 << 20);
        assert_eq!(of(31 << 20, 1000, doc! {}), 1);
        assert_eq!(of(32 << 20, 1000, doc! {}), 4);
        assert_eq!(of(1 << 50, 1 << 40, doc! {}), 4096);
        assert_eq!(of(1 << 30, 1 << 20, doc! { "capped": true }), 1);
        assert_eq!(of(64 << 20, 4, doc! {}), 4, "documents of 16 MiB");
    }

    #[test]
    fn a_sample_is_a_small_share_of_a_collection() {
        assert_eq!(way(100, 1_000_000), Way::Sample(800));
        assert_eq!(way(100, 10_000), Way::Walk(100));
        assert_eq!(way(4, 4), Way::Walk(1));
    }

    #[test]
    fn definitions_come_first_and_then_the_largest() {
        let collections =
            [collection("a", 10, 1, doc! {}), collection("b", 90, 3, doc! {}), collection("c", 50, 3, doc! {})];
        let borders = vec![Some(vec![]), Some(vec![Bson::from(1)]), None];
        let planned = files(&collections, borders).unwrap();
        let names: Vec<_> = planned.iter().map(|p| p.file.name.as_str()).collect();
        assert_eq!(
            names,
            ["shop/a.metadata.json", "shop/b.metadata.json", "shop/c.metadata.json", "shop/b.bson", "shop/a.bson"]
        );
        assert_eq!(planned[3].file.parts, [45, 45]);
    }
}
