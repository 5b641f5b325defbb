//! What is known of a collection beside its documents, as its metadata.json has it.

use mongodb::bson::{Bson, Document};

use super::extjson;
use crate::error::{Code, Error, Result};

/// A collection's definition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metadata {
    /// What it was created with.
    pub(super) options: Document,
    /// As listIndexes tells them, the one on `_id` as well.
    pub(super) indexes: Vec<Document>,
    /// Its UUID in hex; empty where there is none.
    pub(super) uuid: String,
    pub(super) collection: String,
    pub(super) kind: Kind,
}

/// What `type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Collection,
    View,
    TimeSeries,
}

impl Kind {
    /// A type that is not known is one of a later server: it is read as a collection.
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "view" => Self::View,
            "timeseries" => Self::TimeSeries,
            _ => Self::Collection,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Collection => "collection",
            Self::View => "view",
            Self::TimeSeries => "timeseries",
        }
    }
}

impl Metadata {
    /// With its fields in mongodump's order.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut document = Document::new();
        document.insert("options", self.options.clone());
        document.insert("indexes", self.indexes.iter().cloned().map(Bson::Document).collect::<Vec<_>>());
        if !self.uuid.is_empty() {
            document.insert("uuid", &self.uuid);
        }
        document.insert("collectionName", &self.collection);
        document.insert("type", self.kind.as_str());
        Ok(extjson::write(&document)?.into_bytes())
    }

    /// Reads what mongodump of whatever version wrote; the collection's name is the file's where it has none.
    ///
    /// # Errors
    /// `Damaged`.
    pub(super) fn decode(text: &[u8], named: Option<&str>) -> Result<Self> {
        let damaged = |why: &str| Error::new(Code::Damaged, why.to_owned()).next("use another copy of the dump");
        let mut document = extjson::read(text)?;
        let indexes = match document.remove("indexes") {
            None | Some(Bson::Null) => Vec::new(),
            Some(Bson::Array(indexes)) => indexes
                .into_iter()
                .map(|index| match index {
                    Bson::Document(index) if index.get_document("key").is_ok() => Ok(index),
                    _ => Err(damaged("an index has no key")),
                })
                .collect::<Result<_>>()?,
            Some(_) => return Err(damaged("`indexes` is no list")),
        };
        let options = match document.remove("options") {
            None | Some(Bson::Null) => Document::new(),
            Some(Bson::Document(options)) => options,
            Some(_) => return Err(damaged("`options` is no document")),
        };
        let text = |key: &str| document.get_str(key).ok().filter(|text| !text.is_empty()).map(str::to_owned);
        let collection = text("collectionName").or_else(|| named.map(str::to_owned));
        let kind = match text("type") {
            Some(kind) => Kind::parse(&kind),
            // Tools before 2018 wrote no type.
            None if options.contains_key("viewOn") => Kind::View,
            None => Kind::Collection,
        };
        Ok(Self {
            options,
            indexes,
            uuid: text("uuid").unwrap_or_default(),
            collection: collection.ok_or_else(|| damaged("it names no collection"))?,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn metadata_is_written_in_mongodumps_order_and_read_back() {
        let metadata = Metadata {
            options: doc! { "capped": true, "size": 4096 },
            indexes: vec![doc! { "v": 2, "key": { "b": 1, "a": -1 }, "name": "b_1_a_-1" }],
            uuid: "00ff".into(),
            collection: "orders".into(),
            kind: Kind::Collection,
        };
        let text = String::from_utf8(metadata.encode().unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"options":{"capped":true,"size":{"$numberInt":"4096"}},"indexes":[{"v":{"$numberInt":"2"},"key":{"b":{"$numberInt":"1"},"a":{"$numberInt":"-1"}},"name":"b_1_a_-1"}],"uuid":"00ff","collectionName":"orders","type":"collection"}"#
        );
        assert_eq!(Metadata::decode(text.as_bytes(), None).unwrap(), metadata);
    }

    #[test]
    fn old_metadata_is_understood() {
        let old = Metadata::decode(br#"{"options":{"viewOn":"a","pipeline":[]},"indexes":[]}"#, Some("v")).unwrap();
        assert_eq!((old.kind, old.collection.as_str()), (Kind::View, "v"));
        for damaged in [r#"{"indexes":[{}]}"#, r#"{"indexes":1}"#, r#"{"options":1}"#, "{}"] {
            let e = Metadata::decode(damaged.as_bytes(), None).unwrap_err();
            assert_eq!(e.code(), Code::Damaged, "{damaged}");
        }
    }
}
