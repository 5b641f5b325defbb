//! The custom format: one file, read from its beginning to its end as a pipe gives it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use lz4_flex::frame::FrameDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::engine::stock::FileReader;
use crate::error::{Code, Error, Result};

use super::canonical::Data;
use super::read::{Compression, int};
use super::{Missing, blob_file};

/// Raw bytes that are handed on at once.
const PIECE: usize = 256 << 10;

type Input = Box<dyn BufRead + Send>;

/// The data of an archive, whose table of contents was read.
pub(crate) struct CustomFiles {
    state: State,
    compression: Compression,
    data: HashMap<i32, Data>,
    missing: Missing,
}

enum State {
    /// Before a block, or at the end.
    Between(Input),
    /// In a block of large objects, before the next of them.
    Blobs(Input),
    /// In a file, and whether it is a large object.
    File(Box<Content>, bool),
    /// An error left the input in the middle of something.
    Broken,
}

impl CustomFiles {
    pub(crate) fn new(input: Input, compression: Compression, data: HashMap<i32, Data>, missing: Missing) -> Self {
        Self { state: State::Between(input), compression, data, missing }
    }

    fn next(&mut self) -> Result<Option<String>> {
        loop {
            match std::mem::replace(&mut self.state, State::Broken) {
                State::Between(mut input) => {
                    if input.fill_buf().map_err(broken)?.is_empty() {
                        self.missing.check()?;
                        self.state = State::Between(input);
                        return Ok(None);
                    }
                    let mut kind = [0];
                    input.read_exact(&mut kind).map_err(broken)?;
                    let dump_id = read_int(&mut input).map_err(broken)?;
                    match (kind, self.data.get(&dump_id)) {
                        ([1], Some(Data::Table { ours, .. })) => {
                            let name = ours.clone();
                            return self.begin(input, name, false).map(Some);
                        }
                        ([3], Some(Data::Blobs { .. })) => self.state = State::Blobs(input),
                        (_, _) => return Err(damaged(format!("a block {dump_id} that its contents do not list"))),
                    }
                }
                State::Blobs(mut input) => match read_int(&mut input).map_err(broken)? {
                    0 => self.state = State::Between(input),
                    oid => {
                        let oid = u32::from_ne_bytes(oid.to_ne_bytes());
                        return self.begin(input, blob_file(oid), true).map(Some);
                    }
                },
                State::File(mut content, blob) => {
                    // Whoever is not interested in a file goes on before its end.
                    let mut rest = vec![0; PIECE];
                    while content.read(&mut rest).map_err(broken)? > 0 {}
                    let input = content.finish().map_err(broken)?;
                    self.state = if blob { State::Blobs(input) } else { State::Between(input) };
                }
                State::Broken => return Err(Error::new(Code::Internal, "the archive is read on after an error")),
            }
        }
    }

    fn begin(&mut self, input: Input, name: String, blob: bool) -> Result<String> {
        self.missing.seen(&name)?;
        let content = Content::new(input, self.compression).map_err(|e| broken(e).at(&name))?;
        self.state = State::File(Box::new(content), blob);
        Ok(name)
    }
}

impl FileReader for CustomFiles {
    fn next_file(&mut self) -> Result<Option<String>> {
        self.next()
    }

    fn read(&mut self) -> Result<Bytes> {
        match &mut self.state {
            State::File(content, _) => read_piece(content).map_err(broken),
            _ => Ok(Bytes::new()),
        }
    }
}

/// Reads until a piece is full or the file ends.
pub(super) fn read_piece(input: &mut impl Read) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < piece.len() {
        match input.read(&mut piece[at..]) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    piece.truncate(at);
    Ok(piece.into())
}

fn broken(e: io::Error) -> Error {
    Error::of_reader(e, "the archive")
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Code::Damaged, format!("the archive has {what}")).next("use another copy of it")
}

fn read_int(input: &mut impl Read) -> io::Result<i32> {
    let mut bytes = [0; 5];
    input.read_exact(&mut bytes)?;
    int(&bytes).ok_or_else(|| io::Error::other(damaged("a number that is out of range")))
}

/// The content of one file: chunks, which together are one compressed stream.
enum Content {
    Plain(Chunks),
    Zlib(ZlibDecoder<Chunks>),
    Lz4(Box<FrameDecoder<Chunks>>),
    Zstd(ZstdDecoder<'static, BufReader<Chunks>>),
}

impl Content {
    fn new(input: Input, compression: Compression) -> io::Result<Self> {
        let mut chunks = Chunks { input, left: 0, ended: false };
        // Nothing at all is an empty file, whatever the compression.
        if chunks.at_end()? {
            return Ok(Self::Plain(chunks));
        }
        Ok(match compression {
            Compression::None => Self::Plain(chunks),
            Compression::Gzip => Self::Zlib(ZlibDecoder::new(chunks)),
            Compression::Lz4 => Self::Lz4(Box::new(FrameDecoder::new(chunks))),
            Compression::Zstd => Self::Zstd(ZstdDecoder::new(chunks)?),
        })
    }

    /// The input behind the file, which must have been read to its end.
    fn finish(self: Box<Self>) -> io::Result<Input> {
        let mut chunks = match *self {
            Self::Plain(chunks) => chunks,
            Self::Zlib(decoder) => decoder.into_inner(),
            Self::Lz4(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish().into_inner(),
        };
        if chunks.at_end()? {
            return Ok(chunks.input);
        }
        Err(io::Error::other(damaged("bytes behind a compressed file")))
    }
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(out),
            Self::Zlib(input) => input.read(out),
            Self::Lz4(input) => input.read(out),
            Self::Zstd(input) => input.read(out),
        }
    }
}

/// Lengths and bytes, ended by a length of 0.
struct Chunks {
    input: Input,
    left: usize,
    ended: bool,
}

impl Chunks {
    fn at_end(&mut self) -> io::Result<bool> {
        if self.left == 0 && !self.ended {
            let length = read_int(&mut self.input)?;
            self.left = usize::try_from(length).map_err(|_| io::Error::other(damaged("a chunk of no length")))?;
            self.ended = length == 0;
        }
        Ok(self.ended)
    }
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.at_end()? {
            return Ok(0);
        }
        let most = out.len().min(self.left);
        let n = self.input.read(&mut out[..most])?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= n;
        Ok(n)
    }
}
