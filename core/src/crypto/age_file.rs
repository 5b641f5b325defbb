//! The `age` format, as bytes in and bytes out, with this crate's errors.

use std::io::{Read, Write};

use age::DecryptError;
use age::armor::ArmoredReader;
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};

/// Key slots and key files are far smaller; a larger one is refused before it is read.
const MAX_BYTES: usize = 256 << 10;

/// Encrypts to every recipient.
pub(super) fn encrypt(to: &[&dyn age::Recipient], plaintext: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: String| Error::new(Code::Internal, format!("a key cannot be wrapped: {e}"));
    let encryptor =
        age::Encryptor::with_recipients(to.iter().copied()).map_err(|e| failed(e.to_string()).because(e))?;
    let mut out = Vec::new();
    encryptor
        .wrap_output(&mut out)
        .and_then(|mut writer| {
            writer.write_all(plaintext)?;
            writer.finish()
        })
        .map_err(|e| failed(e.to_string()))?;
    Ok(out)
}

/// Decrypts with whichever identity fits; binary and armored files alike.
///
/// # Errors
/// `WrongKey` when none fits, `KeySlot` when a passphrase would cost more work than is obeyed, `Damaged` for anything that is not
/// a whole age file.
pub(super) fn decrypt(bytes: &[u8], with: &[&dyn age::Identity]) -> Result<Zeroizing<Vec<u8>>> {
    if bytes.len() > MAX_BYTES {
        return Err(damaged("it is too large for a wrapped key"));
    }
    let decryptor = age::Decryptor::new_buffered(ArmoredReader::new(bytes)).map_err(|e| refused(e, false))?;
    let asks_for_passphrase = decryptor.is_scrypt();
    let mut reader = decryptor.decrypt(with.iter().copied()).map_err(|e| refused(e, asks_for_passphrase))?;
    // The plaintext is shorter than the file, so the secret is never moved and left behind by a growing buffer.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(bytes.len()));
    reader.read_to_end(&mut plaintext).map_err(|e| damaged("it was altered or cut").because(e))?;
    Ok(plaintext)
}

fn refused(e: DecryptError, asks_for_passphrase: bool) -> Error {
    let wrong = |what: &str| Error::new(Code::WrongKey, what).next("check the key that was given");
    match e {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed if asks_for_passphrase => {
            wrong("the passphrase does not open it")
        }
        DecryptError::NoMatchingKeys if asks_for_passphrase => wrong("it is locked with a passphrase"),
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            wrong("it was encrypted to other keys")
        }
        DecryptError::ExcessiveWork { required, .. } => Error::new(
            Code::KeySlot,
            format!(
                "its passphrase asks for scrypt work factor {required}; {} is the most that is obeyed",
                super::keyring::MAX_WORK_FACTOR
            ),
        )
        .next("decrypt it with the age program and give the result as an identity file"),
        DecryptError::InvalidHeader | DecryptError::InvalidMac => damaged("it was altered or cut").because(e),
        _ => damaged("it is not an age file").because(e),
    }
}

fn damaged(what: &str) -> Error {
    Error::new(Code::Damaged, what).next("put back the original file from another copy of the store")
}
