//! Proofs: what was checked of a backup, kept beside it.
//!
//! `{"proof":P,"auth":A}` and a line feed. `A` authenticates the backup's id and the bytes of `P`, so that nobody
//! without the repository's key can make a backup look proven.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::manifest::{sha256_hex, to_json};
use crate::error::{Code, Error, Result};
use crate::id::BackupId;
use crate::report::ProofSummary;

/// What was proven, of which backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The backup.
    pub backup: BackupId,
    /// SHA-256 of the manifest that was proven, in hex.
    pub manifest_sha256: String,
    /// The version of this library.
    pub tool_version: String,
    /// What was found.
    #[serde(flatten)]
    pub summary: ProofSummary,
}

#[derive(Deserialize)]
struct Envelope {
    proof: Box<RawValue>,
    auth: Box<RawValue>,
}

impl Proof {
    /// The proof's object. `sign` authenticates the bytes it is given.
    pub(crate) fn encode<A: Serialize>(&self, sign: impl FnOnce(&[u8]) -> Result<A>) -> Result<Vec<u8>> {
        let proof = to_json(self)?;
        let auth = to_json(&sign(&signed(&proof))?)?;
        Ok(assemble(&proof, &auth))
    }

    /// Takes a proof apart; gives it with its authentication and the bytes that it covers.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, Box<RawValue>, Vec<u8>)> {
        let damaged = |e: Option<serde_json::Error>| {
            let error = Error::new(Code::Damaged, "a proof cannot be read").next("verify or drill the backup again");
            match e {
                Some(e) => error.because(e),
                None => error,
            }
        };
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|e| damaged(Some(e)))?;
        if assemble(envelope.proof.get(), envelope.auth.get()) != bytes {
            return Err(damaged(None));
        }
        let proof = serde_json::from_str(envelope.proof.get()).map_err(|e| damaged(Some(e)))?;
        Ok((proof, envelope.auth, signed(envelope.proof.get())))
    }
}

fn assemble(proof: &str, auth: &str) -> Vec<u8> {
    format!("{{\"proof\":{proof},\"auth\":{auth}}}\n").into_bytes()
}

fn signed(proof: &str) -> Vec<u8> {
    format!("lastgood/1 proof\n{}\n", sha256_hex(proof.as_bytes())).into_bytes()
}
