//! A backup in the making: its name, its data key, what is compared before the commit, and the commit.

use super::session::Session;
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::format::manifest::{Body, Draft, Header, Volume};
use crate::id::{BackupId, random_hex};
use crate::secret::Key;
use crate::settings::ReadBack;
use crate::storage::Created;

/// Names tried when several backups start in the same second.
const ATTEMPTS: u32 = 100;

/// The name of a backup that no other run has, and what holds it.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    session: &'a Session,
    pub(super) id: BackupId,
    reservation: Vec<u8>,
}

impl<'a> Pending<'a> {
    /// Takes a name that no other run has, by a create-only object. `replaces` is the backup that it is a copy of.
    pub(super) async fn reserve(
        session: &'a Session,
        started: jiff::Timestamp,
        replaces: Option<&BackupId>,
    ) -> Result<Self> {
        for attempt in 1..=ATTEMPTS {
            let id = BackupId::at(started, attempt);
            if is_taken(session, &id).await? {
                continue;
            }
            let record = serde_json::to_vec(&Reservation {
                run: random_hex::<16>()?,
                started_at: started,
                replaces: replaces.cloned(),
            });
            let mut reservation =
                record.map_err(|e| Error::new(Code::Internal, format!("a reservation cannot be written: {e}")))?;
            reservation.push(b'\n');
            let name = layout::reservation(&session.database, &id);
            if session.repository.create(&name, reservation.clone()).await? == Created::Exists {
                continue;
            }
            // Another run may have taken the name, committed and let it go since the first look.
            if is_taken(session, &id).await? {
                session.repository.delete(&name).await?;
                continue;
            }
            return Ok(Self { session, id, reservation });
        }
        Err(Error::new(Code::Busy, format!("{ATTEMPTS} backups of {} were started in this second", session.database))
            .next("try again"))
    }

    pub(super) fn object(&self, name: &str) -> String {
        layout::in_backup(&self.session.database, &self.id, name)
    }

    /// A fresh data key, with its key file; none in an unencrypted store.
    pub(super) async fn new_data_key(&self) -> Result<Option<Key>> {
        let Some((key, wrapped)) = self.session.keys.new_data_key()? else { return Ok(None) };
        let name = self.object(&layout::key_file(1));
        if self.session.repository.create(&name, wrapped).await? == Created::Exists {
            return Err(Error::new(Code::Busy, format!("{name} belongs to another run")).next("try again"));
        }
        Ok(Some(key))
    }

    /// Asks the store for what it was given, before anybody relies on it.
    pub(super) async fn read_back(&self, volumes: &[(Volume, Vec<u8>)]) -> Result<()> {
        for (volume, tail) in volumes {
            let name = self.object(&volume.name);
            let wrong = |what: &str| {
                Error::new(Code::StoreUnavailable, format!("{name}: {what}"))
                    .next("the store did not keep what it accepted; check it and run again")
            };
            match self.session.repository.size(&name).await? {
                Some(bytes) if bytes == volume.bytes => {}
                Some(bytes) => return Err(wrong(&format!("the store has {bytes} bytes of {}", volume.bytes))),
                None => return Err(wrong("the store does not have it")),
            }
            let from = volume.bytes - tail.len() as u64;
            if self.session.repository.get_range(&name, from..volume.bytes).await? != tail[..] {
                return Err(wrong("its last bytes are not what was sent"));
            }
            if self.session.settings.read_back == ReadBack::Content
                && super::verify::sha256_of(&self.session.repository, &name, volume.bytes).await? != volume.sha256
            {
                return Err(wrong("its bytes are not what was sent"));
            }
        }
        Ok(())
    }

    /// A run that was suspended for long may have been given up meanwhile, and its objects removed.
    pub(super) async fn still_ours(&self) -> Result<()> {
        let name = layout::reservation(&self.session.database, &self.id);
        let found = self.session.repository.get(&name, self.reservation.len() as u64).await;
        match found {
            Ok(Some(found)) if found == self.reservation => Ok(()),
            Err(e) if e.code() != Code::Damaged => Err(e),
            _ => Err(self.given_up()),
        }
    }

    /// The commit: from here on the backup exists, and not before. Nothing may be cleaned up once this was called: a
    /// manifest whose answer was lost may be there, or may still arrive.
    pub(super) async fn commit(&self, header: &Header, body: &Body, data_key: Option<&Key>) -> Result<()> {
        let (session, id) = (self.session, &self.id);
        let draft = Draft::new(header)?;
        let digest = draft.header_sha256();
        let seal = data_key.map(|key| move |plain: &[u8]| session.seal_body(key, id, &digest, plain));
        let unsigned = draft.body(body, seal)?;
        let auth = session.keys.sign(&unsigned.signed())?;
        let manifest = unsigned.finish(&auth)?;
        if session.repository.create(&self.object(layout::MANIFEST), manifest).await? == Created::Exists {
            return Err(Error::new(Code::Busy, format!("{id} was committed by another run")).next("run again"));
        }
        // Whoever gives a run up writes the void first and looks for the manifest afterwards: one sees the other.
        if session.repository.size(&layout::void(&session.database, id)).await?.is_some() {
            return Err(self.given_up());
        }
        Ok(())
    }

    fn given_up(&self) -> Error {
        Error::new(Code::Busy, format!("{} took so long that another run gave it up", self.id)).next("run again")
    }

    /// Removes what a failed run stored. What cannot be removed keeps its reservation, so that no later run takes its name.
    pub(super) async fn clean_up(&self) {
        let removed = async {
            let folder = layout::backup(&self.session.database, &self.id);
            for object in self.session.repository.list(&folder).await?.into_keys() {
                self.session.repository.delete(&self.object(&object)).await?;
            }
            Ok::<_, Error>(())
        };
        match removed.await {
            Ok(()) => self.release().await,
            Err(e) => tracing::warn!(backup_id = %self.id, error = %e, "what a failed run stored could not be removed"),
        }
    }

    pub(super) async fn release(&self) {
        let name = layout::reservation(&self.session.database, &self.id);
        if let Err(e) = self.session.repository.delete(&name).await {
            tracing::warn!(backup_id = %self.id, error = %e, "the reservation could not be removed");
        }
    }
}

/// Whether the name is a backup's, or was given up: it stays so.
async fn is_taken(session: &Session, id: &BackupId) -> Result<bool> {
    let manifest = layout::in_backup(&session.database, id, layout::MANIFEST);
    Ok(session.repository.size(&manifest).await?.is_some()
        || session.repository.size(&layout::void(&session.database, id)).await?.is_some())
}

/// What holds a backup's name.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Reservation {
    run: String,
    started_at: jiff::Timestamp,
    /// The backup that it is to take the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<BackupId>,
}

/// The backup that a run is to replace, as its reservation says; none for other runs.
pub(super) async fn replaced_by_run(session: &Session, id: &BackupId) -> Result<Option<BackupId>> {
    const MAX_BYTES: u64 = 4 << 10;
    let name = layout::reservation(&session.database, id);
    let found = session.repository.get(&name, MAX_BYTES).await?;
    Ok(found.and_then(|bytes| serde_json::from_slice::<Reservation>(&bytes).ok()).and_then(|r| r.replaces))
}
