//! Understands a database URL as the clients of MySQL and MariaDB mean it.
//!
//! Parameters go by the names of those clients (`ssl-mode`, `ssl-ca`, `socket` …). What is unknown is refused by name:
//! nothing that protects a connection is silently left out (docs/decisions/0009).

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{Code, Error, Result};

use super::databases::Databases;

/// The port of both servers.
const PORT: u16 = 3306;

/// How long a connection attempt may take unless the URL says otherwise (`connect_timeout`, in seconds).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Query parameters of other drivers and object mappers that change nothing here.
const IGNORED: &[&str] = &[
    "allowPublicKeyRetrieval",
    "autocommit",
    "charset",
    "collation",
    "connectionLimit",
    "connection_limit",
    "loc",
    "multiStatements",
    "parseTime",
    "pool_timeout",
    "serverTimezone",
    "socket_timeout",
    "statement_cache_size",
    "timezone",
    "useUnicode",
];

/// How the way to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    /// In the clear.
    Disabled,
    /// TLS if the server has it; nobody's certificate is checked.
    Preferred,
    /// TLS; nobody's certificate is checked.
    Required,
    /// TLS, and a certificate of a known authority.
    VerifyCa,
    /// TLS, and a certificate of a known authority for this host.
    VerifyIdentity,
}

/// How one attempt to connect is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    None,
    /// For the host's name, which its certificate may have to hold.
    Host,
    /// By a certificate of a known authority for whatever name.
    AnyName,
}

/// The driver lets another name pass when the word for that is in the error's text, where it is no more: there stands the
/// name that was expected. Chain, time and purpose were good before names are looked at.
const ANY_NAME: &str = "NotValidForName";

/// Where a database is and how to get there.
#[derive(Clone)]
pub(super) struct Address {
    host: String,
    port: u16,
    socket: Option<String>,
    user: String,
    password: Option<String>,
    pub(super) databases: Databases,
    pub(super) ssl: SslMode,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    pub(super) timeout: Duration,
}

impl Address {
    /// Understands a `mysql://` or `mariadb://` URL; `variable` looks into the environment.
    ///
    /// # Errors
    /// `InvalidUrl`, which repeats nothing of the URL but the names of parameters.
    pub(super) fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let url = parse(text)?;
        let mut address = Self {
            host: url.host_str().filter(|h| !h.is_empty()).unwrap_or("localhost").trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(PORT),
            socket: None,
            user: decoded(url.username())?,
            password: url.password().map(decoded).transpose()?.or_else(|| variable("MYSQL_PWD")),
            databases: Databases::named(decoded(url.path().trim_start_matches('/'))?),
            ssl: SslMode::Preferred,
            ca: None,
            certificate: None,
            key: None,
            timeout: CONNECT_TIMEOUT,
        };
        let mut mode = None;
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            match &*name {
                "ssl-mode" | "sslmode" | "ssl_mode" | "tls" => mode = Some(ssl_mode(&value)?),
                "ssl-ca" | "sslca" | "ssl_ca" | "sslrootcert" | "sslcert-ca" => address.ca = Some(value.into()),
                "ssl-cert" | "sslcert" | "ssl_cert" => address.certificate = Some(value.into()),
                "ssl-key" | "sslkey" | "ssl_key" => address.key = Some(value.into()),
                "socket" | "unix_socket" | "unixSocket" => address.socket = Some(value),
                "connect_timeout" | "connectTimeout" => address.timeout = seconds(&value)?,
                "user" => address.user = value,
                "password" => address.password = Some(value),
                ignored if IGNORED.contains(&ignored) => {}
                other => return Err(unknown(other)),
            }
        }
        if address.certificate.is_some() != address.key.is_some() {
            return Err(Error::new(Code::InvalidUrl, "a client certificate needs its key, and the other way round")
                .next("give both ssl-cert and ssl-key"));
        }
        // Whoever names an authority wants it to count.
        let given = mode.unwrap_or(if address.ca.is_some() { SslMode::VerifyCa } else { SslMode::Preferred });
        address.ssl = match given {
            // Nothing on the way could listen.
            _ if address.socket.is_some() => SslMode::Disabled,
            SslMode::Preferred | SslMode::Required if address.ca.is_some() => SslMode::VerifyCa,
            given => given,
        };
        Ok(address)
    }

    /// Other databases of the same server.
    pub(super) fn with(&self, databases: Databases) -> Self {
        Self { databases, ..self.clone() }
    }

    /// The driver's options for one attempt, in this database or in none.
    pub(super) fn options(&self, tls: Tls, database: Option<&str>) -> Opts {
        let mut options = OptsBuilder::default()
            .ip_or_hostname(&*self.host)
            .tcp_port(self.port)
            .socket(self.socket.as_deref())
            .user(Some(&*self.user))
            .pass(self.password.as_deref())
            .db_name(database)
            // The driver would go on over the socket of a server that it takes for local.
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(60)))
            .stmt_cache_size(0)
            .connect_attribute("program_name", "lastgood");
        if tls != Tls::None {
            let verify = matches!(self.ssl, SslMode::VerifyCa | SslMode::VerifyIdentity);
            let mut ssl = SslOpts::default()
                .with_danger_accept_invalid_certs(!verify)
                .with_danger_skip_domain_validation(self.ssl != SslMode::VerifyIdentity)
                .with_danger_tls_hostname_override((tls == Tls::AnyName).then_some(ANY_NAME))
                .with_root_certs(self.ca.iter().map(|ca| ca.clone().into()).collect())
                .with_disable_built_in_roots(self.ca.is_some());
            if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
                let identity = ClientIdentity::new(certificate.clone().into(), key.clone().into());
                ssl = ssl.with_client_identity(Some(identity));
            }
            options = options.ssl_opts(ssl);
        }
        options.into()
    }

    /// Files that the driver reads without naming them when it cannot.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = [&self.ca, &self.certificate, &self.key];
        files.into_iter().flatten().filter(|_| self.ssl != SslMode::Disabled)
    }

    /// The account that connects.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Whether the connection stays on this host.
    pub(super) fn is_local(&self) -> bool {
        self.socket.is_some()
            || self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    /// The URL without credentials and parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = match &self.databases {
            Databases::One(name) => name,
            Databases::All { prefix } => prefix.as_deref().unwrap_or_default(),
        };
        match &self.socket {
            Some(socket) => write!(f, "mysql:///{database}?socket={socket}"),
            None if self.host.contains(':') => write!(f, "mysql://[{}]:{}/{database}", self.host, self.port),
            None => write!(f, "mysql://{}:{}/{database}", self.host, self.port),
        }
    }
}

fn parse(text: &str) -> Result<Url> {
    let url = match Url::parse(text) {
        // `mysql://user@/database?socket=/path`
        Err(url::ParseError::EmptyHost) => Url::parse(&text.replacen("@/", "@localhost/", 1)),
        other => other,
    };
    let url = url.map_err(|e| invalid(&e))?;
    match url.scheme() {
        "mysql" | "mariadb" => Ok(url),
        _ => Err(Error::new(Code::InvalidUrl, "the database URL is not one of MySQL or MariaDB")
            .next("write mysql://user@host:3306/database")),
    }
}

fn decoded(text: &str) -> Result<String> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|e| invalid(&e))
}

fn ssl_mode(text: &str) -> Result<SslMode> {
    match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "disabled" | "disable" | "false" => Ok(SslMode::Disabled),
        "preferred" | "prefer" | "allow" => Ok(SslMode::Preferred),
        "required" | "require" | "skip-verify" => Ok(SslMode::Required),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-identity" | "verify-full" | "true" => Ok(SslMode::VerifyIdentity),
        _ => Err(Error::new(Code::InvalidUrl, "ssl-mode in the database URL is unknown")
            .next("give disabled, preferred, required, verify-ca or verify-identity")),
    }
}

fn seconds(text: &str) -> Result<Duration> {
    match text.parse() {
        Ok(0) => Ok(Duration::from_secs(86_400)),
        Ok(n) => Ok(Duration::from_secs(n)),
        Err(_) => Err(Error::new(Code::InvalidUrl, "connect_timeout is no number").next("give seconds")),
    }
}

fn unknown(name: &str) -> Error {
    Error::new(Code::InvalidUrl, format!("unknown parameter `{name}` in the database URL"))
        .next("leave it out, or correct its name (ssl-mode, ssl-ca, ssl-cert, ssl-key, socket, connect_timeout)")
}

fn invalid(e: &dyn fmt::Display) -> Error {
    Error::new(Code::InvalidUrl, format!("the database URL cannot be understood: {e}"))
        .next("write mysql://user:password@host:3306/database; percent-encode special characters in the password")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url, |_| None).unwrap()
    }

    #[test]
    fn urls_are_described_without_credentials() {
        for (url, shown, database) in [
            ("mysql://u:s3cret@db.example.com/shop", "mysql://db.example.com:3306/shop", "shop"),
            ("mariadb://u:s3cret@h:3307/a%20b?ssl-mode=REQUIRED", "mysql://h:3307/a b", "a b"),
            ("mysql://u:s3cret@/shop?socket=/run/mysqld.sock", "mysql:///shop?socket=/run/mysqld.sock", "shop"),
            ("mysql://u:s3cret@[::1]:3306/shop", "mysql://[::1]:3306/shop", "shop"),
            ("mysql://u:s3cret@h/", "mysql://h:3306/", ""),
            ("mysql://u:s3cret@h?ssl-mode=REQUIRED", "mysql://h:3306/", ""),
        ] {
            let address = address(url);
            assert_eq!(
                (address.to_string().as_str(), address.databases),
                (shown, Databases::named(database.into())),
                "{url}"
            );
        }
    }

    #[test]
    fn nothing_that_protects_a_connection_is_left_out() {
        for (query, expected) in [
            ("", SslMode::Preferred),
            ("?ssl-mode=DISABLED", SslMode::Disabled),
            ("?sslmode=require", SslMode::Required),
            ("?ssl-mode=VERIFY_CA", SslMode::VerifyCa),
            ("?ssl-mode=VERIFY_IDENTITY", SslMode::VerifyIdentity),
            ("?ssl-ca=/ca.pem", SslMode::VerifyCa),
            ("?ssl-mode=required&ssl-ca=/ca.pem", SslMode::VerifyCa),
            ("?ssl-mode=verify-identity&ssl-ca=/ca.pem", SslMode::VerifyIdentity),
            ("?ssl-mode=required&socket=/s", SslMode::Disabled),
        ] {
            assert_eq!(address(&format!("mysql://u@h/x{query}")).ssl, expected, "{query}");
        }
    }

    #[test]
    fn credentials_come_from_the_url_and_then_from_the_environment() {
        let pwd = |name: &str| (name == "MYSQL_PWD").then(|| "fromenv".to_owned());
        assert_eq!(Address::parse("mysql://u@h/x", pwd).unwrap().password.as_deref(), Some("fromenv"));
        let address = Address::parse("mysql://%C3%A4:p%40ss@h/x", pwd).unwrap();
        assert_eq!((address.user.as_str(), address.password.as_deref()), ("ä", Some("p@ss")));
    }

    #[test]
    fn what_is_not_understood_is_refused_without_repeating_it() {
        for url in [
            "mysql://u:s3cret@h/x?compress=true",
            "mysql://u:s3cret@h/x?ssl-mode=s3cret",
            "mysql://u:s3cret@h/x?ssl-cert=/c",
            "mysql://u:s3cret@h:port/x",
            "postgres://u:s3cret@h/x",
        ] {
            let e = Address::parse(url, |_| None).err().unwrap();
            assert_eq!(e.code(), Code::InvalidUrl, "{url}");
            assert!(!format!("{e} {e:?}").contains("s3cret"), "{e:?}");
        }
    }

    #[test]
    fn local_is_what_stays_on_this_host() {
        for (url, local) in [
            ("mysql://u@localhost/x", true),
            ("mysql://u@127.0.0.1/x", true),
            ("mysql://u@[::1]/x", true),
            ("mysql://u@h/x?socket=/s", true),
            ("mysql://u@h/x", false),
        ] {
            assert_eq!(address(url).is_local(), local, "{url}");
        }
    }
}
