//! Cuts a stream of bytes into the documents that lie in it one after the other.

use bytes::{Buf as _, Bytes, BytesMut};
use mongodb::bson::RawDocumentBuf;

use crate::error::{Code, Error, Result};

/// The largest document that any server takes (16 MiB), and room for what servers add to their own.
const LARGEST: usize = (16 << 20) + (16 << 10);

/// Documents of a batch that is loaded at once, at most.
const MOST: usize = 10_000;

/// Bytes of a batch that is loaded at once, about.
const BATCH: usize = 4 << 20;

/// Takes bytes, gives documents in batches.
#[derive(Debug, Default)]
pub(super) struct Documents {
    bytes: BytesMut,
    batch: Vec<RawDocumentBuf>,
    batch_bytes: usize,
}

impl Documents {
    /// Takes more bytes. A batch that is full comes out; `None` means that more bytes are needed.
    pub(super) fn push(&mut self, bytes: &Bytes) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next full batch.
    pub(super) fn full_batch(&mut self) -> Result<Option<Vec<RawDocumentBuf>>> {
        while let Some(document) = self.document()? {
            self.batch_bytes += document.as_bytes().len();
            self.batch.push(document);
            if self.batch.len() >= MOST || self.batch_bytes >= BATCH {
                self.batch_bytes = 0;
                return Ok(Some(std::mem::take(&mut self.batch)));
            }
        }
        Ok(None)
    }

    /// What is left at the end of the stream.
    ///
    /// # Errors
    /// `Damaged` when the last document is cut off.
    pub(super) fn finish(self) -> Result<Vec<RawDocumentBuf>> {
        match self.bytes.is_empty() {
            true => Ok(self.batch),
            false => Err(damaged("its last document is cut off")),
        }
    }

    fn document(&mut self) -> Result<Option<RawDocumentBuf>> {
        let Some(length) = self.bytes.get(..4).and_then(|length| length.try_into().ok()).map(i32::from_le_bytes) else {
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or(0);
        if !(5..=LARGEST).contains(&length) {
            return Err(damaged("the length of a document is impossible"));
        }
        let Some(bytes) = self.bytes.get(..length) else { return Ok(None) };
        let document = RawDocumentBuf::from_bytes(bytes.to_vec()).map_err(|_| damaged("a document has no end"))?;
        self.bytes.advance(length);
        Ok(Some(document))
    }
}

fn damaged(what: &str) -> Error {
    Error::new(Code::Damaged, what.to_owned()).next("use another copy of the dump, or another backup")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mongodb::bson::rawdoc;

    use super::*;

    #[test]
    fn documents_come_whole_however_the_bytes_come() {
        let documents = [rawdoc! {}, rawdoc! { "a": 1 }, rawdoc! { "b": "x".repeat(300) }];
        let bytes: Vec<u8> = documents.iter().flat_map(|d| d.as_bytes().to_vec()).collect();
        for step in [1, 3, 7, 1000] {
            let mut found = Documents::default();
            for piece in bytes.chunks(step) {
                found.push(&Bytes::copy_from_slice(piece));
                assert!(found.full_batch().unwrap().is_none());
            }
            assert_eq!(found.finish().unwrap(), documents);
        }
    }

    #[test]
    fn batches_are_bounded() {
        let mut found = Documents::default();
        let large = rawdoc! { "a": "x".repeat(3 << 20) };
        for _ in 0..3 {
            found.push(&Bytes::copy_from_slice(large.as_bytes()));
        }
        assert_eq!(found.full_batch().unwrap().unwrap().len(), 2);
        assert!(found.full_batch().unwrap().is_none());
        assert_eq!(found.finish().unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bytes in [&[4, 0, 0, 0, 0][..], &[255, 255, 255, 255, 0], &[0, 0, 0, 127, 0], &[5, 0, 0, 0, 1]] {
            let mut found = Documents::default();
            found.push(&Bytes::copy_from_slice(bytes));
            assert_eq!(found.full_batch().unwrap_err().code(), Code::Damaged, "{bytes:?}");
        }
        let mut cut = Documents::default();
        cut.push(&Bytes::from_static(&[9, 0, 0, 0, 1]));
        assert!(cut.full_batch().unwrap().is_none());
        assert_eq!(cut.finish().unwrap_err().code(), Code::Damaged);
    }
}
