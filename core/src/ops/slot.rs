//! Slots of a schedule: what is due at one time is done once, however many hosts try.
//!
//! A run claims its slot by a create-only object, a backup right before its manifest. When the claimant died between the
//! two, the next run gives its backup up for good, and only then makes the next claim.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::session::Session;
use super::sweep::give_up;
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::format::manifest::to_json;
use crate::id::{BackupId, random_hex};
use crate::storage::Created;

/// A claim larger than this is none of ours.
const MAX_BYTES: u64 = 4 << 10;
/// Claims of one slot that are looked at: each one but the last belongs to a run that died.
const ATTEMPTS: u32 = 1_000;

/// The claim on a slot that a run makes when it is done.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) job: String,
    pub(crate) at: Timestamp,
    /// The number of the claim, counted from 1.
    pub(crate) n: u32,
    /// The epoch of the lease under which the run was started.
    pub(crate) epoch: u64,
}

/// A claim, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) job: String,
    pub(crate) slot: Timestamp,
    pub(crate) epoch: u64,
    /// The backup that was made, or looked at; none for a prune.
    pub(crate) backup: Option<BackupId>,
    pub(crate) claimed_at: Timestamp,
    pub(crate) nonce: String,
}

/// How far a slot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nobody has done it. The number of the next claim.
    Open(u32),
    /// A run claimed its backup and has not committed it, or never will.
    Claimed(BackupId),
    Done,
}

/// Looks at a slot; changes nothing.
pub(crate) async fn look(session: &Session, job: &str, at: Timestamp) -> Result<Progress> {
    for n in 1..ATTEMPTS {
        let name = layout::slot(&session.database, job, at, n);
        let Some(bytes) = session.repository.get(&name, MAX_BYTES).await? else { return Ok(Progress::Open(n)) };
        let claim: Claim = serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(Code::Damaged, format!("{name} is not a claim: {e}"))
                .next("delete it; the slot is then done again")
        })?;
        let Some(id) = claim.backup.filter(|_| makes_backups(job)) else { return Ok(Progress::Done) };
        if session.repository.size(&layout::void(&session.database, &id)).await?.is_some() {
            continue;
        }
        let manifest = layout::in_backup(&session.database, &id, layout::MANIFEST);
        return Ok(match session.repository.size(&manifest).await? {
            Some(_) => Progress::Done,
            None => Progress::Claimed(id),
        });
    }
    Err(Error::new(Code::Internal, format!("{job} at {at} was claimed {ATTEMPTS} times")))
}

/// Finds out whether a slot is still to be done, and gives up the run that claimed it and died. Only for the holder of
/// the lease. `None` when it is done.
pub(crate) async fn open(session: &Session, job: &str, at: Timestamp, epoch: u64) -> Result<Option<Slot>> {
    loop {
        match look(session, job, at).await? {
            Progress::Open(n) => return Ok(Some(Slot { job: job.to_owned(), at, n, epoch })),
            Progress::Done => return Ok(None),
            Progress::Claimed(id) => {
                if !give_up(session, &id).await? {
                    return Ok(None);
                }
            }
        }
    }
}

impl Slot {
    /// Claims the slot for what was done. An error of code `busy` when another run was faster.
    pub(crate) async fn claim(&self, session: &Session, backup: Option<&BackupId>) -> Result<()> {
        let claim = Claim {
            job: self.job.clone(),
            slot: self.at,
            epoch: self.epoch,
            backup: backup.cloned(),
            claimed_at: session.clock.now(),
            nonce: random_hex::<16>()?,
        };
        let name = layout::slot(&session.database, &self.job, self.at, self.n);
        match session.repository.create(&name, format!("{}\n", to_json(&claim)?).into_bytes()).await? {
            Created::New => Ok(()),
            Created::Exists => {
                Err(Error::new(Code::Busy, format!("{} of {} was done by another run", self.job, self.at))
                    .next("nothing needs to be done"))
            }
        }
    }
}

/// Claims of these jobs stand for a backup, and count when that is there.
fn makes_backups(job: &str) -> bool {
    job == "backup"
}
