//! From the server's errors to this crate's.

use std::fmt::Display;

use sqlx::postgres::PgDatabaseError;

use crate::error::{Code, Error};

/// An error of the driver, told as what was being done and what the server said.
///
/// The driver's error itself is not kept: its details may hold rows.
pub(super) fn failure(doing: impl Display, e: sqlx::Error) -> Error {
    match &e {
        sqlx::Error::Database(db) => {
            let state = db.code().unwrap_or_default();
            let place = db.try_downcast_ref::<PgDatabaseError>().and_then(place).unwrap_or_default();
            let (code, next) = classify(&state, db.message());
            Error::new(code, format!("{doing}: {}{place} (SQLSTATE {state})", db.message())).next(next)
        }
        sqlx::Error::Configuration(e) => {
            Error::new(Code::InvalidUrl, format!("{doing}: {e}")).next("correct the parameters of the database URL")
        }
        sqlx::Error::Tls(e) => untrusted(&doing, &e.to_string()),
        sqlx::Error::Io(e) if is_tls(&e.to_string()) => untrusted(&doing, &e.to_string()),
        sqlx::Error::Io(e) => Error::new(Code::DatabaseUnavailable, format!("{doing}: {e}")).next(unreachable(e)),
        sqlx::Error::Protocol(e) if e.contains("authentication method") || e.contains("SASL") => {
            Error::new(Code::DatabaseDenied, format!("{doing}: {e}"))
                .next("let pg_hba.conf ask this role for scram-sha-256, md5 or a client certificate")
        }
        sqlx::Error::PoolTimedOut => Error::new(Code::DatabaseUnavailable, format!("{doing}: no connection in time"))
            .next("check that the server or the pooler has room for more connections"),
        other => Error::new(Code::DatabaseUnavailable, format!("{doing}: the connection broke: {other}"))
            .next("check the connection to the server and the server's log, then try again"),
    }
}

/// The server's code for an error, if it is the server's.
pub(super) fn state(e: &sqlx::Error) -> Option<String> {
    e.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned())
}

/// Which line and column of a COPY an error is about, without the value.
fn place(e: &PgDatabaseError) -> Option<String> {
    let place = e.r#where()?.lines().next().filter(|line| line.starts_with("COPY "))?;
    // `COPY orders, line 3, column total: "abc"`: what follows the colon is data, and a quoted name may hold one too.
    let end = place.find(": \"").unwrap_or(place.len());
    Some(format!(" ({})", &place[..end]))
}

/// Whether an error of the socket is one of TLS: the words are those of rustls.
fn is_tls(text: &str) -> bool {
    ["certificate", "fatal alert", "HandshakeFailure", "TLS", "corrupt message", "peer is incompatible"]
        .iter()
        .any(|word| text.contains(word))
}

/// A connection that cannot be had protected as asked.
fn untrusted(doing: &impl Display, text: &str) -> Error {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let next = if has(&["does not support TLS"]) {
        "turn `ssl` on at the server; only in a trusted network give sslmode=disable"
    } else if has(&["fatal alert"]) {
        "the server refuses our side: give the client certificate and key it asks for (sslcert, sslkey)"
    } else if has(&["not valid for name", "NotValidForName"]) {
        "connect by a name that is in the server's certificate, or let it be issued for this one"
    } else if has(&["expired", "Expired"]) {
        "renew the server's certificate"
    } else if has(&["NotValidYet", "not valid yet"]) {
        "check the clocks of both hosts"
    } else if has(&["UnknownIssuer", "CaUsedAsEndEntity", "BadSignature"]) {
        "give the certificate of the CA that issued the server's (sslrootcert=FILE)"
    } else {
        "check sslmode, sslrootcert, sslcert and sslkey in the database URL, and the server's certificate"
    };
    Error::new(Code::TlsFailed, format!("{doing}: TLS: {text}")).next(next)
}

fn unreachable(e: &std::io::Error) -> &'static str {
    match e.kind() {
        std::io::ErrorKind::ConnectionRefused => "check host and port, and that the server listens there",
        std::io::ErrorKind::NotFound => "check the socket's folder and port, and that the server runs",
        _ => "check that the server runs and can be reached, then try again",
    }
}

fn classify(state: &str, message: &str) -> (Code, &'static str) {
    // The server ends sessions that stand in the way of its recovery under several codes.
    if message.contains("conflict with recovery") {
        return (Code::RecoveryConflict, RECOVERY);
    }
    match state {
        "28P01" => (
            Code::DatabaseDenied,
            "check the role and its password: in the database URL, PGPASSWORD or the password file (.pgpass)",
        ),
        "28000" => (
            Code::DatabaseDenied,
            "check that the role exists and may log in, and that pg_hba.conf lets it in from this host, with or without TLS",
        ),
        "42501" => (Code::DatabaseDenied, "grant the role what it lacks, or connect as the owner or a superuser"),
        "3D000" => (Code::DatabaseNotFound, "check the database's name"),
        "53100" => (Code::DiskFull, "free space on the server's disk"),
        "53200" if message.contains("shared memory") => {
            (Code::DatabaseUnavailable, "raise max_locks_per_transaction on the server")
        }
        "53200" => (Code::DatabaseUnavailable, "the server is out of memory: use fewer jobs, or give it more"),
        "53300" => (Code::TooManyConnections, TOO_MANY),
        // PgBouncer's own refusals come under this one.
        "08P01" if message.contains("no more connections allowed") || message.contains("query_wait_timeout") => {
            (Code::TooManyConnections, "use fewer jobs, or raise the pooler's default_pool_size and max_client_conn")
        }
        "08P01" if message.contains("unsupported startup parameter") => (
            Code::DatabaseDenied,
            "leave `options` (and PGOPTIONS) out of the connection, or let the pooler ignore it (ignore_startup_parameters)",
        ),
        "08P01" if message.contains("database") && message.contains("does not exist") => {
            (Code::DatabaseNotFound, "check the database's name, and that the pooler knows it")
        }
        "40001" => (Code::RecoveryConflict, RECOVERY),
        "40P01" => (Code::DatabaseUnavailable, "the server broke a deadlock: try again when no migration is running"),
        "55P03" => (Code::DatabaseUnavailable, "another session holds a lock on it: try again when it has ended"),
        "57014" => (
            Code::DatabaseUnavailable,
            "somebody cancelled the statement (pg_cancel_backend, a watchdog, a standby's recovery): see the server's log, then try again",
        ),
        // A backend that was terminated, a server that shuts down or crashed.
        "57P01" | "57P02" => {
            (Code::DatabaseUnavailable, "the server shut down or ended the session: see its log, then try again")
        }
        "57P03" => (Code::DatabaseUnavailable, "the server is starting up or recovering: try again in a minute"),
        "57P04" => (Code::DatabaseNotFound, "somebody dropped the database"),
        "57P05" | "25P03" | "25P04" => (
            Code::DatabaseUnavailable,
            "a time-out of the server or of a pooler ended the session: raise it for this role",
        ),
        "XX001" | "XX002" => (
            Code::Damaged,
            "the database itself is damaged: copy its files before anything else, then check it with amcheck and its disk; an index is repaired by REINDEX",
        ),
        "55006" => (Code::Busy, "close the other sessions of the database, then try again"),
        _ if ["08", "53", "58"].iter().any(|class| state.starts_with(class)) => {
            (Code::DatabaseUnavailable, "check the server's log, then try again")
        }
        _ => (Code::DatabaseError, "see the server's message; the server's log tells the details"),
    }
}

const RECOVERY: &str = "the standby had to go on with its recovery: set hot_standby_feedback = on there, or raise \
    max_standby_streaming_delay, or back up the primary";

const TOO_MANY: &str = "use fewer jobs, or raise max_connections or the role's or database's CONNECTION LIMIT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_that_people_meet_has_a_code_and_a_next_step() {
        let table = [
            ("28P01", "password authentication failed", Code::DatabaseDenied, "PGPASSWORD"),
            ("28000", "no pg_hba.conf entry for host", Code::DatabaseDenied, "pg_hba.conf"),
            ("28000", "role \"x\" is not permitted to log in", Code::DatabaseDenied, "may log in"),
            ("42501", "permission denied for table t", Code::DatabaseDenied, "grant"),
            ("3D000", "database \"x\" does not exist", Code::DatabaseNotFound, "name"),
            ("53100", "could not extend file", Code::DiskFull, "free space"),
            ("53200", "out of shared memory", Code::DatabaseUnavailable, "max_locks_per_transaction"),
            ("53200", "out of memory", Code::DatabaseUnavailable, "memory"),
            ("53300", "sorry, too many clients already", Code::TooManyConnections, "max_connections"),
            ("53300", "too many connections for role", Code::TooManyConnections, "CONNECTION LIMIT"),
            ("08P01", "no more connections allowed (max_client_conn)", Code::TooManyConnections, "max_client_conn"),
            ("08P01", "query_wait_timeout", Code::TooManyConnections, "default_pool_size"),
            ("08P01", "unsupported startup parameter: options", Code::DatabaseDenied, "ignore_startup_parameters"),
            ("08P01", "database \"x\" does not exist", Code::DatabaseNotFound, "pooler"),
            ("08006", "connection failure", Code::DatabaseUnavailable, "log"),
            ("40001", "canceling statement due to conflict with recovery", Code::RecoveryConflict, "feedback"),
            ("57014", "canceling statement due to conflict with recovery", Code::RecoveryConflict, "feedback"),
            ("57P01", "terminating connection due to conflict with recovery", Code::RecoveryConflict, "feedback"),
            ("40P01", "deadlock detected", Code::DatabaseUnavailable, "deadlock"),
            ("55P03", "could not obtain lock", Code::DatabaseUnavailable, "lock"),
            ("57014", "canceling statement due to user request", Code::DatabaseUnavailable, "cancelled"),
            ("57P01", "terminating connection due to administrator command", Code::DatabaseUnavailable, "shut down"),
            ("57P02", "terminating connection because of crash", Code::DatabaseUnavailable, "log"),
            ("57P03", "the database system is starting up", Code::DatabaseUnavailable, "starting up"),
            ("57P04", "terminating connection", Code::DatabaseNotFound, "dropped"),
            ("57P05", "terminating connection due to idle-session timeout", Code::DatabaseUnavailable, "time-out"),
            ("25P03", "idle-in-transaction timeout", Code::DatabaseUnavailable, "time-out"),
            ("25P04", "transaction timeout", Code::DatabaseUnavailable, "time-out"),
            ("XX001", "invalid page in block 3 of relation base/5/16400", Code::Damaged, "amcheck"),
            ("XX002", "index \"i\" contains unexpected zero page", Code::Damaged, "REINDEX"),
            ("55006", "database is being accessed", Code::Busy, "sessions"),
            ("58030", "could not read block", Code::DatabaseUnavailable, "log"),
            ("22P02", "invalid input syntax", Code::DatabaseError, "message"),
        ];
        for (state, message, code, step) in table {
            let (got, next) = classify(state, message);
            assert_eq!(got, code, "{state} {message}");
            assert!(next.contains(step), "{state} {message}: {next}");
        }
    }

    #[test]
    fn what_is_wrong_with_tls_is_told_apart() {
        let told = |text: &str| {
            let e = failure("connecting", sqlx::Error::Io(std::io::Error::other(text.to_owned())));
            (e.code(), e.next_step().unwrap_or_default().to_owned())
        };
        for (text, step) in [
            ("invalid peer certificate: UnknownIssuer", "sslrootcert"),
            (
                "invalid peer certificate: certificate not valid for name \"db\"; certificate is only valid for x",
                "name",
            ),
            ("invalid peer certificate: certificate expired: verification time 1 (UNIX)", "renew"),
            ("received fatal alert: CertificateRequired", "sslcert"),
        ] {
            let (code, next) = told(text);
            assert_eq!(code, Code::TlsFailed, "{text}");
            assert!(next.contains(step), "{text}: {next}");
        }
        assert_eq!(told("Connection reset by peer").0, Code::DatabaseUnavailable);
        let none = failure("connecting", sqlx::Error::Tls("server does not support TLS".into()));
        assert_eq!(none.code(), Code::TlsFailed);
        assert!(none.next_step().is_some_and(|next| next.contains("`ssl`")));
    }
}
