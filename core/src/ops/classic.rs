//! Writes a backup as the artifact that old runbooks know: `sha256sum -c`, `openssl enc -d -aes-256-cbc -pbkdf2`,
//! `gunzip` and `pg_restore` restore it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crc_fast::{CrcAlgorithm, Digest as Digest64};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::parts::PartReader;
use super::session::{Opened, Session};
use crate::crypto::openssl::OpensslWriter;
use crate::engine::FileRole;
use crate::engine::stock::{self, Piece};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::format::manifest::File;
use crate::id::{BackupId, random_hex};
use crate::progress::{Phase, Run};
use crate::report::ExportReport;
use crate::secret::Secret;

/// Schema files larger than this are refused before they are read: 1 GiB.
const MAX_SCHEMA_BYTES: u64 = 1 << 30;

/// Writes `backup-….dump.gz` (of MySQL and MariaDB: `.sql.gz`) into a folder, or `.dump.gz.enc` with a passphrase, and its SHA-256 beside it.
pub(crate) async fn export(
    session: &Arc<Session>,
    id: &BackupId,
    folder: &Path,
    passphrase: Option<&Secret>,
    run: &Run,
) -> Result<ExportReport> {
    let backup = session.open_backup(id).await?;
    let name = layout::artifact(id, backup.stored.header.engine, passphrase.is_some());
    let (path, side) = (folder.join(&name), folder.join(layout::artifact_checksum(&name)));
    for path in [&path, &side] {
        if fs::try_exists(path).await.map_err(|e| Error::local(path, e))? {
            return Err(Error::new(Code::TargetNotEmpty, format!("{} is there already", path.display()))
                .next("name another folder, or move the file away"));
        }
    }
    fs::create_dir_all(folder).await.map_err(|e| Error::local(folder, e))?;
    let temporary = folder.join(format!("{name}.partial-{}", random_hex::<4>()?));
    let written = run.until_cancelled(async {
        let (bytes, sha256) = write(session, &backup, &temporary, passphrase, run).await?;
        // Who finds the artifact finds its checksum.
        fs::write(&side, layout::checksum_line(&name, &sha256)).await.map_err(|e| Error::local(&side, e))?;
        fs::rename(&temporary, &path).await.map_err(|e| Error::local(&path, e))?;
        Ok(bytes)
    });
    match written.await {
        Ok(bytes) => {
            run.end();
            Ok(ExportReport { id: id.clone(), folder: folder.display().to_string(), files: 2, bytes })
        }
        Err(e) => {
            for path in [&temporary, &side] {
                // Ours alone, and incomplete; the side file may not be there yet.
                let _ = fs::remove_file(path).await;
            }
            Err(e)
        }
    }
}

/// Writes the artifact; gives its size and its SHA-256 in hex.
async fn write(
    session: &Arc<Session>,
    backup: &Arc<Opened>,
    path: &Path,
    passphrase: Option<&Secret>,
    run: &Run,
) -> Result<(u64, String)> {
    let id = &backup.stored.header.id;
    let reader = PartReader::new(Arc::clone(session), Arc::clone(backup));
    let files = &backup.body.files;
    run.begin(Phase::Loading, Some(files.iter().map(File::bytes).sum()));
    let mut schema = Vec::new();
    for file in files.iter().filter(|f| f.role == FileRole::Schema) {
        schema.push((file.name.clone(), reader.read_file(file, MAX_SCHEMA_BYTES).await?));
    }
    let names: Vec<&str> = files.iter().filter(|f| f.role == FileRole::Data).map(|f| f.name.as_str()).collect();
    let plan = stock::one_file(backup.stored.header.engine, &schema, &names)?;
    let data: HashMap<&str, &File> = files.iter().map(|f| (f.name.as_str(), f)).collect();

    let mut out = Out::create(path, passphrase).await?;
    out.write(&plan.head).await?;
    let mut sum = Digest64::new(CrcAlgorithm::Crc64Xz);
    for piece in plan.pieces {
        let (name, summed) = match piece {
            Piece::Bytes(bytes) => {
                out.write(&bytes).await?;
                continue;
            }
            Piece::End(end) => {
                out.write(&end(sum.finalize())).await?;
                continue;
            }
            Piece::File(name) => (name, false),
            Piece::Summed(name) => (name, true),
        };
        let file = data.get(name.as_str()).ok_or_else(|| {
            Error::new(Code::Damaged, format!("{id} has no file {name}, which its schema names"))
                .next("restore another backup")
        })?;
        sum.reset();
        for part in &file.parts {
            let mut raw = reader.read(file, part);
            while let Some(bytes) = raw.try_next().await?.filter(|bytes| !bytes.is_empty()) {
                out.write(&(plan.chunk)(bytes.len())?).await?;
                if summed {
                    sum.update(&bytes);
                }
                out.write(&bytes).await?;
                run.advance(bytes.len() as u64);
            }
        }
    }
    out.finish().await
}

/// gzip, then perhaps openssl, then a file.
struct Out<'a> {
    path: &'a Path,
    gzip: GzEncoder<Seal>,
    file: fs::File,
    sha256: Sha256,
    bytes: u64,
}

enum Seal {
    Plain(Vec<u8>),
    Openssl(Box<OpensslWriter<Vec<u8>>>),
}

impl Seal {
    fn ready(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Plain(bytes) => bytes,
            Self::Openssl(writer) => writer.get_mut(),
        })
    }
}

impl Write for Seal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => Write::write(out, bytes),
            Self::Openssl(out) => Write::write(out, bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Out<'a> {
    async fn create(path: &'a Path, passphrase: Option<&Secret>) -> Result<Self> {
        let seal = match passphrase {
            None => Seal::Plain(Vec::new()),
            Some(passphrase) => Seal::Openssl(Box::new(OpensslWriter::new(Vec::new(), passphrase)?)),
        };
        let file = fs::File::create(path).await.map_err(|e| Error::local(path, e))?;
        Ok(Self { path, gzip: GzEncoder::new(seal, Compression::default()), file, sha256: Sha256::new(), bytes: 0 })
    }

    async fn write(&mut self, raw: &[u8]) -> Result<()> {
        self.gzip.write_all(raw).map_err(broken)?;
        let ready = self.gzip.get_mut().ready();
        self.pass_on(&ready).await
    }

    async fn pass_on(&mut self, bytes: &[u8]) -> Result<()> {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(|e| Error::local(self.path, e))
    }

    async fn finish(mut self) -> Result<(u64, String)> {
        self.gzip.try_finish().map_err(broken)?;
        let end = match std::mem::replace(self.gzip.get_mut(), Seal::Plain(Vec::new())) {
            Seal::Plain(bytes) => bytes,
            Seal::Openssl(writer) => writer.finish().map_err(broken)?,
        };
        self.pass_on(&end).await?;
        self.file.sync_all().await.map_err(|e| Error::local(self.path, e))?;
        Ok((self.bytes, hex::encode(self.sha256.finalize())))
    }
}

// In memory, these fail only when they were misused.
fn broken(e: io::Error) -> Error {
    Error::new(Code::Internal, format!("writing the artifact: {e}")).because(e)
}
