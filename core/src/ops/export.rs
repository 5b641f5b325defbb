//! Writes a backup's dump into a folder, as the directory that stock tools load.

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::parts::PartReader;
use super::session::Session;
use crate::error::{Code, Error, Result};
use crate::id::BackupId;
use crate::progress::{Phase, Run};
use crate::report::ExportReport;

/// Exports into `folder`, which must not exist or be empty. Files lose their compression unless `keep_compression` is set.
pub(crate) async fn export(
    session: &Arc<Session>,
    id: &BackupId,
    folder: &Path,
    keep_compression: bool,
    run: &Run,
) -> Result<ExportReport> {
    let backup = run.until_cancelled(session.open_backup(id)).await?;
    let temporary = claim(folder).await?;
    let reader = PartReader::new(Arc::clone(session), Arc::clone(&backup));
    let files = &backup.body.files;
    run.begin(Phase::Loading, Some(files.iter().map(crate::format::manifest::File::bytes).sum()));
    let mut bytes = 0;
    let written = run.until_cancelled(async {
        for file in files {
            // Names come from an authenticated manifest; a folder in one is still made, never left.
            let suffix = if keep_compression { file.codec.suffix() } else { "" };
            let path = temporary.join(format!("{}{suffix}", safe(&file.name)?));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).await.map_err(|e| Error::local(parent, e))?;
            }
            let mut out = fs::File::create(&path).await.map_err(|e| Error::local(&path, e))?;
            for part in &file.parts {
                let mut stream = if keep_compression { reader.read_stored(part) } else { reader.read(file, part) };
                while let Some(piece) = stream.try_next().await? {
                    out.write_all(&piece).await.map_err(|e| Error::local(&path, e))?;
                    bytes += piece.len() as u64;
                }
                run.advance(part.bytes);
            }
            out.sync_all().await.map_err(|e| Error::local(&path, e))?;
        }
        fs::rename(&temporary, folder).await.map_err(|e| Error::local(folder, e))
    });
    if let Err(e) = written.await {
        // Ours alone, and incomplete.
        if let Err(e) = fs::remove_dir_all(&temporary).await {
            tracing::warn!(folder = %temporary.display(), error = %e, "an incomplete export could not be removed");
        }
        return Err(e);
    }
    run.end();
    Ok(ExportReport { id: id.clone(), folder: folder.display().to_string(), files: files.len() as u64, bytes })
}

/// Makes a folder beside the wanted one, to be renamed once it is complete.
async fn claim(folder: &Path) -> Result<std::path::PathBuf> {
    let taken = || {
        Error::new(Code::TargetNotEmpty, format!("{} is not empty", folder.display()))
            .next("name a new or empty folder")
    };
    match fs::read_dir(folder).await {
        Ok(mut entries) => {
            if entries.next_entry().await.map_err(|e| Error::local(folder, e))?.is_some() {
                return Err(taken());
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::local(folder, e)),
    }
    let mut name = folder.file_name().ok_or_else(taken)?.to_owned();
    name.push(format!(".partial-{}", crate::id::random_hex::<4>()?));
    let temporary = folder.with_file_name(name);
    fs::create_dir_all(&temporary).await.map_err(|e| Error::local(&temporary, e))?;
    Ok(temporary)
}

/// Refuses a name that would leave the folder.
fn safe(name: &str) -> Result<&str> {
    let inside = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    if !name.is_empty() && Path::new(name).components().all(inside) {
        return Ok(name);
    }
    Err(Error::new(Code::Damaged, format!("`{name}` is not a name of a dump's file")))
}
