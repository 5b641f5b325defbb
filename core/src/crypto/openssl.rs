//! The files of `openssl enc -aes-256-cbc -pbkdf2`: read, and written on request, so that old runbooks keep working.
//!
//! `Salted__`, 8 bytes of salt, then AES-256-CBC with PKCS#7 padding. Key (32 bytes) and IV (16) are PBKDF2-HMAC-SHA-256
//! of the passphrase, 10,000 rounds, as `openssl enc` makes them unless told otherwise. Nothing in it is authenticated:
//! who relies on such a file compares its SHA-256 first.

use std::io::{self, ErrorKind, Read, Write};

use aes::{Aes256Dec, Aes256Enc};
use cbc::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// The first bytes of every such file.
pub(crate) const MAGIC: &[u8; 8] = b"Salted__";

/// The same, as `openssl enc -a` writes it.
pub(crate) const MAGIC_BASE64: &[u8; 10] = b"U2FsdGVkX1";

const SALT: usize = 8;
const BLOCK: usize = 16;
const ROUNDS: u32 = 10_000;

/// Bytes that are decrypted or encrypted in one go.
const STEP: usize = 64 << 10;

struct KeyAndIv(Zeroizing<[u8; 48]>);

impl KeyAndIv {
    fn derive(passphrase: &Secret, salt: &[u8; SALT]) -> Self {
        let mut bytes = Zeroizing::new([0; 48]);
        pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.expose().as_bytes(), salt, ROUNDS, &mut *bytes);
        Self(bytes)
    }

    fn mode<M: KeyIvInit>(&self) -> Result<M> {
        M::new_from_slices(&self.0[..32], &self.0[32..])
            .map_err(|_| Error::new(Code::Internal, "a key of 32 and an IV of 16 bytes are not taken"))
    }
}

/// Decrypts such a file as it is read.
pub(crate) struct OpensslReader<R> {
    input: R,
    mode: cbc::Decryptor<Aes256Dec>,
    /// Ciphertext that is no whole block yet.
    sealed: Vec<u8>,
    /// Plaintext from `at` on; until the end is seen its last block waits, for it may be the padding.
    plain: Zeroizing<Vec<u8>>,
    at: usize,
    ended: bool,
}

impl<R: Read> OpensslReader<R> {
    /// Reads the salt, and derives the key, which takes some milliseconds.
    ///
    /// # Errors
    /// `Damaged` when the file is no such file; the reader's own.
    pub(crate) fn new(mut input: R, passphrase: &Secret) -> Result<Self> {
        let mut head = [0; MAGIC.len() + SALT];
        input.read_exact(&mut head).map_err(|e| Error::of_reader(e, "the salt"))?;
        let (magic, salt) = head.split_at(MAGIC.len());
        let salt: &[u8; SALT] = salt.try_into().map_err(|_| damaged("the salt is short"))?;
        if magic != MAGIC {
            return Err(damaged("it does not begin as files of `openssl enc` do"));
        }
        let mode = KeyAndIv::derive(passphrase, salt).mode()?;
        Ok(Self { input, mode, sealed: Vec::new(), plain: Zeroizing::default(), at: 0, ended: false })
    }

    /// Decrypts some more.
    fn fill(&mut self) -> io::Result<()> {
        self.plain.drain(..self.at);
        self.at = 0;
        let before = self.sealed.len();
        self.sealed.resize(STEP, 0);
        let n = read_some(&mut self.input, &mut self.sealed[before..])?;
        self.sealed.truncate(before + n);
        if n == 0 {
            self.ended = true;
            return self.unpad();
        }
        let whole = self.sealed.len() / BLOCK * BLOCK;
        for block in self.sealed[..whole].chunks_exact_mut(BLOCK) {
            let block: &mut [u8; BLOCK] = block.try_into().map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
            self.mode.decrypt_block(<&mut Array<u8, _>>::from(block));
        }
        self.plain.extend_from_slice(&self.sealed[..whole]);
        self.sealed.drain(..whole);
        Ok(())
    }

    fn unpad(&mut self) -> io::Result<()> {
        if !self.sealed.is_empty() {
            return Err(io::Error::other(damaged("it is cut off: its length is no multiple of 16")));
        }
        let padding = usize::from(self.plain.last().copied().unwrap_or(0));
        let content = self.plain.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding));
        match content.filter(|&at| self.plain[at..].iter().all(|&b| usize::from(b) == padding)) {
            Some(at) => {
                self.plain.truncate(at);
                Ok(())
            }
            None => Err(io::Error::other(damaged("its end does not decrypt: it is cut off or altered"))),
        }
    }

    /// Bytes that can be handed out.
    fn ready(&self) -> usize {
        let held_back = if self.ended { 0 } else { BLOCK };
        (self.plain.len() - self.at).saturating_sub(held_back)
    }
}

impl<R: Read> Read for OpensslReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.ready() == 0 && !self.ended {
            self.fill()?;
        }
        let n = self.ready().min(out.len());
        out[..n].copy_from_slice(&self.plain[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl<R> std::fmt::Debug for OpensslReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpensslReader(..)")
    }
}

/// Encrypts what is written.
pub(crate) struct OpensslWriter<W> {
    output: W,
    mode: cbc::Encryptor<Aes256Enc>,
    /// Plaintext that waits for a step to be full.
    plain: Zeroizing<Vec<u8>>,
}

impl<W: Write> OpensslWriter<W> {
    /// Writes a fresh salt.
    ///
    /// # Errors
    /// Those of the writer, and `Internal` when the system has no randomness to give.
    pub(crate) fn new(mut output: W, passphrase: &Secret) -> Result<Self> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt)
            .map_err(|e| Error::new(Code::Internal, format!("the system gave no random bytes: {e}")))?;
        output.write_all(MAGIC).and_then(|()| output.write_all(&salt)).map_err(|e| Error::of_reader(e, "the salt"))?;
        let mode = KeyAndIv::derive(passphrase, &salt).mode()?;
        Ok(Self { output, mode, plain: Zeroizing::default() })
    }

    /// What is written to; the bytes in it can be taken away at any time.
    pub(crate) fn get_mut(&mut self) -> &mut W {
        &mut self.output
    }

    /// Pads and writes the last block.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.pass_on()?;
        let padding = BLOCK - self.plain.len();
        self.plain.resize(BLOCK, u8::try_from(padding).unwrap_or(16));
        self.pass_on()?;
        Ok(self.output)
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let whole = self.plain.len() / BLOCK * BLOCK;
        for block in self.plain[..whole].chunks_exact_mut(BLOCK) {
            let block: &mut [u8; BLOCK] = block.try_into().map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
            self.mode.encrypt_block(<&mut Array<u8, _>>::from(block));
        }
        self.output.write_all(&self.plain[..whole])?;
        self.plain.drain(..whole);
        Ok(())
    }
}

impl<W: Write> Write for OpensslWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(STEP)];
        self.plain.extend_from_slice(bytes);
        if self.plain.len() >= STEP {
            self.pass_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl<W> std::fmt::Debug for OpensslWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpensslWriter(..)")
    }
}

fn read_some(input: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(out) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn damaged(what: &str) -> Error {
    Error::new(Code::Damaged, what).next("use another copy of the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(plain: &[u8]) -> Vec<u8> {
        let mut writer = OpensslWriter::new(Vec::new(), &"hunter2".into()).unwrap();
        plain.chunks(1000).for_each(|piece| writer.write_all(piece).unwrap());
        writer.finish().unwrap()
    }

    fn open(sealed: &[u8], passphrase: &str) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut reader = OpensslReader::new(sealed, &passphrase.into())?;
        reader.read_to_end(&mut plain).map_err(|e| Error::of_reader(e, "it"))?;
        Ok(plain)
    }

    #[test]
    fn a_file_of_openssl_is_opened() {
        // printf 'hello, old friend' | openssl enc -aes-256-cbc -pbkdf2 -S 0102030405060708 -pass pass:hunter2
        // (which since version 3 leaves the salt out of the output when -S is given).
        let sealed = [
            b"Salted__\x01\x02\x03\x04\x05\x06\x07\x08".as_slice(),
            &hex::decode("ea097a185caaf03f0ad1b78f94886a23a7b323ecd746ff7fd068818444f44a3e").unwrap(),
        ]
        .concat();
        assert_eq!(open(&sealed, "hunter2").unwrap(), b"hello, old friend");
    }

    #[test]
    fn every_length_round_trips() {
        for length in (0..50).chain([STEP - 1, STEP, STEP + 1, 3 * STEP + 5]) {
            let plain: Vec<u8> = (0..length).map(|i| i.to_le_bytes()[0]).collect();
            let sealed = seal(&plain);
            assert_eq!(sealed.len(), 16 + (length / 16 + 1) * 16);
            assert_eq!(open(&sealed, "hunter2").unwrap(), plain, "{length}");
        }
    }

    #[test]
    fn another_passphrase_gives_something_else() {
        let plain = [7; 1000];
        assert!(open(&seal(&plain), "hunter3").map_or(true, |other| other != plain));
    }

    #[test]
    fn cuts_and_flips_are_no_panic() {
        let sealed = seal(&[7; 40]);
        for end in 0..sealed.len() {
            let cut = open(&sealed[..end], "hunter2");
            // A cut between blocks shows by the padding, but for one in 256.
            assert!(cut.is_err() || end % BLOCK == 0, "cut at {end}");
        }
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 0x40;
            assert_ne!(open(&flipped, "hunter2").ok().as_deref(), Some([7; 40].as_slice()), "flipped at {at}");
        }
    }
}
