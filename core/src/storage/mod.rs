//! Where backups lie: any object store, behind the few calls that a backup needs.

mod repository;
mod upload;
mod url;

pub(crate) use repository::{Created, Repository};
pub(crate) use upload::{Upload, Uploaded};
pub(crate) use url::{StoreUrl, options_from};
