//! Writes a ZIP file as a stream: entries are stored as they come, sizes follow in data descriptors.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use zip::write::{SimpleFileOptions, StreamWriter, ZipWriter};

use crate::error::{Code, Error, Result};

/// A ZIP file in the making. Bytes that are ready wait for [`Self::take`].
pub(crate) struct VolumeWriter {
    zip: ZipWriter<StreamWriter<Buffer>>,
    buffer: Buffer,
    taken: u64,
}

impl VolumeWriter {
    pub(crate) fn new() -> Self {
        let buffer = Buffer::default();
        Self { zip: ZipWriter::new_stream(buffer.clone()), buffer, taken: 0 }
    }

    /// Ends the entry before, if any, and begins another.
    pub(crate) fn start_file(&mut self, name: &str) -> Result<()> {
        // ZIP64 always: the size is not known yet. Neither time nor mode: equal dumps give equal volumes.
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .large_file(true)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o600);
        self.zip.start_file(name, options).map_err(broken)
    }

    /// Appends to the entry.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.zip.write_all(bytes).map_err(broken)
    }

    /// Bytes of the volume so far: where the next byte of the entry will lie.
    pub(crate) fn offset(&self) -> u64 {
        self.taken + self.buffer.len()
    }

    /// The bytes that are ready.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let bytes = self.buffer.take();
        self.taken += bytes.len() as u64;
        bytes
    }

    /// Ends the ZIP file and gives the rest of it.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        self.zip.finish().map_err(broken)?;
        Ok(self.buffer.take())
    }
}

// In memory, writing fails only when it is misused.
fn broken(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Code::Internal, format!("the volume's ZIP file cannot be written: {e}")).because(e)
}

/// A buffer that the ZIP writer fills and its owner empties.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn len(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_written_is_found_by_a_zip_reader_and_by_offset() {
        let mut volume = VolumeWriter::new();
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for (name, parts) in [("toc.dat", vec!["abc", "def"]), ("1.dat.zst", vec![]), ("2.dat.zst", vec!["xyz"])] {
            volume.start_file(name).unwrap();
            for part in parts {
                places.push((usize::try_from(volume.offset()).unwrap(), part));
                volume.write(part.as_bytes()).unwrap();
                bytes.extend(volume.take());
            }
        }
        bytes.extend(volume.finish().unwrap());
        for (offset, part) in places {
            assert_eq!(&bytes[offset..offset + part.len()], part.as_bytes());
        }
        if let Some(path) = std::env::var_os("LASTGOOD_KEEP_ZIP") {
            std::fs::write(path, &bytes).unwrap();
        }
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut text = String::new();
        zip.by_name("toc.dat").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((zip.len(), text.as_str()), (3, "abcdef"));
    }
}
