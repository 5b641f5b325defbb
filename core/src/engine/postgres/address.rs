//! Understands a database URL, and the environment variables that belong to it, as libpq does.
//!
//! What libpq would honour and the driver cannot is refused by name, or replaced by something stricter: nothing that
//! protects a connection is silently left out (docs/decisions/0009).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::error::{Code, Error, Result};

/// The name under which the server lists this crate's sessions.
pub(super) const APPLICATION: &str = "lastgood";

/// How long a connection attempt may take unless the URL says otherwise (`connect_timeout`, in seconds).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Query parameters that the driver understands.
const UNDERSTOOD: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "options",
];

/// Query parameters of libpq, poolers and object mappers that change nothing here.
const IGNORED: &[&str] = &[
    "application_name",
    "connection_limit",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "sslcompression",
    "sslsni",
    "statement_cache_size",
    "target_session_attrs",
    "tcp_user_timeout",
    "uselibpqcompat",
];

/// Query parameters of libpq that are as good as absent with these values, and cannot be honoured with any other.
const ONLY: &[(&str, &[&str])] = &[
    ("gssencmode", &["disable", "prefer"]),
    ("sslnegotiation", &["postgres"]),
    // The driver's TLS begins at 1.2.
    ("ssl_min_protocol_version", &["", "TLSv1", "TLSv1.1", "TLSv1.2"]),
];

/// Where a database is and how to get there.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) options: PgConnectOptions,
    pub(super) database: String,
    pub(super) timeout: Duration,
    /// Certificates and keys in files, which the driver reads without naming them when it cannot.
    pub(super) files: Vec<PathBuf>,
}

impl Address {
    /// Understands a `postgres://` or `postgresql://` URL; `variable` looks into the environment.
    ///
    /// # Errors
    /// `InvalidUrl`, which repeats nothing of the URL but the names of parameters and harmless values.
    pub(super) fn parse(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut url = parse(url)?;
        let mut timeout = variable("PGCONNECT_TIMEOUT").map_or(Ok(CONNECT_TIMEOUT), |text| seconds(&text))?;
        let mut binding = variable("PGCHANNELBINDING");
        let mut tls = Tls::default();
        let mut abstract_socket = None;
        let mut kept = Vec::new();
        for (name, value) in url.query_pairs() {
            match &*name {
                "connect_timeout" => timeout = seconds(&value)?,
                "channel_binding" => binding = Some(value.into_owned()),
                "sslrootcert" | "ssl-root-cert" => tls.root = Some(value.into_owned()),
                "host" if value.starts_with('@') => abstract_socket = Some(value[1..].to_owned()),
                known if UNDERSTOOD.contains(&known) || known.starts_with("options[") => {
                    match known {
                        "sslcert" | "ssl-cert" => tls.certificate = Some(value.clone().into_owned()),
                        "sslkey" | "ssl-key" => tls.key = Some(value.clone().into_owned()),
                        "sslmode" | "ssl-mode" => tls.mode_given = true,
                        _ => {}
                    }
                    kept.push((name.into_owned(), value.into_owned()));
                }
                ignored if IGNORED.contains(&ignored) => {}
                other => check_limited(other, &value)?,
            }
        }
        url.query_pairs_mut().clear().extend_pairs(kept);
        let mut options = PgConnectOptions::from_url(&url).map_err(|e| invalid(&e))?;
        if let Some(name) = abstract_socket {
            options = options.socket(format!("\0{name}"));
        }
        tls.root = tls.root.or_else(|| variable("PGSSLROOTCERT"));
        tls.certificate = tls.certificate.or_else(|| variable("PGSSLCERT"));
        tls.key = tls.key.or_else(|| variable("PGSSLKEY"));
        tls.mode_given |= variable("PGSSLMODE").is_some();
        let is_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
        let mode = if is_socket {
            // As in libpq: nothing on the way could listen.
            PgSslMode::Disable
        } else {
            tls.mode(options.get_ssl_mode(), binding.as_deref())?
        };
        options = options.ssl_mode(mode);
        if let Some(root) = tls.root.as_ref().filter(|root| *root != "system") {
            options = options.ssl_root_cert(root);
        }
        // Poolers refuse start-up parameters they do not know; the session's settings have this one later.
        options = options.extra_float_digits(None).application_name(APPLICATION).disable_statement_logging();
        let database = options.get_database().map_or_else(|| options.get_username().to_owned(), str::to_owned);
        let files = if matches!(mode, PgSslMode::Disable) { Vec::new() } else { tls.files() };
        Ok(Self { options: options.database(&database), database, timeout, files })
    }
}

impl Address {
    /// Whether the connection stays on this host.
    pub(super) fn is_local(&self) -> bool {
        let host = self.options.get_host().trim_matches(['[', ']']);
        self.options.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// What was asked for concerning TLS.
#[derive(Default)]
struct Tls {
    mode_given: bool,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Tls {
    /// The driver's mode that keeps what was asked for.
    fn mode(&self, asked: PgSslMode, binding: Option<&str>) -> Result<PgSslMode> {
        let refused = |message: &str, next: &str| Err(Error::new(Code::InvalidUrl, message).next(next));
        let system = self.root.as_deref() == Some("system");
        let bound = match binding {
            None | Some("" | "disable" | "prefer") => false,
            Some("require") => true,
            Some(_) => {
                return refused("channel_binding in the database URL is unknown", "give disable, prefer or require");
            }
        };
        match asked {
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require | PgSslMode::VerifyCa
                if system && self.mode_given && !bound =>
            {
                refused("sslrootcert=system goes with sslmode=verify-full only", "give sslmode=verify-full")
            }
            PgSslMode::Disable if bound => {
                refused("channel_binding=require does not go with sslmode=disable", "leave one of them out")
            }
            // The driver cannot bind; a verified certificate keeps a man in the middle out as well.
            _ if bound || system => Ok(PgSslMode::VerifyFull),
            // The driver would never try TLS.
            PgSslMode::Allow => Ok(PgSslMode::Prefer),
            // As in libpq: whoever names a CA wants it to count.
            PgSslMode::Require if self.root.is_some() => Ok(PgSslMode::VerifyCa),
            asked => Ok(asked),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let given = [&self.root, &self.certificate, &self.key].into_iter().flatten();
        // Certificates may also be given inline.
        given.filter(|v| *v != "system" && !v.trim_start().starts_with("-----BEGIN")).map(PathBuf::from).collect()
    }
}

/// Refuses a parameter that is unknown or cannot be honoured.
fn check_limited(name: &str, value: &str) -> Result<()> {
    match ONLY.iter().find(|(limited, _)| *limited == name) {
        Some((_, values)) if values.contains(&value) => Ok(()),
        Some((_, values)) => {
            Err(Error::new(Code::InvalidUrl, format!("{name} in the database URL asks for what cannot be done"))
                .next(format!("leave it out, or give {}", values.last().unwrap_or(&""))))
        }
        None => Err(Error::new(Code::InvalidUrl, format!("unknown parameter `{name}` in the database URL"))
            .next("leave it out, or correct its name (sslmode, sslrootcert, host, connect_timeout …)")),
    }
}

fn parse(text: &str) -> Result<Url> {
    let url = match Url::parse(text) {
        // libpq allows `user@/database?host=/folder`; the host here is replaced by the parameter.
        Err(url::ParseError::EmptyHost) => Url::parse(&text.replacen("@/", "@localhost/", 1)),
        other => other,
    };
    let url = url.map_err(|e| invalid(&e))?;
    if url.host_str().is_some_and(|host| host.contains(',')) {
        return Err(Error::new(Code::InvalidUrl, "the database URL names several hosts")
            .next("name the one server that is to be backed up"));
    }
    match url.scheme() {
        "postgres" | "postgresql" => Ok(url),
        _ => Err(Error::new(Code::InvalidUrl, "the database URL is not one of PostgreSQL")
            .next("write postgres://user@host:5432/database")),
    }
}

fn invalid(e: &dyn fmt::Display) -> Error {
    Error::new(Code::InvalidUrl, format!("the database URL cannot be understood: {e}"))
        .next("write postgres://user:password@host:5432/database; percent-encode special characters in the password")
}

fn seconds(text: &str) -> Result<Duration> {
    match text.parse() {
        // As in libpq, 0 means to wait as long as it takes.
        Ok(0) => Ok(Duration::from_secs(86_400)),
        Ok(n) => Ok(Duration::from_secs(n)),
        Err(_) => Err(Error::new(Code::InvalidUrl, "connect_timeout is no number").next("give seconds")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn mode(url: &str) -> PgSslMode {
        Address::parse(url, |_| None).unwrap().options.get_ssl_mode()
    }

    #[test]
    fn nothing_that_protects_a_connection_is_left_out() {
        for (query, expected) in [
            ("", PgSslMode::Prefer),
            ("?sslmode=allow", PgSslMode::Prefer),
            ("?sslmode=disable", PgSslMode::Disable),
            ("?sslmode=require", PgSslMode::Require),
            ("?sslmode=require&sslrootcert=/ca.pem", PgSslMode::VerifyCa),
            ("?sslmode=verify-full&sslrootcert=/ca.pem", PgSslMode::VerifyFull),
            ("?sslrootcert=system", PgSslMode::VerifyFull),
            ("?sslmode=require&channel_binding=require", PgSslMode::VerifyFull),
            ("?channel_binding=require", PgSslMode::VerifyFull),
            ("?channel_binding=prefer&sslmode=require", PgSslMode::Require),
            ("?host=/run/postgresql&sslmode=require", PgSslMode::Disable),
            ("?gssencmode=prefer&ssl_min_protocol_version=TLSv1.2", PgSslMode::Prefer),
        ] {
            let shown = (mode(&format!("postgres://u@h/x{query}")), expected);
            assert_eq!(format!("{:?}", shown.0), format!("{:?}", shown.1), "{query}");
        }
        for query in [
            "channel_binding=require&sslmode=disable",
            "channel_binding=maybe",
            "sslrootcert=system&sslmode=require",
            "gssencmode=require",
            "sslnegotiation=direct",
            "ssl_min_protocol_version=TLSv1.3",
            "sslcrl=/crl.pem",
            "require_auth=scram-sha-256",
        ] {
            let e = Address::parse(&format!("postgres://u@h/x?{query}"), |_| None).err().unwrap();
            assert_eq!(e.code(), Code::InvalidUrl, "{query}");
            assert!(e.next_step().is_some(), "{query}");
        }
    }

    #[test]
    fn the_environment_counts_as_for_libpq() {
        let environment = |name: &str| match name {
            "PGSSLROOTCERT" => Some("/ca.pem".to_owned()),
            "PGCONNECT_TIMEOUT" => Some("7".to_owned()),
            _ => None,
        };
        let address = Address::parse("postgres://u@h/x?sslmode=require", environment).unwrap();
        assert!(matches!(address.options.get_ssl_mode(), PgSslMode::VerifyCa));
        assert_eq!((address.timeout, address.files), (Duration::from_secs(7), vec![PathBuf::from("/ca.pem")]));
        let bound = |name: &str| (name == "PGCHANNELBINDING").then(|| "require".to_owned());
        let address = Address::parse("postgres://u@h/x", bound).unwrap();
        assert!(matches!(address.options.get_ssl_mode(), PgSslMode::VerifyFull));
    }

    #[test]
    fn several_hosts_are_refused() {
        let e = Address::parse("postgres://u@a,b/x", |_| None).err().unwrap();
        assert!(e.message().contains("several hosts"), "{e}");
    }

    #[test]
    fn bad_urls_are_refused_and_not_repeated() {
        for url in [
            "s3cret",
            "mysql://u:s3cret@h/x",
            "postgres://u:s3cret/x@h/x",
            "postgres://u:s3cret@h/x?sslmod=verify-full",
            "postgres://u:s3cret@h/x?connect_timeout=soon",
            "postgres://u:s3cret@h/x?sslmode=maybe",
            "postgres://u:s3cret@h/x?sslnegotiation=s3cret",
        ] {
            let e = Address::parse(url, |_| None).err().unwrap();
            assert_eq!(e.code(), Code::InvalidUrl, "{url}");
            assert!(!format!("{e} {e:?}").contains("s3cret"), "{e:?}");
        }
    }
}
