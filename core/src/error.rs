//! One error type: what failed, where, and what to do next, under a stable code.

use std::error::Error as StdError;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something is out of reach for now; a retry may help.
    Unavailable,
    /// The request is understood and not carried out; change the request.
    Refused,
    /// Stored bytes are not what was written; use another copy or another backup.
    Damaged,
    /// A key or a privilege is missing or wrong.
    Denied,
    /// What was asked for does not exist.
    NotFound,
    /// Somebody else is at it; try again later.
    Busy,
    /// An argument or a setting is malformed.
    Invalid,
    /// The caller cancelled the operation.
    Cancelled,
    /// A defect in this library; please report it.
    Internal,
}

impl ErrorKind {
    /// The command line's exit code for errors of this kind (1 is left to panics, 2 to usage).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::Refused => 3,
            Self::Damaged => 4,
            Self::Denied => 5,
            Self::NotFound => 6,
            Self::Busy => 7,
            Self::Unavailable => 8,
            Self::Internal => 70,
            Self::Cancelled => 130,
        }
    }
}

macro_rules! codes {
    ($(#[doc = $doc:literal] $variant:ident = $text:literal, $kind:ident;)*) => {
        /// A stable, machine-readable name of what went wrong: the same string in Rust, Node and Python.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $doc] $variant,)* }

        impl Code {
            /// Every code there is, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as a string, for example `wrong_key`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// What a caller can do about it.
            #[must_use]
            pub fn kind(self) -> ErrorKind {
                match self { $(Code::$variant => ErrorKind::$kind,)* }
            }

            /// When it is used, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $doc.trim_ascii(),)* }
            }
        }
    };
}

codes! {
    /// A database or store URL cannot be understood.
    InvalidUrl = "invalid_url", Invalid;
    /// A name, a number or a combination of options is malformed.
    InvalidOption = "invalid_option", Invalid;
    /// A setting that the call needs was given neither as an argument nor in the environment.
    MissingSetting = "missing_setting", Invalid;
    /// The engine or store exists but was not compiled in.
    NotCompiledIn = "not_compiled_in", Invalid;
    /// The passphrase is too short or too easily guessed.
    WeakPassphrase = "weak_passphrase", Refused;
    /// The store holds encrypted backups and no key was given, or the other way round.
    KeyRequired = "key_required", Denied;
    /// The key given opens nothing here.
    WrongKey = "wrong_key", Denied;
    /// The manifest was not written by a host that holds the repository's key or by a trusted signer.
    Unauthenticated = "unauthenticated", Denied;
    /// The key slot does not exist, or is the last one and cannot be removed.
    KeySlot = "key_slot", Refused;
    /// No backup has that id.
    BackupNotFound = "backup_not_found", NotFound;
    /// An abbreviated id fits several backups.
    BackupAmbiguous = "backup_ambiguous", Invalid;
    /// A backup's volume, key file or side file is not in the store.
    ObjectMissing = "object_missing", Damaged;
    /// Stored bytes are truncated, altered, reordered or swapped.
    Damaged = "damaged", Damaged;
    /// The manifest or the store was written by a newer version of the format.
    NewerFormat = "newer_format", Refused;
    /// The place given as a store holds something else.
    NotAStore = "not_a_store", Refused;
    /// The store cannot be reached, or answered with a passing error.
    StoreUnavailable = "store_unavailable", Unavailable;
    /// The store refused the credentials or the operation.
    StoreDenied = "store_denied", Denied;
    /// The bucket, container or folder does not exist.
    StoreNotFound = "store_not_found", NotFound;
    /// The database cannot be reached, or the connection broke.
    DatabaseUnavailable = "database_unavailable", Unavailable;
    /// The database has no connection left for us.
    TooManyConnections = "too_many_connections", Unavailable;
    /// A standby had to cancel the dump to go on with its recovery.
    RecoveryConflict = "recovery_conflict", Unavailable;
    /// TLS is asked for and cannot be had: no TLS at the server, or a certificate that is not believed.
    TlsFailed = "tls_failed", Denied;
    /// A connection pooler lies between that gives each transaction another session.
    PoolerMode = "pooler_mode", Refused;
    /// Row-level security would hide rows from the backup.
    RowSecurity = "row_security", Denied;
    /// The database refused the credentials, or a privilege is missing.
    DatabaseDenied = "database_denied", Denied;
    /// The database, or something in it that was asked for, does not exist.
    DatabaseNotFound = "database_not_found", NotFound;
    /// The database answered a statement with an error.
    DatabaseError = "database_error", Refused;
    /// The source changed in a way that would make the backup inconsistent.
    DatabaseChanged = "database_changed", Unavailable;
    /// The source or the target is of another engine or of a version that cannot be served.
    UnsupportedDatabase = "unsupported_database", Refused;
    /// Something in the source cannot be backed up, and `strict` was asked for.
    UnsupportedObject = "unsupported_object", Refused;
    /// A script holds what is not run here: a command for psql, or what no dump holds.
    UnsupportedScript = "unsupported_script", Refused;
    /// The restore target already holds data.
    TargetNotEmpty = "target_not_empty", Refused;
    /// The live database is used in a way that would not survive if another took its place.
    TargetInUse = "target_in_use", Refused;
    /// A pattern that selects names nothing.
    NothingSelected = "nothing_selected", NotFound;
    /// What was selected cannot be without something that was not.
    IncompleteSelection = "incomplete_selection", Refused;
    /// A role that the backup refers to does not exist at the target.
    MissingRole = "missing_role", Refused;
    /// An extension that the backup needs cannot be created at the target.
    MissingExtension = "missing_extension", Refused;
    /// Restored data is not what was backed up.
    DrillMismatch = "drill_mismatch", Damaged;
    /// The disk is full, here or at the store.
    DiskFull = "disk_full", Unavailable;
    /// A local file cannot be read or written.
    LocalFile = "local_file", Refused;
    /// Another run holds the same backup id or slot.
    Busy = "busy", Busy;
    /// A health check found something that does not work.
    Unhealthy = "unhealthy", Unavailable;
    /// The operation was cancelled by its caller.
    Cancelled = "cancelled", Cancelled;
    /// A defect in this library.
    Internal = "internal", Internal;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an operation failed: a stable [`Code`], a message that names the thing, and the next step.
///
/// # Example
/// ```
/// use lastgood::{Code, Error, ErrorKind};
/// let e = Error::new(Code::BackupNotFound, "no backup `backup-20251121`").next("run `lastgood list`");
/// assert_eq!(e.kind(), ErrorKind::NotFound);
/// assert_eq!(e.to_string(), "no backup `backup-20251121`; run `lastgood list`");
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    message: String,
    next: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this code. Messages are lower-case and name the thing that failed.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { code, message: message.into(), next: None, source: None }))
    }

    /// Says what to do next; printed after the message.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.0.next = Some(step.into());
        self
    }

    /// Keeps the underlying error for `source()`.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts the place in front of the message: `context: message`.
    #[must_use]
    pub fn at(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.code.kind()
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Busy)
    }

    /// What went wrong, without the next step.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, where there is something to say.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.0.next.as_deref()
    }

    /// The same code, message and next step, without the source: for somebody else to read.
    pub(crate) fn told(&self) -> Self {
        Self(Box::new(Inner {
            code: self.0.code,
            message: self.0.message.clone(),
            next: self.0.next.clone(),
            source: None,
        }))
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(Code::Cancelled, "the operation was cancelled")
    }

    /// What a reader met: an error of this crate's own that it passed on, or bytes that make no sense.
    pub(crate) fn of_reader(e: std::io::Error, what: &str) -> Self {
        match e.downcast::<Self>() {
            Ok(own) => own,
            Err(e) => {
                let why = match e.kind() {
                    std::io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
                    _ => e.to_string(),
                };
                Self::new(Code::Damaged, format!("{what}: {why}")).next("use another copy of it").because(e)
            }
        }
    }

    /// An error on a local file or folder; a full disk gets its own code.
    pub(crate) fn local(path: &std::path::Path, e: std::io::Error) -> Self {
        let code = if e.kind() == std::io::ErrorKind::StorageFull { Code::DiskFull } else { Code::LocalFile };
        let next = match e.kind() {
            std::io::ErrorKind::StorageFull => "free space there or choose another folder",
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "check the permissions of the path",
            _ => "check the path and the disk",
        };
        Self::new(code, format!("{}: {e}", path.display())).next(next).because(e)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.next {
            Some(step) => write!(f, "; {step}"),
            None => Ok(()),
        }
    }
}

/// As an object: what the bindings turn into an exception of their language.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Error", 5)?;
        fields.serialize_field("code", self.code().as_str())?;
        fields.serialize_field("kind", &self.kind())?;
        fields.serialize_field("message", self.message())?;
        fields.serialize_field("next", &self.next_step())?;
        fields.serialize_field("retryable", &self.is_retryable())?;
        fields.end()
    }
}

/// From the object that [`Serialize`] gives, as another process of this library sent it.
impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            code: String,
            message: String,
            next: Option<String>,
        }
        let Fields { code, message, next } = Fields::deserialize(deserializer)?;
        let code = Code::ALL.iter().copied().find(|c| c.as_str() == code).unwrap_or(Code::Internal);
        let error = Self::new(code, message);
        Ok(match next {
            Some(step) => error.next(step),
            None => error,
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_snake_case() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} is used twice");
            assert!(code.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        }
    }
}
