//! Turns an artifact into a backup of ours: restored into a scratch database, and backed up from there.
//!
//! So whatever can be restored can be imported, and what was imported has been restored. Counts and hashes are taken of
//! the rows as the server gives them: the text of an artifact depends on the time zone and the version it was made with.

use std::sync::Arc;

use super::artifact::{Artifact, restore_with_origin};
use super::backup;
use super::session::Session;
use crate::engine::{Engine, RestoreOptions};
use crate::error::Result;
use crate::progress::Run;
use crate::report::{BackupReport, ConsistencyPoint};

/// Imports an artifact. `scratch` is a database that does not exist; it is dropped afterwards.
pub(crate) async fn import(
    session: &Arc<Session>,
    artifact: &Artifact,
    scratch: &dyn Engine,
    options: &RestoreOptions,
    tags: Vec<String>,
    run: &Run,
) -> Result<BackupReport> {
    let result = through(session, artifact, scratch, options, tags, run).await;
    if let Err(e) = scratch.discard().await {
        tracing::warn!(scratch = scratch.describe(), error = %e, "the scratch database could not be dropped");
    }
    result
}

async fn through(
    session: &Arc<Session>,
    artifact: &Artifact,
    scratch: &dyn Engine,
    options: &RestoreOptions,
    tags: Vec<String>,
    run: &Run,
) -> Result<BackupReport> {
    let (restored, origin) = restore_with_origin(artifact, scratch, options, run).await?;
    let checksum = origin.sha256.map(|sha256| format!(" sha256:{sha256}")).unwrap_or_default();
    let point = ConsistencyPoint {
        at: origin.at.unwrap_or_else(|| session.clock.now()),
        kind: "artifact".to_owned(),
        position: format!("{} ({}){checksum}", artifact.name(), origin.format),
    };
    let order = backup::BackupOrder { tags, origin: Some(point), ..backup::BackupOrder::default() };
    let mut report = backup::backup(session, scratch, order, run).await?;
    report.warnings.splice(0..0, restored.warnings);
    Ok(report)
}
