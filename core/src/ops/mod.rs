//! The verbs, one a file: the only place where engines meet storage.

pub(crate) mod backup;
mod compare;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod export;
pub(crate) mod keys;
pub(crate) mod list;
mod parts;
mod pipeline;
pub(crate) mod promote;
pub(crate) mod restore;
pub(crate) mod rotate;
pub(crate) mod session;
mod size;
pub(crate) mod verify;
mod volumes;
