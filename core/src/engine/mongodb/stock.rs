//! Dumps that mongodump made: folders and archives.

use bytes::Bytes;

use super::oplog;
use crate::engine::StoredFile;
use crate::engine::stock::{About, Ending, StockFolder};
use crate::error::Result;
use crate::id::EngineKind;

/// Without the suffix of compression, which is of the whole folder.
fn plain(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name)
}

/// The files of a folder that are read whole: its metadata. None if mongodump did not make it.
pub(super) fn folder_heads(files: &[String]) -> Option<Vec<String>> {
    let of_dump = |name: &&String| plain(name).ends_with(".bson");
    files.iter().find(of_dump)?;
    Some(files.iter().filter(|name| plain(name).ends_with(".metadata.json")).cloned().collect())
}

/// Opens a folder: of all databases, or of one.
pub(super) fn open_folder(folder: &str, heads: Vec<(String, Bytes)>, files: &[String]) -> Result<StockFolder> {
    // The folder of one database is named by it; files of the server's are passed over by the target.
    let last = folder.rsplit('/').next().unwrap_or(folder);
    // One whose definition lies beside it is a collection of that name.
    let is_oplog =
        |name: &str| plain(name) == oplog::FILE && !files.iter().any(|other| plain(other) == "oplog.metadata.json");
    let ours = |name: &str| match plain(name) {
        plain if plain.contains('/') || is_oplog(name) => plain.to_owned(),
        plain => format!("{last}/{plain}"),
    };
    let schema = heads.into_iter().map(|(name, bytes)| (ours(&name), bytes)).collect();
    let mut data: Vec<(StoredFile, String)> = files
        .iter()
        .filter(|name| plain(name).ends_with(".bson"))
        .map(|name| (StoredFile { name: ours(name), bytes: None }, name.clone()))
        .collect();
    // It is applied to what the others bring.
    data.sort_by_key(|(file, _)| file.name == oplog::FILE);
    let about = About { format: "directory", created: None };
    // Documents tell their lengths.
    let ends = data.iter().map(|(file, _)| (file.name.clone(), Ending::OfBlock)).collect();
    Ok(StockFolder { engine: EngineKind::Mongodb, about, schema, data, ends })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn folders_of_one_database_and_of_all_are_understood() {
        let files = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let one = files(&["orders.bson.gz", "orders.metadata.json.gz", "v.metadata.json.gz"]);
        assert_eq!(folder_heads(&one).unwrap(), ["orders.metadata.json.gz", "v.metadata.json.gz"]);
        let opened = open_folder("old/shop", vec![("orders.metadata.json.gz".into(), Bytes::new())], &one).unwrap();
        assert_eq!(opened.schema[0].0, "shop/orders.metadata.json");
        assert_eq!((opened.data[0].0.name.as_str(), opened.data[0].1.as_str()), ("shop/orders.bson", "orders.bson.gz"));
        let all = files(&["oplog.bson", "shop/orders.bson"]);
        let opened = open_folder("dump", vec![], &all).unwrap();
        assert_eq!(
            opened.data.iter().map(|d| d.0.name.as_str()).collect::<Vec<_>>(),
            ["shop/orders.bson", "oplog.bson"]
        );
        let of_that_name = files(&["oplog.bson", "oplog.metadata.json"]);
        assert_eq!(open_folder("old/shop", vec![], &of_that_name).unwrap().data[0].0.name, "shop/oplog.bson");
        assert_eq!(folder_heads(&files(&["toc.dat", "1.dat"])), None);
    }
}
