//! What a backup is, as bytes: pure functions from bytes and values to bytes and values.

pub mod checksum;
