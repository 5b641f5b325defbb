//! What the driver or the server answered, and what it means to a caller.

use mongodb::error::{Error as Driver, ErrorKind};

use crate::error::{Code, Error};

/// Of what a driver says of servers that cannot be reached, no more than this is repeated.
const LONGEST: usize = 400;

/// An error of the driver while something was done: `reading shop.orders`.
pub(super) fn failure(doing: impl std::fmt::Display, e: Driver) -> Error {
    let (code, said) = meaning(&e);
    Error::new(code, format!("{doing}: {said}")).next(next(code, &said)).because(e)
}

/// The server's code for an error, if the server gave it.
pub(super) fn server_code(e: &Driver) -> Option<i32> {
    match e.kind.as_ref() {
        ErrorKind::Command(e) => Some(e.code),
        ErrorKind::Write(mongodb::error::WriteFailure::WriteError(e)) => Some(e.code),
        ErrorKind::InsertMany(e) => e.write_errors.as_ref().and_then(|errors| errors.first()).map(|e| e.code),
        _ => None,
    }
}

/// Whether the server would not let this user do it.
pub(super) fn is_denied(e: &Driver) -> bool {
    matches!(server_code(e), Some(13 | 8000))
}

/// Whether a cursor was given up by the server, so that another one can go on where it was.
pub(super) fn is_lost_cursor(e: &Driver) -> bool {
    matches!(server_code(e), Some(43 | 237))
}

/// Whether the server does not keep the moment any more that a reader is to see.
pub(super) fn is_lost_snapshot(e: &Driver) -> bool {
    matches!(server_code(e), Some(239 | 246))
}

fn meaning(e: &Driver) -> (Code, String) {
    let said = match e.kind.as_ref() {
        ErrorKind::Command(e) => e.message.clone(),
        ErrorKind::InsertMany(e) => match e.write_errors.as_ref().and_then(|errors| errors.first()) {
            Some(first) => first.message.clone(),
            None => e.write_concern_error.as_ref().map_or_else(String::new, |e| e.message.clone()),
        },
        kind => kind.to_string(),
    };
    let code = match e.kind.as_ref() {
        ErrorKind::Authentication { .. } => Code::DatabaseDenied,
        ErrorKind::InvalidTlsConfig { .. } => Code::TlsFailed,
        ErrorKind::DnsResolve { .. }
        | ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. } => unreachable(&said),
        _ => match server_code(e) {
            Some(11 | 13 | 18 | 8000) => Code::DatabaseDenied,
            Some(26) => Code::DatabaseNotFound,
            // The snapshot is older than what the server keeps.
            Some(239 | 246) => Code::DatabaseChanged,
            // The server shuts down or is no primary any more.
            Some(89 | 91 | 189 | 10107 | 11600 | 11602 | 13435 | 13436) => Code::DatabaseUnavailable,
            _ => Code::DatabaseError,
        },
    };
    (code, shortened(said))
}

fn unreachable(said: &str) -> Code {
    let said = said.to_lowercase();
    if ["certificate", "tls", "handshake", "unknownissuer"].iter().any(|word| said.contains(word)) {
        return Code::TlsFailed;
    }
    if said.contains("authentication failed") || said.contains("scram failure") {
        return Code::DatabaseDenied;
    }
    Code::DatabaseUnavailable
}

fn shortened(said: String) -> String {
    match said.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &said[..at]),
        None => said,
    }
}

fn next(code: Code, said: &str) -> &'static str {
    match code {
        Code::DatabaseDenied if said.contains("not authorized") || said.contains("requires authentication") => {
            "give the user the role `backup` (to back up) or `restore` (to restore) on admin, or `read` or `readWrite` \
             and `dbAdmin` on the database"
        }
        Code::DatabaseDenied => "check user, password and authSource",
        Code::DatabaseUnavailable => "check host, port and the network; then try again",
        Code::TlsFailed => "check tls, tlsCAFile and tlsCertificateKeyFile in the URL",
        Code::DatabaseNotFound => "check the names",
        Code::DatabaseChanged => {
            "try again; if the backup takes longer than the server keeps its history, raise \
             minSnapshotHistoryWindowInSeconds there, or give the user the role `backup` on admin, so that the oplog of a \
             replica set can go along"
        }
        _ => "see the server's log",
    }
}

#[cfg(test)]
mod tests {
    use mongodb::error::Error as Driver;

    use super::*;

    #[test]
    fn what_cannot_be_reached_may_be_tried_again_and_a_certificate_may_not() {
        let refused = Driver::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let e = failure("connecting", refused);
        assert_eq!((e.code(), e.is_retryable()), (Code::DatabaseUnavailable, true));
        let tls = Driver::from(std::io::Error::other("invalid peer certificate: UnknownIssuer"));
        assert_eq!(failure("connecting", tls).code(), Code::TlsFailed);
    }
}
