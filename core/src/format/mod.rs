//! What a backup is, as bytes: pure functions from bytes and values to bytes and values.

pub mod checksum;
pub(crate) mod codec;
pub(crate) mod layout;
pub mod manifest;
pub(crate) mod marker;
pub mod proof;
