//! From the server's errors to this crate's.

use std::borrow::Cow;
use std::fmt::Display;

use mysql_async::{DriverError, Error as MyError, IoError, ServerError};

use crate::error::{Code, Error};

/// An error of the driver, told as what was being done and what the server said.
///
/// The driver's error itself is not kept: its text may hold rows.
pub(super) fn failure(doing: impl Display, e: MyError) -> Error {
    match e {
        MyError::Server(ServerError { code, message, state }) => {
            let (kind, next) = classify(code);
            Error::new(kind, format!("{doing}: {} (error {code}, SQLSTATE {state})", without_values(code, &message)))
                .next(next)
        }
        MyError::Driver(DriverError::NoClientSslFlagFromServer) => untrusted(&doing, "the server does not support TLS"),
        MyError::Driver(e @ (DriverError::UnknownAuthPlugin { .. } | DriverError::CleartextPluginDisabled)) => {
            Error::new(Code::DatabaseDenied, format!("{doing}: {e}")).next(
                "let the account authenticate by a password (caching_sha2_password, ed25519, mysql_native_password)",
            )
        }
        MyError::Driver(e @ DriverError::MysqlOldPasswordDisabled) => {
            Error::new(Code::DatabaseDenied, format!("{doing}: {e}"))
                .next("give the account a password of a current kind")
        }
        MyError::Io(IoError::Tls(e)) => untrusted(&doing, &e.to_string()),
        // A connection that breaks ends without TLS being taken leave of.
        MyError::Io(IoError::Io(e)) if e.to_string().contains("close_notify") => {
            broken(&doing, "the server closed the connection")
        }
        MyError::Io(IoError::Io(e)) if is_tls(&e.to_string()) => untrusted(&doing, &e.to_string()),
        MyError::Io(IoError::Io(e)) => {
            Error::new(Code::DatabaseUnavailable, format!("{doing}: {e}")).next(unreachable(&e))
        }
        // What the other kinds show may hold values.
        MyError::Driver(DriverError::ConnectionClosed) => broken(&doing, "the server closed the connection"),
        MyError::Driver(DriverError::PacketTooLarge) => {
            Error::new(Code::DatabaseError, format!("{doing}: a row is larger than the server takes or sends"))
                .next("raise max_allowed_packet on the server")
        }
        MyError::Driver(_) | MyError::Other(_) | MyError::Url(_) => {
            broken(&doing, "the server's answer was not understood")
        }
    }
}

/// The server's number for an error, if it is the server's.
pub(super) fn number(e: &MyError) -> Option<u16> {
    match e {
        MyError::Server(e) => Some(e.code),
        _ => None,
    }
}

/// Whether a table, view or routine was dropped or changed after it was listed.
pub(super) fn is_gone(e: &MyError) -> bool {
    // no such table, table definition has changed, no such routine, trigger or event, unknown table or view, unknown column
    matches!(number(e), Some(1146 | 1412 | 1305 | 1360 | 1539 | 1051 | 1054 | 1049 | 4091))
}

/// Whether the account lacks a privilege.
pub(super) fn is_denied(e: &MyError) -> bool {
    matches!(number(e), Some(1044 | 1045 | 1142 | 1143 | 1227 | 1370))
}

fn broken(doing: &impl Display, what: &str) -> Error {
    Error::new(Code::DatabaseUnavailable, format!("{doing}: {what}"))
        .next("check the connection to the server and the server's log, then try again")
}

/// Messages about rows quote a value of theirs, which is nobody's business.
fn without_values(code: u16, message: &str) -> Cow<'_, str> {
    // duplicate entry, out of range, incorrect value, truncated wrong value, data too long, foreign key …
    if !matches!(code, 1062 | 1264 | 1292 | 1366 | 1411 | 1525 | 1586 | 3140 | 3141 | 4025) {
        return Cow::Borrowed(message);
    }
    match (message.find('\''), message.rfind("' for ")) {
        (Some(start), Some(end)) if start < end => Cow::Owned(format!("{}…{}", &message[..=start], &message[end..])),
        (Some(start), None) if code != 4025 => Cow::Owned(message[..start].trim_end_matches([' ', ':']).to_owned()),
        _ => Cow::Borrowed(message),
    }
}

/// Whether an error of the socket is one of TLS: the words are those of rustls.
fn is_tls(text: &str) -> bool {
    ["certificate", "fatal alert", "HandshakeFailure", "TLS", "corrupt message", "peer is incompatible"]
        .iter()
        .any(|word| text.contains(word))
}

/// Whether the server's certificate is good, and for another name.
pub(super) fn is_of_another_name(e: &MyError) -> bool {
    matches!(e, MyError::Io(IoError::Tls(_) | IoError::Io(_))) && ANOTHER_NAME.iter().any(|w| e.to_string().contains(w))
}

/// The words of rustls.
const ANOTHER_NAME: [&str; 2] = ["not valid for name", "NotValidForName"];

/// A connection that cannot be had protected as asked.
fn untrusted(doing: &impl Display, text: &str) -> Error {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let next = if has(&["does not support TLS"]) {
        "give the server a certificate (ssl_cert, ssl_key); only in a trusted network give ssl-mode=disabled"
    } else if has(&["fatal alert"]) {
        "the server refuses our side: give the client certificate and key it asks for (ssl-cert, ssl-key)"
    } else if has(&ANOTHER_NAME) {
        "connect by a name that is in the server's certificate, or let it be issued for this one"
    } else if has(&["expired", "Expired"]) {
        "renew the server's certificate"
    } else if has(&["UnknownIssuer", "CaUsedAsEndEntity", "BadSignature"]) {
        "give the certificate of the authority that issued the server's (ssl-ca=FILE)"
    } else {
        "check ssl-mode, ssl-ca, ssl-cert and ssl-key in the database URL, and the server's certificate"
    };
    Error::new(Code::TlsFailed, format!("{doing}: TLS: {text}")).next(next)
}

fn unreachable(e: &std::io::Error) -> &'static str {
    match e.kind() {
        std::io::ErrorKind::ConnectionRefused => "check host and port, and that the server listens there",
        std::io::ErrorKind::NotFound => "check the socket's path, and that the server runs",
        _ => "check that the server runs and can be reached, then try again",
    }
}

fn classify(code: u16) -> (Code, &'static str) {
    match code {
        1045 | 1698 => {
            (Code::DatabaseDenied, "check the account and its password, and from which hosts it may connect")
        }
        3118 | 4151 => (Code::DatabaseDenied, "the account is locked: ALTER USER … ACCOUNT UNLOCK"),
        1130 => (Code::DatabaseDenied, "let the account connect from this host"),
        1129 => (Code::DatabaseDenied, "the server blocked this host after many errors: FLUSH HOSTS, then try again"),
        1862 | 1820 => (Code::DatabaseDenied, "the account's password has expired: give it a new one"),
        1251 | 1275 | 2059 => (Code::DatabaseDenied, "let the account authenticate by a current kind of password"),
        1044 | 1142 | 1143 | 1227 | 1370 | 1419 | 1841 => (Code::DatabaseDenied, "grant the account what it lacks"),
        1290 | 1836 | 1792 => (Code::DatabaseDenied, "the server is read-only: restore on the primary"),
        3159 => (Code::TlsFailed, "the server takes connections with TLS only: give ssl-mode=required or better"),
        1049 => (Code::DatabaseNotFound, "check the database's name"),
        1040 | 1203 | 1226 => {
            (Code::TooManyConnections, "use fewer jobs, or raise max_connections or the account's MAX_USER_CONNECTIONS")
        }
        1021 | 1114 | 3 | 28 => (Code::DiskFull, "free space on the server's disk"),
        1205 => (Code::DatabaseUnavailable, "another session holds a lock on it: try again when it has ended"),
        1213 => (Code::DatabaseUnavailable, "the server broke a deadlock: try again when no migration is running"),
        1317 | 1927 => {
            (Code::DatabaseUnavailable, "somebody ended the statement (KILL): see the server's log, then try again")
        }
        1053 | 1077 | 1079 | 1080 | 1152 | 1158..=1161 => {
            (Code::DatabaseUnavailable, "the server shut down or ended the session: see its log, then try again")
        }
        1969 | 3024 => {
            (Code::DatabaseUnavailable, "a time-out of the server ended the statement: raise it for this account")
        }
        1037 | 1038 | 1041 | 5 => {
            (Code::DatabaseUnavailable, "the server is out of memory: use fewer jobs, or give it more")
        }
        1146 | 1412 | 1051 => {
            (Code::DatabaseError, "somebody dropped or changed it: try again when no migration is running")
        }
        126 | 127 | 144 | 145 | 1034 | 1035 | 1194 | 1195 | 1712 | 1877 => (
            Code::Damaged,
            "the database itself is damaged: copy its files before anything else, then CHECK TABLE and its disk",
        ),
        1153 | 1301 => (Code::DatabaseError, "raise max_allowed_packet on the server"),
        _ => (Code::DatabaseError, "see the server's message; the server's log may tell more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, message: &str) -> (Code, String) {
        let e = MyError::Server(ServerError { code, message: message.to_owned(), state: "HY000".to_owned() });
        let e = failure("testing", e);
        (e.code(), e.to_string())
    }

    #[test]
    fn every_number_that_people_meet_has_a_code_and_a_next_step() {
        for (number, code, step) in [
            (1045, Code::DatabaseDenied, "password"),
            (1044, Code::DatabaseDenied, "grant"),
            (1227, Code::DatabaseDenied, "grant"),
            (1049, Code::DatabaseNotFound, "name"),
            (1040, Code::TooManyConnections, "max_connections"),
            (1021, Code::DiskFull, "free space"),
            (1205, Code::DatabaseUnavailable, "lock"),
            (1290, Code::DatabaseDenied, "read-only"),
            (3159, Code::TlsFailed, "ssl-mode"),
            (1194, Code::Damaged, "CHECK TABLE"),
            (1064, Code::DatabaseError, "message"),
        ] {
            let (got, text) = told(number, "what the server said");
            assert_eq!(got, code, "{number}");
            assert!(text.contains(step), "{number}: {text}");
        }
    }

    #[test]
    fn values_of_rows_are_not_repeated() {
        for (code, message, shown) in [
            (1062, "Duplicate entry 's3cret' for key 'PRIMARY'", "Duplicate entry '…' for key 'PRIMARY'"),
            (1366, "Incorrect string value: 's3cret' for column `d`.`t`.`c` at row 1", "'…' for column `d`.`t`.`c`"),
            (1292, "Truncated incorrect DOUBLE value: 's3cret'", "Truncated incorrect DOUBLE value"),
        ] {
            let (_, text) = told(code, message);
            assert!(!text.contains("s3cret") && text.contains(shown), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_tls_is_told_apart() {
        let e = failure("connecting", MyError::Driver(DriverError::NoClientSslFlagFromServer));
        assert_eq!(e.code(), Code::TlsFailed);
        let io = |text: &str| failure("connecting", MyError::from(std::io::Error::other(text.to_owned())));
        let e = io("invalid peer certificate: UnknownIssuer");
        assert_eq!(e.code(), Code::TlsFailed);
        assert!(e.next_step().is_some_and(|next| next.contains("ssl-ca")));
        assert_eq!(io("Connection reset by peer").code(), Code::DatabaseUnavailable);
        let cut = io("peer closed connection without sending TLS close_notify: https://example.org/unexpected-eof");
        assert_eq!(cut.code(), Code::DatabaseUnavailable);
    }
}
