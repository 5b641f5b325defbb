//! Which databases a `mongodb://` URL means.

use std::fmt;

use mongodb::options::{ConnectionString, HostInfo, Tls};

use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// Databases that belong to the server.
pub(super) const OWN: [&str; 3] = ["admin", "config", "local"];

/// A database's name has fewer bytes than this.
const MAX_NAME: usize = 64;

/// What of a deployment is backed up and restored into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// One database, whatever it was called when it was dumped.
    One(String),
    /// Every database but the server's own. In a scratch place all have this before their names.
    All { prefix: Option<String> },
}

impl Place {
    /// What a dump's database is called here.
    ///
    /// # Errors
    /// `InvalidOption` for a name that the server would not take.
    pub(super) fn database(&self, dumped: &str) -> Result<String> {
        let name = match self {
            Self::One(name) => name.clone(),
            Self::All { prefix: None } => dumped.to_owned(),
            Self::All { prefix: Some(prefix) } => format!("{prefix}_{dumped}"),
        };
        check_name(&name)?;
        Ok(name)
    }

    /// Whether a database of this name is of this place.
    pub(super) fn holds(&self, name: &str) -> bool {
        match self {
            Self::One(own) => own == name,
            Self::All { prefix: None } => !OWN.contains(&name),
            Self::All { prefix: Some(prefix) } => name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_')),
        }
    }
}

/// Where a deployment is, and as whom to go there.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) url: Secret,
    pub(super) place: Place,
    /// Hosts and ports, for people.
    hosts: String,
    /// Whether the connection is encrypted, and the server known by its certificate.
    protected: bool,
}

impl Address {
    /// Understands `mongodb://…/database` and `mongodb+srv://…/database`; without a database all of them are meant.
    ///
    /// # Errors
    /// `InvalidUrl`.
    pub(super) fn new(url: &str) -> Result<Self> {
        let invalid = |why: &str| {
            Error::new(Code::InvalidUrl, format!("the MongoDB URL cannot be used: {why}")).next(
                "write mongodb://user:password@host:27017/database?authSource=admin, with special characters of the \
                 password percent-encoded",
            )
        };
        let parsed = ConnectionString::parse(url).map_err(|e| invalid(&without_secrets(&e.to_string(), url)))?;
        let hosts = match &parsed.host_info {
            HostInfo::HostIdentifiers(hosts) => hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            HostInfo::DnsRecord(host) => host.clone(),
            _ => String::new(),
        };
        let place = match parsed.default_database {
            Some(name) => Place::One(name),
            None => Place::All { prefix: None },
        };
        if let Place::One(name) = &place {
            check_name(name)?;
            if OWN.contains(&name.as_str()) {
                return Err(invalid(&format!("`{name}` belongs to the server"))
                    .next(format!("name your own database, and give ?authSource={name} where users are kept there")));
            }
        }
        let protected = match &parsed.tls {
            Some(Tls::Enabled(tls)) => !tls.allow_invalid_certificates.unwrap_or(false),
            Some(Tls::Disabled) => false,
            // Names in the DNS stand for hosts that are reached by TLS alone.
            None => matches!(parsed.host_info, HostInfo::DnsRecord(_)),
        };
        Ok(Self { url: Secret::from(url), place, hosts, protected })
    }

    pub(super) fn sibling(&self, name: &str) -> Result<Self> {
        check_name(name)?;
        let place = match self.place {
            Place::One(_) => Place::One(name.to_owned()),
            Place::All { .. } => Place::All { prefix: Some(name.to_owned()) },
        };
        Ok(Self { place, ..self.clone() })
    }

    pub(super) fn is_protected(&self) -> bool {
        self.protected
    }

    /// The database's name, or what all of them together are called.
    pub(super) fn name(&self) -> &str {
        match &self.place {
            Place::One(name) | Place::All { prefix: Some(name) } => name,
            Place::All { prefix: None } => "mongodb",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mongodb://{}/", self.hosts)?;
        match &self.place {
            Place::One(name) => f.write_str(name),
            Place::All { prefix } => f.write_str(prefix.as_deref().unwrap_or_default()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Refuses what no server takes as a database's name.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() >= MAX_NAME || name.contains(['/', '\\', '.', ' ', '"', '$', '\0']) {
        return Err(Error::new(Code::InvalidOption, format!("`{name}` cannot name a MongoDB database"))
            .next("give a name of at most 63 bytes, without / \\ . \" $ and spaces"));
    }
    Ok(())
}

/// What the driver says of a URL, unless it repeats something of it that may be secret.
fn without_secrets(said: &str, url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let values = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
    let mut parts = user.split(':').chain(values);
    if parts.any(|part| part.len() > 2 && said.contains(part)) || said.contains(rest) {
        return "an option or the user's part is malformed".to_owned();
    }
    said.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_url_names_one_database_or_all() {
        let one = Address::new("mongodb://app:canary@db1:27017,db2/shop?authSource=admin").unwrap();
        assert_eq!(one.place, Place::One("shop".into()));
        assert_eq!(one.to_string(), "mongodb://db1:27017,db2:27017/shop");
        assert!(!format!("{one:?}").contains("canary"));
        let all = Address::new("mongodb://db1/?replicaSet=rs0").unwrap();
        assert_eq!((all.name(), &all.place), ("mongodb", &Place::All { prefix: None }));
        let scratch = all.sibling("drill_1").unwrap().place;
        assert_eq!(scratch.database("shop").unwrap(), "drill_1_shop");
        assert!(scratch.holds("drill_1_shop") && !scratch.holds("drill_12_shop") && !scratch.holds("shop"));
        assert!(!all.place.holds("admin") && all.place.holds("shop"));
        assert!(scratch.database(&"x".repeat(60)).is_err());
    }

    #[test]
    fn secrets_in_a_url_are_not_repeated() {
        for url in [
            "mongodb://app:can/ary@host/shop",
            "mongodb://app:canary@host/shop?retryWrites=canary",
            "mongodb://app:canary@host:canary/shop",
            "mongodb://canary",
            "mongodb://u:canary@h/admin",
            "mongodb://u:canary@h/a?authMechanism=canary",
        ] {
            if let Err(e) = Address::new(url) {
                assert!(!format!("{e} {e:?}").contains("ary"), "{e}");
            }
        }
    }
}
