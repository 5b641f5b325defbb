//! Whether a file of a dump that stock tools made is there to its end.

/// How such a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "postgres", feature = "mongodb")), allow(dead_code, reason = "each engine has its own"))]
pub(crate) enum Ending {
    /// With these bytes.
    With(&'static [u8]),
    /// With the last of its blocks. Each begins with its own length in bytes (32 bits, little-endian, itself included) and
    /// ends with a zero.
    OfBlock,
}

/// Bytes of a block's length.
const HEAD: usize = 4;

/// Reads a file along, and knows at its end whether it is whole.
#[derive(Debug)]
pub(crate) struct Watched {
    ending: Ending,
    /// The last bytes, as many as tell; of blocks the first ones of the one that is being read.
    seen: Vec<u8>,
    /// Bytes that the block lacks.
    left: usize,
    broken: bool,
}

impl Watched {
    pub(crate) fn new(ending: Ending) -> Self {
        Self { ending, seen: Vec::new(), left: 0, broken: false }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.ending {
            Ending::With(end) => {
                self.seen.extend_from_slice(&bytes[bytes.len().saturating_sub(end.len())..]);
                self.seen.drain(..self.seen.len().saturating_sub(end.len()));
            }
            Ending::OfBlock => self.push_blocks(bytes),
        }
    }

    fn push_blocks(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.broken {
            if self.left == 0 {
                let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.seen.len()));
                self.seen.extend_from_slice(head);
                bytes = rest;
                if let Ok(length) = <[u8; HEAD]>::try_from(self.seen.as_slice()) {
                    let length = usize::try_from(i32::from_le_bytes(length)).unwrap_or_default();
                    self.broken = length <= HEAD;
                    self.left = length.saturating_sub(HEAD);
                    self.seen.clear();
                }
            } else {
                let (block, rest) = bytes.split_at(bytes.len().min(self.left));
                self.left -= block.len();
                self.broken = self.left == 0 && block.last() != Some(&0);
                bytes = rest;
            }
        }
    }

    /// Whether what was taken is all of it.
    pub(crate) fn is_whole(&self) -> bool {
        match self.ending {
            Ending::With(end) => self.seen == end,
            Ending::OfBlock => !self.broken && self.left == 0 && self.seen.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(ending: Ending, bytes: &[u8], step: usize) -> bool {
        let mut watched = Watched::new(ending);
        bytes.chunks(step).for_each(|piece| watched.push(piece));
        watched.is_whole()
    }

    #[test]
    fn a_file_is_whole_where_it_ends_with_its_mark() {
        for step in [1, 2, 100] {
            assert!(is_whole(Ending::With(b"end"), b"rows rows end", step));
            assert!(!is_whole(Ending::With(b"end"), b"rows rows en", step));
            assert!(!is_whole(Ending::With(b"end"), b"", step));
            assert!(is_whole(Ending::With(b""), b"anything", step));
        }
    }

    #[test]
    fn a_file_of_blocks_is_whole_between_two_of_them() {
        let blocks: [&[u8]; 3] = [&[5, 0, 0, 0, 0], &[9, 0, 0, 0, 1, 2, 3, 4, 0], &[6, 0, 0, 0, 7, 0]];
        let file = blocks.concat();
        for step in [1, 3, 5, 100] {
            for length in 0..=file.len() {
                let expected = [0, 5, 14, 20].contains(&length);
                assert_eq!(is_whole(Ending::OfBlock, &file[..length], step), expected, "{length} in steps of {step}");
            }
        }
        for broken in [[4, 0, 0, 0, 0], [0; 5], [255; 5], [5, 0, 0, 0, 1]] {
            assert!(!is_whole(Ending::OfBlock, &broken, 5), "{broken:?}");
        }
    }
}
