//! Looks at everything that a backup and its restore depend on, before it is two in the morning.
//!
//! A check never stops the others: what is broken is a failed check, and what builds on it is not checked.

mod keys;
pub(crate) mod trial;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::keys::{KeyOptions, Keys};
use super::list::list;
use super::session::{Session, millis_since, open_store};
use crate::clock::Clock;
use crate::engine::{DoctorOptions, Engine};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::id::{DatabaseName, random_hex};
use crate::report::{BackupSummary, Check, CheckStatus, DoctorReport};
use crate::settings::Settings;
use crate::storage::{Created, Repository};

/// How long one question to the store may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the database's checks may take together; each of them is bounded by its engine.
const ENGINE_PATIENCE: Duration = Duration::from_secs(300);
/// Backups among which the newest proof is looked for.
const RECENT: usize = 30;
/// A newest backup that is older than this is told: a day, and time to make the next one.
const FRESH: SignedDuration = SignedDuration::from_hours(26);

/// What is to be looked at, as far as the settings could be understood.
pub(crate) struct Subject<'a> {
    /// What is wrong with the settings themselves.
    pub(crate) errors: Vec<Error>,
    pub(crate) engine: Option<Arc<dyn Engine>>,
    /// The store and its address; none if no store was named.
    pub(crate) store: Option<(Result<Repository>, String)>,
    /// What kind of place that is.
    pub(crate) place: PlaceKind,
    pub(crate) keys: &'a KeyOptions,
    pub(crate) name: Option<DatabaseName>,
    pub(crate) settings: &'a Settings,
    pub(crate) clock: Arc<dyn Clock>,
    /// Tables and indexes that must be there.
    pub(crate) tables: Vec<String>,
    pub(crate) indexes: Vec<String>,
}

/// What kind of place a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket or container.
    Bucket,
    /// An object of the caller's.
    Given,
}

/// Makes the checks; gives also the store, if it can be opened, for those who look at more in it.
pub(crate) async fn doctor(subject: Subject<'_>) -> (DoctorReport, Option<Arc<Session>>) {
    let mut opened = None;
    let began = Instant::now();
    let mut checks = settings(&subject);
    checks.extend(database(&subject).await);
    match &subject.store {
        None => checks.extend(STORE.map(|name| Check::not_checked(name, "no store was named"))),
        Some((Err(e), _)) => checks.extend(unreachable(e, subject.keys)),
        Some((Ok(repository), address)) => {
            let reached = reach(repository, address).await;
            let broken = reached.status == CheckStatus::Fail;
            checks.push(reached);
            if broken {
                checks.extend(STORE[1..].iter().map(|name| Check::not_checked(name, "the store cannot be reached")));
            } else {
                checks.extend(promises(repository, &subject).await);
                let (found, session) = contents(repository, &subject).await;
                checks.extend(found);
                opened = session;
            }
        }
    }
    (DoctorReport::of(checks, millis_since(began)), opened)
}

/// The checks of the store, in this order.
const STORE: [&str; 13] = [
    "store",
    "store_write",
    "store_create_only",
    "store_list",
    "store_range",
    "store_clock",
    "store_multipart",
    "store_delete",
    "key",
    "key_rotation",
    "key_backups",
    "last_backup",
    "last_proof",
];

/// Waits for an answer, but not for ever.
pub(crate) async fn in_time<T>(what: &str, answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        Err(Error::new(Code::StoreUnavailable, format!("{what}: no answer within {} s", PATIENCE.as_secs()))
            .next("check the network and the store"))
    })
}

fn settings(subject: &Subject<'_>) -> Vec<Check> {
    const NAME: &str = "settings";
    let mut wrong: Vec<Check> = subject.errors.iter().map(|e| Check::failed(NAME, e)).collect();
    if subject.engine.is_none() && wrong.is_empty() {
        wrong.push(Check::fail(NAME, "no database was given", "give `database` or set DATABASE_URL"));
    }
    if !wrong.is_empty() {
        return wrong;
    }
    let database = subject.engine.as_ref().map(|e| e.describe()).unwrap_or_default();
    let store = subject.store.as_ref().map(|(_, address)| address.as_str()).unwrap_or_default();
    let message = format!("database {database}, store {store}, {} jobs", subject.settings.jobs);
    vec![Check::pass(NAME, message)]
}

async fn database(subject: &Subject<'_>) -> Vec<Check> {
    let Some(engine) = &subject.engine else {
        return vec![Check::not_checked("database", "the settings name none")];
    };
    let options = DoctorOptions {
        jobs: subject.settings.jobs,
        work_dir: subject.settings.work_dir.clone(),
        tables: subject.tables.clone(),
        indexes: subject.indexes.clone(),
    };
    tokio::time::timeout(ENGINE_PATIENCE, engine.doctor(&options)).await.unwrap_or_else(|_| {
        let message = format!("the checks did not end within {} s", ENGINE_PATIENCE.as_secs());
        vec![Check::fail("database", message, "check the server's load and its locks")]
    })
}

/// A store that could not even be opened. A folder that is not there yet is made by the first backup.
fn unreachable(e: &Error, keys: &KeyOptions) -> Vec<Check> {
    if e.code() != Code::StoreNotFound {
        let rest = STORE[1..].iter().map(|name| Check::not_checked(name, "the store cannot be reached"));
        return std::iter::once(Check::failed("store", e)).chain(rest).collect();
    }
    let mut checks = vec![Check::warn("store", e.message(), e.next_step().unwrap_or_default())];
    checks.extend(STORE[1..8].iter().map(|name| Check::not_checked(name, "there is no store yet")));
    checks.push(new_key(keys));
    checks.extend(keys::none_yet());
    checks.extend(none_yet("there is no backup yet"));
    checks
}

async fn reach(repository: &Repository, address: &str) -> Check {
    let began = Instant::now();
    match in_time("listing the store", repository.folders()).await {
        Ok(_) => Check::pass("store", format!("{address} answers within {} ms", millis_since(began))),
        Err(e) => Check::failed("store", &e),
    }
}

/// Tries each promise of the store on which the safety of backups rests, on an object that is never taken for one.
async fn promises(repository: &Repository, subject: &Subject<'_>) -> Vec<Check> {
    let Ok(random) = random_hex::<8>() else { return vec![Check::not_checked("store_write", "no random bytes")] };
    let (name, content) = (layout::probe(&random), format!("written by the doctor: {random}"));
    let (clock, before) = (&*subject.clock, subject.clock.now());
    let written = in_time("writing", repository.create(&name, content.clone().into_bytes())).await;
    if let Err(e) = written {
        let rest = STORE[2..8].iter().map(|name| Check::not_checked(name, "nothing can be written"));
        return std::iter::once(Check::failed("store_write", &e)).chain(rest).collect();
    }
    let mut checks = vec![
        Check::pass("store_write", "objects can be written"),
        create_only(repository, &name).await,
        listed(repository, &name).await,
        range(repository, &name, &content).await,
        trial::clock(repository, &name, before, clock).await,
        trial::multipart(repository, &name).await,
    ];
    let version = match subject.place {
        PlaceKind::Bucket => Some(in_time("reading a version", repository.version(&name)).await),
        _ => None,
    };
    checks.push(delete(repository, &name).await);
    match version {
        Some(Ok(version)) => checks.push(trial::versions(repository, &name, version).await),
        Some(Err(e)) => checks.push(Check::failed("store_versions", &e)),
        None => {}
    }
    checks
}

async fn create_only(repository: &Repository, name: &str) -> Check {
    const NAME: &str = "store_create_only";
    match in_time("writing again", repository.create(name, b"somebody else".to_vec())).await {
        Ok(Created::Exists) => Check::pass(NAME, "an object that exists is not overwritten by create-only writes"),
        Ok(Created::New) => Check::fail(
            NAME,
            "a create-only write replaced an object: two runs could overwrite each other's backup",
            "use a store with conditional writes (If-None-Match), or a newer version of it",
        ),
        Err(e) => Check::failed(NAME, &e),
    }
}

async fn listed(repository: &Repository, name: &str) -> Check {
    const NAME: &str = "store_list";
    match in_time("listing", repository.list("")).await {
        Ok(objects) if objects.contains_key(name) => Check::pass(NAME, "what was written is listed at once"),
        Ok(_) => Check::fail(
            NAME,
            "an object that was just written is not in the listing: backups might not be found",
            "use a store whose listings are consistent",
        ),
        Err(e) => Check::failed(NAME, &e),
    }
}

async fn range(repository: &Repository, name: &str, content: &str) -> Check {
    const NAME: &str = "store_range";
    match in_time("reading a range", repository.get_range(name, 3..11)).await {
        Ok(bytes) if Some(&*bytes) == content.as_bytes().get(3..11) => {
            Check::pass(NAME, "ranges of objects can be read")
        }
        Ok(_) => Check::fail(NAME, "a range of an object has other bytes than were written", "do not use this store"),
        Err(e) => Check::failed(NAME, &e),
    }
}

async fn delete(repository: &Repository, name: &str) -> Check {
    const NAME: &str = "store_delete";
    let gone = async {
        repository.delete(name).await?;
        Ok(repository.size(name).await?.is_none())
    };
    match in_time("deleting", gone).await {
        Ok(true) => Check::pass(NAME, "objects can be deleted"),
        Ok(false) => Check::warn(
            NAME,
            format!("{name} is still there after it was deleted"),
            "if the store keeps deleted objects on purpose, nothing; old backups will go on costing",
        ),
        Err(e) => Check::warn(
            NAME,
            format!("{} ({name} stays)", e.message()),
            "if this host must not delete, nothing; otherwise allow it, or old backups stay for ever",
        ),
    }
}

/// What the store holds: whether the key opens it, the newest backup and the newest proof.
async fn contents(repository: &Repository, subject: &Subject<'_>) -> (Vec<Check>, Option<Arc<Session>>) {
    let not_checked =
        |from: usize, why: &str| STORE[from..].iter().map(|name| Check::not_checked(name, why)).collect::<Vec<_>>();
    let (key, opened) = match in_time("opening the store", open_store(repository, subject.keys, false)).await {
        Ok((marker, keys)) => (key(&keys), Some((marker, keys))),
        Err(e) if e.code() == Code::StoreNotFound => (new_key(subject.keys), None),
        Err(e) => (Check::failed("key", &e), None),
    };
    let broken = key.status == CheckStatus::Fail;
    let mut checks = vec![key];
    if let Some((_, keys)) = &opened {
        checks.push(keys::rotation(repository, keys).await);
    }
    let database = subject.name.clone().or_else(|| {
        let engine = subject.engine.as_ref()?;
        Some(DatabaseName::sanitize(engine.database()))
    });
    match (opened, database) {
        (Some((marker, keys)), Some(database)) => {
            let (settings, clock) = (subject.settings.clone(), Arc::clone(&subject.clock));
            let session = Session { repository: repository.clone(), marker, keys, database, settings, clock };
            let session = Arc::new(session);
            checks.push(keys::backups(&session).await);
            checks.extend(backups(&session, &subject.place).await);
            return (checks, Some(session));
        }
        (None, _) if broken => checks.extend(not_checked(9, "the store cannot be opened")),
        (None, _) => {
            checks.extend(keys::none_yet());
            checks.extend(none_yet("there is no backup yet"));
        }
        (_, None) => checks.extend(not_checked(10, "no database is named")),
    }
    (checks, None)
}

fn key(keys: &Keys) -> Check {
    const NAME: &str = "key";
    match keys {
        Keys::Open(open) => keys::strength(open, Check::pass(NAME, format!("the key opens the store ({})", open.slot))),
        Keys::Sealing { .. } => Check::pass(NAME, "this host can make backups; it can open none, as intended"),
        Keys::Unencrypted => Check::warn(
            NAME,
            "the store is not encrypted: whoever can read it has the database",
            "make a new store with a key",
        ),
        Keys::Locked { encrypted: true } => Check::fail(
            NAME,
            "the store is encrypted and no key was given",
            "set BACKUP_ENCRYPTION_KEY or BACKUP_ENCRYPTION_KEY_FILE",
        ),
        Keys::Locked { encrypted: false } => Check::fail(
            NAME,
            "the store is not encrypted, and that was not said to be wanted",
            "say so (`unencrypted`), or give the URL of another store",
        ),
    }
}

/// Whether a new store could be made with what was given.
fn new_key(options: &KeyOptions) -> Check {
    const NAME: &str = "key";
    if options.unencrypted {
        return Check::warn(NAME, "the store will not be encrypted", "give a key instead");
    }
    match Keys::first_slot(options) {
        Ok(_) => Check::pass(NAME, "the first backup will make the store with this key"),
        Err(e) => Check::failed(NAME, &e),
    }
}

async fn backups(session: &Arc<Session>, place: &PlaceKind) -> Vec<Check> {
    let disk = |newest: Option<u64>| match place {
        PlaceKind::Folder(folder) => Some(trial::disk(folder, newest)),
        _ => None,
    };
    let recent = match in_time("listing backups", list(session, Some(RECENT))).await {
        Ok(recent) => recent,
        Err(e) => {
            return vec![
                Check::failed("last_backup", &e),
                Check::not_checked("last_proof", "backups cannot be listed"),
            ];
        }
    };
    let Some(newest) = recent.first() else {
        let mut checks = none_yet(&format!("there is no backup of {} yet", session.database));
        checks.extend(disk(None));
        return checks;
    };
    let now = session.clock.now();
    let message = format!("{} is {} old", newest.id, age(newest.started_at, now));
    let last = match now.duration_since(newest.started_at) > FRESH {
        false => Check::pass("last_backup", message),
        true => Check::warn("last_backup", message, "if backups are to be daily, see why none was made"),
    };
    let mut checks = vec![last, proof(&recent, now)];
    checks.extend(disk(Some(newest.stored_bytes)));
    checks
}

fn none_yet(what: &str) -> Vec<Check> {
    vec![
        Check::warn("last_backup", what, "make one with `backup`"),
        Check::not_checked("last_proof", "there is no backup to prove"),
    ]
}

fn proof(recent: &[BackupSummary], now: Timestamp) -> Check {
    const NAME: &str = "last_proof";
    if let Some(failing) = recent.iter().find(|b| b.failing) {
        return Check::fail(
            NAME,
            format!("the newest proof of {} failed", failing.id),
            "see `show`, and make a new backup",
        );
    }
    let drilled = recent.iter().filter_map(|b| Some((b.drilled_at?, "restored and compared", b))).max_by_key(|p| p.0);
    let verified = recent.iter().filter_map(|b| Some((b.verified_at?, "verified", b))).max_by_key(|p| p.0);
    match (drilled, verified) {
        (Some((at, how, backup)), _) => Check::pass(NAME, format!("{} was {how} {} ago", backup.id, age(at, now))),
        (None, Some((at, how, backup))) => Check::warn(
            NAME,
            format!("{} was {how} {} ago; none of the newest backups was restored", backup.id, age(at, now)),
            "prove it with `drill`",
        ),
        (None, None) => Check::warn(NAME, "none of the newest backups was proven", "prove one with `drill`"),
    }
}

/// `3 h`, `12 days`.
fn age(at: Timestamp, now: Timestamp) -> String {
    match now.as_second().saturating_sub(at.as_second()).max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let told = [0, 200, 8_000, 260_000].map(|s| age(at(0), at(s)));
        assert_eq!(told, ["0 s", "3 min", "2 h", "3 days"]);
        assert_eq!(age(at(5), at(0)), "0 s", "another host's clock is ahead");
    }
}
