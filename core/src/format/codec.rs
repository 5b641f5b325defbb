//! Compression of a dump's files: one frame (zstd) or member (gzip) a part, so that parts are made independently.

use std::io::{self, Write};

use flate2::write::{GzDecoder, GzEncoder};
use zstd::stream::write::{Decoder as ZstdDecoder, Encoder as ZstdEncoder};

use crate::error::{Code, Error, Result};
use crate::settings::Codec;

/// Levels that are used unless the caller says otherwise.
const ZSTD_LEVEL: i32 = 2;
const GZIP_LEVEL: u32 = 6;

/// Compresses one part.
pub(crate) enum Compressor {
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
    Plain(Vec<u8>),
}

impl Compressor {
    pub(crate) fn new(codec: Codec, level: Option<i32>) -> Result<Self> {
        Ok(match codec {
            Codec::Zstd => Self::Zstd(ZstdEncoder::new(Vec::new(), level.unwrap_or(ZSTD_LEVEL)).map_err(broken)?),
            Codec::Gzip => {
                let level = level.and_then(|l| u32::try_from(l).ok()).unwrap_or(GZIP_LEVEL);
                Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(level)))
            }
            Codec::None => Self::Plain(Vec::new()),
        })
    }

    /// Takes raw bytes; what is ready of the compressed ones waits for [`Self::take`].
    pub(crate) fn write(&mut self, raw: &[u8]) -> Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(raw),
            Self::Gzip(encoder) => encoder.write_all(raw),
            Self::Plain(out) => out.write_all(raw),
        }
        .map_err(broken)
    }

    /// The compressed bytes that are ready.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Zstd(encoder) => std::mem::take(encoder.get_mut()),
            Self::Gzip(encoder) => std::mem::take(encoder.get_mut()),
            Self::Plain(out) => std::mem::take(out),
        }
    }

    /// Ends the frame and gives the rest of it.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Plain(out) => Ok(out),
        }
        .map_err(broken)
    }
}

// In memory, a compressor fails only when it cannot allocate or was misused.
fn broken(e: io::Error) -> Error {
    Error::new(Code::Internal, format!("compression failed: {e}")).because(e)
}

/// Decompresses one part.
pub(crate) enum Decompressor {
    Zstd(Box<ZstdDecoder<'static, Vec<u8>>>),
    Gzip(Box<GzDecoder<Vec<u8>>>),
    Plain(Vec<u8>),
}

impl Decompressor {
    pub(crate) fn new(codec: Codec) -> Result<Self> {
        Ok(match codec {
            Codec::Zstd => Self::Zstd(Box::new(ZstdDecoder::new(Vec::new()).map_err(broken)?)),
            Codec::Gzip => Self::Gzip(Box::new(GzDecoder::new(Vec::new()))),
            Codec::None => Self::Plain(Vec::new()),
        })
    }

    /// Takes some of `stored` and says how much; what is ready of the raw bytes waits for [`Self::take`].
    ///
    /// One call makes at most a block of output, however well the input was compressed: memory stays bounded.
    pub(crate) fn write(&mut self, stored: &[u8]) -> Result<usize> {
        // A gzip member cannot expand more than about 1,030 times.
        const GZIP_STEP: usize = 1 << 10;
        match self {
            Self::Zstd(decoder) => decoder.write(stored),
            Self::Gzip(decoder) => decoder.write(&stored[..stored.len().min(GZIP_STEP)]),
            Self::Plain(out) => out.write(stored),
        }
        .map_err(|e| damaged().because(e))
        .and_then(|n| if n == 0 && !stored.is_empty() { Err(damaged()) } else { Ok(n) })
    }

    /// The raw bytes that are ready.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Zstd(decoder) => std::mem::take(decoder.get_mut()),
            Self::Gzip(decoder) => std::mem::take(decoder.get_mut()),
            Self::Plain(out) => std::mem::take(out),
        }
    }

    /// Gives the rest of the raw bytes, once all stored ones were written.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Zstd(mut decoder) => match decoder.flush() {
                Ok(()) => Ok(decoder.into_inner()),
                Err(e) => Err(e),
            },
            Self::Gzip(decoder) => decoder.finish(),
            Self::Plain(out) => Ok(out),
        }
        .map_err(|e| damaged().because(e))
    }
}

fn damaged() -> Error {
    Error::new(Code::Damaged, "a compressed part cannot be decompressed").next("restore another backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(codec: Codec, raw: &[u8]) -> Vec<u8> {
        let mut c = Compressor::new(codec, None).unwrap();
        let mut out = Vec::new();
        for piece in raw.chunks(100_000) {
            c.write(piece).unwrap();
            out.extend(c.take());
        }
        out.extend(c.finish().unwrap());
        out
    }

    fn decompress(codec: Codec, mut stored: &[u8]) -> (Vec<u8>, usize) {
        let (mut d, mut out, mut most) = (Decompressor::new(codec).unwrap(), Vec::new(), 0);
        while !stored.is_empty() {
            let n = d.write(stored).unwrap();
            stored = &stored[n..];
            let piece = d.take();
            most = most.max(piece.len());
            out.extend(piece);
        }
        out.extend(d.finish().unwrap());
        (out, most)
    }

    #[test]
    fn every_codec_round_trips_and_concatenates() {
        let raw: Vec<u8> = (0..1_000_000_u32).flat_map(|i| (i % 251).to_le_bytes()).collect();
        for codec in [Codec::Zstd, Codec::Gzip, Codec::None] {
            for sample in [&raw[..], b"", b"x"] {
                assert_eq!(decompress(codec, &compress(codec, sample)).0, sample, "{codec:?}");
            }
        }
    }

    #[test]
    fn output_of_one_step_is_bounded_however_well_it_was_compressed() {
        let zeros = vec![0; 64 << 20];
        for codec in [Codec::Zstd, Codec::Gzip] {
            let (raw, most) = decompress(codec, &compress(codec, &zeros));
            assert_eq!(raw.len(), zeros.len());
            assert!(most <= 2 << 20, "{codec:?}: {most} bytes at once");
        }
    }
}
