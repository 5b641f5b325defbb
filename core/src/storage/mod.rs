//! Where backups lie: any object store, behind the few calls that a backup needs.

mod lease;
mod repository;
mod upload;
mod url;

pub(crate) use lease::{Lease, Taken};
pub(crate) use repository::{Created, Meta, Repository};
pub(crate) use upload::{Upload, Uploaded};
pub(crate) use url::{StoreUrl, options_from};
