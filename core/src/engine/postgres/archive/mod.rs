//! pg_dump's archive format: the table of contents that pg_restore reads.

mod entry;

pub(crate) use entry::{Entry, Section};
