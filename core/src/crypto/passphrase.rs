//! Whether a passphrase can be guessed.

use std::collections::HashSet;

use crate::error::{Code, Error, Result};
use crate::secret::Secret;

const MIN_CHARS: usize = 32;
const MIN_BITS: f64 = 64.0;

/// Refuses a passphrase that is too short or too regular.
///
/// It must have 32 characters and an estimated 64 bits of surprise. The estimate takes log2 of the number of different characters
/// for each character that does not follow from those before it: not one that repeats or counts on from its neighbour (`aaa`,
/// `456`), and not one that continues as an earlier place went on. It knows no dictionary: it tells a generated passphrase from a
/// filled-up short one, not a good sentence from a famous one.
///
/// # Errors
/// `WeakPassphrase`.
///
/// # Example
/// ```
/// use lastgood::{Code, crypto::check_passphrase};
/// assert!(check_passphrase(&"pV3kQ0xyZr8Jt6uWcB1nHs5aLfGdEm2T".into()).is_ok());
/// assert_eq!(check_passphrase(&"password1password1password1password1".into()).unwrap_err().code(), Code::WeakPassphrase);
/// ```
pub fn check_passphrase(passphrase: &Secret) -> Result<()> {
    let chars = passphrase.expose().chars().count();
    let weak = |what: String| {
        Error::new(Code::WeakPassphrase, what)
            .next("use one made by `openssl rand -base64 32`, or allow a weak passphrase explicitly")
    };
    if chars < MIN_CHARS {
        return Err(weak(format!("the passphrase has {chars} characters, {MIN_CHARS} are asked for")));
    }
    if surprise_bits(passphrase.expose()) < MIN_BITS {
        return Err(weak(
            "the passphrase is too regular: it repeats itself or uses few different characters".to_owned(),
        ));
    }
    Ok(())
}

fn surprise_bits(text: &str) -> f64 {
    let chars: Vec<u32> = text.chars().map(u32::from).collect();
    let distinct = u32::try_from(chars.iter().collect::<HashSet<_>>().len()).unwrap_or(u32::MAX);
    let mut runs = HashSet::new();
    let mut surprising = 0_u32;
    for (i, c) in chars.iter().enumerate() {
        let follows_neighbour = i > 0 && chars[i - 1].abs_diff(*c) <= 1;
        let seen_before = i > 1 && !runs.insert(&chars[i - 2..=i]);
        if !follows_neighbour && !seen_before {
            surprising += 1;
        }
    }
    f64::from(surprising) * f64::from(distinct.max(1)).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passphrases_pass_and_filled_up_ones_do_not() {
        for good in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "83926150473829164057392048571639",
            "pV3kQ0xyZr8Jt6uWcB1nHs5aLfGdEm2T",
            "gravel-onion-sixfold-tundra-maple-kiosk",
            "Größenwahn über Öltanker ärgert Zöllner!",
        ] {
            assert!(check_passphrase(&good.into()).is_ok(), "{good}: {}", surprise_bits(good));
        }
        for bad in [
            "",
            "pV3kQ0xyZr8Jt6uWcB1nHs5aLfGdEm2",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "passwordpasswordpasswordpassword",
            "hunter2hunter2hunter2hunter2hunter2hunter2",
            "0101010101010101010101010101010101010101",
            "ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210",
        ] {
            let e = check_passphrase(&bad.into()).map_err(|e| e.code());
            assert_eq!(e, Err(Code::WeakPassphrase), "{bad}: {}", surprise_bits(bad));
        }
    }
}
