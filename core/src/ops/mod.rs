//! The verbs, one a file: the only place where engines meet storage.

pub(crate) mod artifact;
pub(crate) mod backup;
pub(crate) mod census;
pub(crate) mod classic;
mod compare;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod export;
mod flow;
pub(crate) mod hold;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod list;
mod parts;
mod pipeline;
pub(crate) mod promote;
pub(crate) mod prune;
pub(crate) mod restore;
pub(crate) mod rotate;
pub(crate) mod session;
mod size;
pub(crate) mod slot;
pub(crate) mod sweep;
mod unwrap;
pub(crate) mod verify;
mod volumes;
