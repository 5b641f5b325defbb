//! How a database file is doing.

use std::path::Path;

use super::blocking::Stop;
use super::ffi;
use super::source::Source;
use crate::error::Result;
use crate::id::EngineKind;
use crate::report::DatabaseStats;

pub(super) fn stats(path: &Path, stop: &Stop) -> Result<DatabaseStats> {
    let source = Source::open(path, stop)?;
    let mut stats = DatabaseStats::new(EngineKind::Sqlite, ffi::version());
    stats.size_bytes = Some(source.bytes()?);
    let pragma = |name: &str| Ok::<_, crate::Error>(u64::try_from(source.connection.integer(name)?).unwrap_or(0));
    stats.free_bytes = Some(pragma("PRAGMA freelist_count")?.saturating_mul(pragma("PRAGMA page_size")?));
    source.end()?;
    Ok(stats)
}
