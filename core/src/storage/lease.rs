//! A lease: one holder at a time, by nothing but create-only writes and the store's own clock.
//!
//! Each holder makes the object of the next epoch, which only one can. It writes its object again while it is alive; the
//! date that the store gives to it tells others how long ago that was, whatever their clocks and the holder's say. A
//! holder that slept through its time finds a higher epoch when it wakes.
//!
//! A lease saves work; it is no guard of correctness: what must happen once is claimed by a create-only object of its own.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::repository::{Created, Repository};
use crate::error::{Code, Error, Result};
use crate::id::random_hex;

/// A record larger than this is none of ours.
const MAX_BYTES: u64 = 4 << 10;
/// Bounds of what a record may say of its holder's patience.
const PATIENCE_SECONDS: std::ops::RangeInclusive<u64> = 1..=3_600;

/// Who holds a lease, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseHolder {
    /// Unlike that of any other holder.
    pub(crate) nonce: String,
    /// For people: host and process.
    pub(crate) holder: String,
    /// Silent for longer than this, it is given up.
    pub(crate) seconds: u64,
    /// Counts the signs of life.
    pub(crate) beat: u64,
    pub(crate) released: bool,
}

/// What became of an attempt to take a lease.
#[derive(Debug)]
pub(crate) enum Taken {
    Ours(Lease),
    /// Somebody else holds it; who, where that is known.
    Theirs(Option<LeaseHolder>),
}

/// A lease that is held. Dropped without [`Lease::release`], it runs out.
#[derive(Debug)]
pub(crate) struct Lease {
    repository: Repository,
    folder: String,
    epoch: u64,
    record: LeaseHolder,
    taken_at: Timestamp,
}

impl Lease {
    /// Takes the lease whose objects lie in `folder`, unless somebody holds it. `clock` names an object to ask the store's time with.
    pub(crate) async fn take(
        repository: &Repository,
        folder: &str,
        clock: &str,
        holder: &str,
        patience: Duration,
    ) -> Result<Taken> {
        let now = repository.time(clock).await?;
        let seconds = patience.as_secs().clamp(*PATIENCE_SECONDS.start(), *PATIENCE_SECONDS.end());
        let epochs = epochs(repository, folder).await?;
        if let Some((last, modified)) = epochs.last() {
            let record = read(repository, folder, *last).await?;
            let patience = record.as_ref().map_or(seconds, |r| r.seconds);
            let patience = SignedDuration::from_secs(i64::try_from(patience).unwrap_or(i64::MAX));
            if record.as_ref().is_none_or(|r| !r.released) && now.duration_since(*modified) <= patience {
                return Ok(Taken::Theirs(record));
            }
        }
        let epoch = epochs.last().map_or(1, |(last, _)| last + 1);
        let record =
            LeaseHolder { nonce: random_hex::<16>()?, holder: holder.to_owned(), seconds, beat: 0, released: false };
        if repository.create(&object(folder, epoch), encode(&record)?).await? == Created::Exists {
            return Ok(Taken::Theirs(read(repository, folder, epoch).await?));
        }
        for (old, _) in epochs {
            // Only the highest epoch counts; what cannot be removed now is removed by the next holder.
            if let Err(e) = repository.delete(&object(folder, old)).await {
                tracing::debug!(epoch = old, error = %e, "an old lease stays");
            }
        }
        Ok(Taken::Ours(Self {
            repository: repository.clone(),
            folder: folder.to_owned(),
            epoch,
            record,
            taken_at: now,
        }))
    }

    /// When it was taken, by the store's clock.
    pub(crate) fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// Counts the holders there were: later ones have higher numbers.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Gives a sign of life; `false` when somebody else has taken over.
    pub(crate) async fn renew(&mut self) -> Result<bool> {
        self.record.beat += 1;
        self.write().await
    }

    /// Gives it back, so that others need not wait.
    pub(crate) async fn release(mut self) -> Result<()> {
        self.record.released = true;
        self.write().await.map(drop)
    }

    /// Gives signs of life until somebody else has taken over. A store that does not answer is asked again: what must
    /// not happen twice does not rest on this.
    pub(crate) async fn until_lost(&mut self) {
        let every = Duration::from_secs(self.record.seconds) / 3;
        loop {
            tokio::time::sleep(every).await;
            match self.renew().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => tracing::warn!(error = %e, "the lease could not be renewed"),
            }
        }
    }

    async fn write(&self) -> Result<bool> {
        let newest = epochs(&self.repository, &self.folder).await?.last().map(|(epoch, _)| *epoch);
        if newest != Some(self.epoch) {
            return Ok(false);
        }
        self.repository.put(&object(&self.folder, self.epoch), encode(&self.record)?).await?;
        Ok(true)
    }
}

/// The epochs there are, oldest first, with the last sign of life of each.
async fn epochs(repository: &Repository, folder: &str) -> Result<Vec<(u64, Timestamp)>> {
    let listed = repository.list(folder).await?.into_iter();
    let epoch = |name: &str| name.strip_suffix(".json")?.parse::<u64>().ok();
    let mut epochs: Vec<_> = listed.filter_map(|(name, meta)| Some((epoch(&name)?, meta.modified))).collect();
    epochs.sort_unstable();
    Ok(epochs)
}

fn object(folder: &str, epoch: u64) -> String {
    format!("{folder}/{epoch:012}.json")
}

/// A record; `None` when it is gone or not one of ours.
async fn read(repository: &Repository, folder: &str, epoch: u64) -> Result<Option<LeaseHolder>> {
    let Some(bytes) = repository.get(&object(folder, epoch), MAX_BYTES).await? else { return Ok(None) };
    let record = serde_json::from_slice::<LeaseHolder>(&bytes).ok();
    Ok(record.filter(|record| PATIENCE_SECONDS.contains(&record.seconds)))
}

fn encode(record: &LeaseHolder) -> Result<Vec<u8>> {
    let json = serde_json::to_string(record).map_err(|e| Error::new(Code::Internal, format!("a lease: {e}")))?;
    Ok(format!("{json}\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;

    fn repository() -> Repository {
        Repository::new(Arc::new(InMemory::new()), Path::default())
    }

    async fn take(repository: &Repository, seconds: u64) -> Taken {
        Lease::take(repository, "lease", "clock", "somebody", Duration::from_secs(seconds)).await.unwrap()
    }

    fn ours(taken: Taken) -> Lease {
        match taken {
            Taken::Ours(lease) => lease,
            Taken::Theirs(holder) => panic!("held by {holder:?}"),
        }
    }

    #[tokio::test]
    async fn one_holds_it_until_it_is_given_back() {
        let repository = repository();
        let mut first = ours(take(&repository, 60).await);
        assert!(matches!(take(&repository, 60).await, Taken::Theirs(Some(_))));
        assert!(first.renew().await.unwrap());
        first.release().await.unwrap();
        assert_eq!(ours(take(&repository, 60).await).epoch(), 2);
        assert_eq!(repository.list("lease").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn of_many_at_once_one_gets_it() {
        let repository = repository();
        let all = futures::future::join_all((0..16).map(|_| take(&repository, 60))).await;
        assert_eq!(all.iter().filter(|taken| matches!(taken, Taken::Ours(_))).count(), 1);
    }

    #[tokio::test]
    async fn a_holder_that_was_overtaken_learns_it_and_harms_nobody() {
        let repository = repository();
        let mut sleeper = ours(take(&repository, 60).await);
        // As if its time had run out: the next epoch is there.
        repository.put("lease/000000000002.json", encode(&sleeper.record).unwrap()).await.unwrap();
        assert!(!sleeper.renew().await.unwrap());
        sleeper.release().await.unwrap();
        let newest = read(&repository, "lease", 2).await.unwrap().unwrap();
        assert!(!newest.released);
    }

    #[tokio::test]
    async fn nonsense_in_its_place_runs_out_like_any_other() {
        let repository = repository();
        repository.put("lease/000000000007.json", b"nonsense".to_vec()).await.unwrap();
        assert!(matches!(take(&repository, 60).await, Taken::Theirs(None)));
    }
}
