//! What a dump brings, and where it goes.

use std::fmt;

use super::address::Place;
use super::catalog::BUCKETS;
use super::metadata::{Kind, Metadata};
use crate::engine::RestoreOptions;
use crate::error::Result;

/// A collection under its name in the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Namespace {
    pub(super) database: String,
    pub(super) collection: String,
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}

/// Where a collection of the dump goes.
pub(super) fn namespace(options: &RestoreOptions, place: &Place, dumped: &str, collection: &str) -> Result<Namespace> {
    let mapped = options.map.schemas.get(dumped).map_or(dumped, String::as_str);
    Ok(Namespace { database: place.database(mapped)?, collection: collection.to_owned() })
}

/// A collection of the dump.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    /// Its database in the dump.
    pub(super) dumped: String,
    /// Its place here.
    pub(super) to: Namespace,
    /// Where its documents go: beside it for time series.
    pub(super) data: String,
    pub(super) metadata: Metadata,
    /// Whether it is made, rather than only filled.
    pub(super) define: bool,
}

impl Incoming {
    pub(super) fn new(dumped: &str, to: Namespace, metadata: Metadata, define: bool) -> Self {
        let data = match metadata.kind {
            Kind::TimeSeries => format!("{BUCKETS}{}", metadata.collection),
            _ => metadata.collection.clone(),
        };
        Self { dumped: dumped.to_owned(), to, data, metadata, define }
    }
}
