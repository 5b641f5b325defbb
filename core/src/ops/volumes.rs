//! Puts compressed parts into sealed volumes and sends those to the store.

use crate::crypto::cobblestone::Sealer;
use crate::error::Result;
use crate::format::layout;
use crate::format::manifest::{Location, Volume};
use crate::id::{BackupId, DatabaseName};
use crate::secret::Key;
use crate::storage::{Repository, Upload, Uploaded};
use crate::volume::VolumeWriter;

/// Where volumes go and how they are sealed.
pub(super) struct VolumeOptions<'a> {
    pub(super) repository: &'a Repository,
    pub(super) repository_id: &'a str,
    pub(super) database: &'a DatabaseName,
    pub(super) backup: &'a BackupId,
    /// Absent in an unencrypted store.
    pub(super) data_key: Option<&'a Key>,
    pub(super) volume_bytes: u64,
    pub(super) upload_part_bytes: u64,
}

/// The volumes of one backup, in the making.
pub(super) struct Volumes<'a> {
    options: VolumeOptions<'a>,
    done: Vec<(Volume, Vec<u8>)>,
    open: Option<OpenVolume>,
    file: Option<OpenFile>,
}

struct OpenVolume {
    name: String,
    zip: VolumeWriter,
    sealer: Option<Sealer>,
    upload: Upload,
    sealed: Vec<u8>,
}

struct OpenFile {
    name: String,
    suffix: &'static str,
    pieces: u32,
    /// Whether the file has an entry in the open volume.
    entered: bool,
}

impl<'a> Volumes<'a> {
    pub(super) fn new(options: VolumeOptions<'a>) -> Self {
        Self { options, done: Vec::new(), open: None, file: None }
    }

    /// Begins a file of the dump.
    pub(super) fn start_file(&mut self, name: &str, suffix: &'static str) {
        self.file = Some(OpenFile { name: name.to_owned(), suffix, pieces: 0, entered: false });
    }

    /// Begins a part of the file and says where its bytes will lie (the length is still 0). A part lies in one volume.
    pub(super) async fn start_part(&mut self) -> Result<Location> {
        if self.open.as_ref().is_some_and(|v| v.zip.offset() >= self.options.volume_bytes) {
            self.close().await?;
        }
        let mut volume = match self.open.take() {
            Some(volume) => volume,
            None => self.begin()?,
        };
        if let Some(file) = self.file.as_mut().filter(|f| !f.entered) {
            file.pieces += 1;
            file.entered = true;
            volume.zip.start_file(&layout::entry(&file.name, file.suffix, file.pieces))?;
        }
        let location = Location { backup: None, volume: volume.name.clone(), offset: volume.zip.offset(), length: 0 };
        self.open = Some(volume);
        Ok(location)
    }

    /// Appends to the part.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.open {
            Some(volume) => {
                volume.zip.write(bytes)?;
                volume.pass_on().await
            }
            None => Ok(()),
        }
    }

    /// Closes the last volume and gives all of them, each with its last bytes.
    pub(super) async fn finish(&mut self) -> Result<Vec<(Volume, Vec<u8>)>> {
        self.close().await?;
        Ok(std::mem::take(&mut self.done))
    }

    /// Gives up: what was sent of the open volume is taken back. Closed volumes stay as orphans.
    pub(super) async fn abort(self) {
        if let Some(volume) = self.open {
            volume.upload.abort().await;
        }
    }

    fn begin(&self) -> Result<OpenVolume> {
        let o = &self.options;
        let number = u32::try_from(self.done.len() + 1).unwrap_or(u32::MAX);
        let name = layout::volume(number, o.data_key.is_some());
        let sealer = match o.data_key {
            Some(key) => Some(Sealer::new(key, &super::session::context(o.repository_id, o.backup, &name))?),
            None => None,
        };
        let upload = o.repository.upload(&layout::in_backup(o.database, o.backup, &name), o.upload_part_bytes)?;
        Ok(OpenVolume { name, zip: VolumeWriter::new(), sealer, upload, sealed: Vec::new() })
    }

    async fn close(&mut self) -> Result<()> {
        let Some(volume) = self.open.take() else { return Ok(()) };
        let name = volume.name.clone();
        let Uploaded { bytes, sha256, tail } = volume.finish().await?;
        let side = layout::checksum_file(&name);
        let o = &self.options;
        o.repository
            .put(&layout::in_backup(o.database, o.backup, &side), layout::checksum_line(&name, &sha256).into_bytes())
            .await?;
        self.done.push((Volume { name, bytes, sha256 }, tail));
        if let Some(file) = &mut self.file {
            file.entered = false;
        }
        Ok(())
    }
}

impl OpenVolume {
    /// Seals and sends what the ZIP writer has ready.
    async fn pass_on(&mut self) -> Result<()> {
        let plain = self.zip.take();
        match &mut self.sealer {
            None => self.upload.write(&plain).await,
            Some(sealer) => {
                sealer.update(&plain, &mut self.sealed)?;
                self.upload.write(&self.sealed).await?;
                self.sealed.clear();
                Ok(())
            }
        }
    }

    async fn finish(mut self) -> Result<Uploaded> {
        let result = self.send_rest().await;
        match result {
            Ok(()) => self.upload.finish().await,
            Err(e) => {
                self.upload.abort().await;
                Err(e)
            }
        }
    }

    async fn send_rest(&mut self) -> Result<()> {
        let zip = std::mem::replace(&mut self.zip, VolumeWriter::new());
        let rest = zip.finish()?;
        match self.sealer.take() {
            None => self.upload.write(&rest).await,
            Some(mut sealer) => {
                sealer.update(&rest, &mut self.sealed)?;
                sealer.finish(&mut self.sealed)?;
                self.upload.write(&self.sealed).await
            }
        }
    }
}
