//! Takes a file out of what scripts wrap dumps in: openssl, gzip, zstd, lz4. By content; names say nothing.

use std::io::{BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::crypto::openssl::{self, OpensslReader};
use crate::engine::stock::{is_known, peek};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// Wrappers one in the other.
const DEPTH: usize = 4;

const GZIP: &[u8] = b"\x1f\x8b\x08";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const LZ4: &[u8] = b"\x04\x22\x4d\x18";

/// Beginnings of files that are told by name and not read.
const OTHERS: [(&[u8], &str); 4] =
    [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"PK\x03\x04", "zip"), (b"age-encryption.org/", "age")];

type Input = Box<dyn Read + Send>;

/// The innermost file.
///
/// # Errors
/// `KeyRequired` and `WrongKey` for one that openssl encrypted; `UnsupportedDatabase` for other wrappers.
pub(super) fn unwrap(mut input: Input, passphrase: Option<&Secret>) -> Result<Input> {
    for _ in 0..DEPTH {
        let (head, whole) = peek(input)?;
        input = match layer(&head) {
            None => return Ok(Box::new(whole)),
            Some(Layer::Openssl) => open(whole, passphrase)?,
            Some(Layer::Gzip) => Box::new(MultiGzDecoder::new(whole)),
            Some(Layer::Lz4) => Box::new(FrameDecoder::new(whole)),
            Some(Layer::Zstd) => {
                Box::new(ZstdDecoder::with_buffer(whole).map_err(|e| Error::of_reader(e, "the zstd file"))?)
            }
            Some(Layer::Unread(kind)) => {
                return Err(Error::new(
                    Code::UnsupportedDatabase,
                    format!("it is a file of {kind}, which is not read here"),
                )
                .next(format!("unpack it with {kind} and give what is in it")));
            }
        };
    }
    Err(Error::new(Code::UnsupportedDatabase, "it is wrapped in too many files").next("unpack it once"))
}

enum Layer {
    Openssl,
    Gzip,
    Lz4,
    Zstd,
    Unread(&'static str),
}

fn layer(head: &[u8]) -> Option<Layer> {
    // Also what is left of it.
    if head.starts_with(openssl::MAGIC) || (!head.is_empty() && openssl::MAGIC.starts_with(head)) {
        return Some(Layer::Openssl);
    }
    if head.starts_with(openssl::MAGIC_BASE64) {
        return Some(Layer::Unread("base64"));
    }
    if head.starts_with(GZIP) {
        return Some(Layer::Gzip);
    }
    if head.starts_with(ZSTD) {
        return Some(Layer::Zstd);
    }
    if head.starts_with(LZ4) {
        return Some(Layer::Lz4);
    }
    OTHERS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| Layer::Unread(name))
}

fn open(input: Box<dyn BufRead + Send>, passphrase: Option<&Secret>) -> Result<Input> {
    let Some(passphrase) = passphrase else {
        return Err(Error::new(Code::KeyRequired, "it is encrypted by openssl, and no passphrase was given")
            .next("give the passphrase that it was encrypted with"));
    };
    // Nothing in such a file tells whether the passphrase is the right one, but that something known comes out.
    let (head, whole) = peek(Box::new(OpensslReader::new(input, passphrase)?)).map_err(|e| match e.code() {
        Code::Damaged => wrong_key(),
        _ => e,
    })?;
    if layer(&head).is_none() && !is_known(&head) {
        return Err(wrong_key());
    }
    Ok(Box::new(whole))
}

fn wrong_key() -> Error {
    Error::new(Code::WrongKey, "the passphrase does not open it, or its beginning is damaged").next(
        "give the passphrase that `openssl enc -aes-256-cbc -pbkdf2` was given; -iter and -md must have been left out",
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;
    use crate::crypto::openssl::OpensslWriter;

    const SCRIPT: &[u8] = b"SELECT 1;\n";

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(plain).unwrap();
        gz.finish().unwrap()
    }

    fn lz4(plain: &[u8]) -> Vec<u8> {
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(plain).unwrap();
        lz4.finish().unwrap()
    }

    fn seal(plain: &[u8]) -> Vec<u8> {
        let mut writer = OpensslWriter::new(Vec::new(), &"hunter2".into()).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn opened(file: Vec<u8>, passphrase: Option<&str>) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut input = unwrap(Box::new(Cursor::new(file)), passphrase.map(Secret::from).as_ref())?;
        input.read_to_end(&mut plain).map_err(|e| Error::of_reader(e, "it"))?;
        Ok(plain)
    }

    #[test]
    fn wrappers_are_known_by_their_content() {
        let zstd = zstd::encode_all(SCRIPT, 1).unwrap();
        let twice = [gzip(b"SELECT "), gzip(b"1;\n")].concat();
        for file in
            [SCRIPT.to_vec(), gzip(SCRIPT), zstd.clone(), lz4(SCRIPT), twice, [lz4(b"SELECT "), lz4(b"1;\n")].concat()]
        {
            assert_eq!(opened(file.clone(), None).unwrap(), SCRIPT);
            assert_eq!(opened(seal(&file), Some("hunter2")).unwrap(), SCRIPT);
            assert_eq!(opened(seal(&file), None).unwrap_err().code(), Code::KeyRequired);
            assert_eq!(opened(seal(&file), Some("hunter3")).unwrap_err().code(), Code::WrongKey);
        }
        assert_eq!(opened(b"BZh91AY".to_vec(), None).unwrap_err().code(), Code::UnsupportedDatabase);
    }

    #[test]
    fn every_cut_and_flip_of_a_sealed_file_is_seen_or_harmless() {
        let file = seal(&gzip(SCRIPT));
        for end in 0..file.len() {
            assert_ne!(opened(file[..end].to_vec(), Some("hunter2")).ok().as_deref(), Some(SCRIPT), "cut at {end}");
        }
        // The middle of a gzip header (time, system) proves nothing: what opens is the content, or no dump at all.
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 1;
            if let Ok(plain) = opened(flipped, Some("hunter2")) {
                assert!(plain == SCRIPT || !is_known(&plain), "flipped at {at}: {plain:?}");
            }
        }
    }
}
