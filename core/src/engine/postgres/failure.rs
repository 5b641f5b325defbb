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
        sqlx::Error::Tls(e) => Error::new(Code::DatabaseUnavailable, format!("{doing}: TLS: {e}"))
            .next("check sslmode and sslrootcert in the database URL, and the server's certificate"),
        sqlx::Error::Io(e) => Error::new(Code::DatabaseUnavailable, format!("{doing}: {e}"))
            .next("check that the server runs and can be reached, then try again"),
        other => Error::new(Code::DatabaseUnavailable, format!("{doing}: the connection broke: {other}"))
            .next("check the connection to the server, then try again"),
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

fn classify(state: &str, message: &str) -> (Code, &'static str) {
    match state {
        "28P01" | "28000" => {
            (Code::DatabaseDenied, "check the user and the password in the database URL, and pg_hba.conf")
        }
        "42501" => (Code::DatabaseDenied, "grant the role what it lacks, or connect as the owner or a superuser"),
        "3D000" => (Code::DatabaseNotFound, "check the database's name"),
        "53100" => (Code::DiskFull, "free space on the server's disk"),
        "53200" if message.contains("shared memory") => {
            (Code::DatabaseUnavailable, "raise max_locks_per_transaction on the server")
        }
        "53300" => (Code::DatabaseUnavailable, "use fewer jobs, or raise max_connections or the role's limit"),
        "40001" => (
            Code::DatabaseUnavailable,
            "on a standby raise max_standby_streaming_delay or set hot_standby_feedback; then try again",
        ),
        // A backend that was terminated, a server that shuts down, starts or crashed.
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => {
            (Code::DatabaseUnavailable, "check the server's log, then try again")
        }
        "55006" => (Code::Busy, "close the other sessions of the database, then try again"),
        _ if state.starts_with("08") || state.starts_with("53") || state.starts_with("58") => {
            (Code::DatabaseUnavailable, "check the server's log, then try again")
        }
        _ => (Code::DatabaseError, "see the server's message; the server's log tells the details"),
    }
}
