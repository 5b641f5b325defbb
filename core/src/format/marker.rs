//! The repository marker, `lastgood.json`: this folder is a store, and which one.

use serde::{Deserialize, Serialize};

use super::layout::MARKER;
use super::manifest::{VERSION, to_json};
use crate::error::{Code, Error, Result};
use crate::id::RepositoryId;

/// What the marker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// Version of the format.
    pub(crate) lastgood: u32,
    /// The store's identity.
    pub(crate) repository: RepositoryId,
    /// Whether its backups are encrypted: a store is one or the other.
    pub(crate) encrypted: bool,
}

impl Marker {
    pub(crate) fn new(encrypted: bool) -> Result<Self> {
        Ok(Self { lastgood: VERSION, repository: RepositoryId::random()?, encrypted })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        Ok(format!("{}\n", to_json(self)?).into_bytes())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            lastgood: u32,
        }
        let foreign = |e: serde_json::Error| {
            Error::new(Code::NotAStore, format!("{MARKER} is not the marker of a lastgood store"))
                .next("check the store's URL")
                .because(e)
        };
        let Version { lastgood } = serde_json::from_slice(bytes).map_err(foreign)?;
        if lastgood != VERSION {
            return Err(Error::new(
                Code::NewerFormat,
                format!("the store is of format {lastgood}, this library reads format {VERSION}"),
            )
            .next("use a newer version of lastgood"));
        }
        let marker: Self = serde_json::from_slice(bytes).map_err(foreign)?;
        if marker.encode()? != bytes {
            return Err(Error::new(Code::Damaged, format!("{MARKER} was altered"))
                .next("put back the original marker from another copy"));
        }
        Ok(marker)
    }
}
