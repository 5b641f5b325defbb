//! Volumes: ZIP files, sealed, that hold the files of a dump.

mod writer;

pub(crate) use writer::VolumeWriter;
