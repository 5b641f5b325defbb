//! The settings of a session on which the text of definitions and rows depends.

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads definitions, or asks about the server as a whole.
    Catalog,
    /// Reads rows.
    Reader,
    /// Creates objects and writes rows.
    Writer,
}

/// What kind of server it is, and which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// MariaDB, as opposed to MySQL.
    pub(super) mariadb: bool,
    /// Major, minor, patch.
    pub(super) number: (u16, u16, u16),
    /// As people write it: `10.11.19-MariaDB`, `8.0.36`.
    pub(super) text: String,
}

impl Version {
    /// Understands what `SELECT VERSION()` says.
    pub(super) fn parse(text: &str) -> Self {
        let mariadb = text.to_ascii_lowercase().contains("mariadb");
        // MariaDB behind old proxies calls itself 5.5.5-10.11.19-MariaDB.
        let text = text.strip_prefix("5.5.5-").filter(|_| mariadb).unwrap_or(text);
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
        let mut number = || numbers.next().unwrap_or(0);
        let number = (number(), number(), number());
        let (major, minor, patch) = number;
        let suffix = if mariadb { "-MariaDB" } else { "" };
        // The packager's part says nothing about the data.
        Self { mariadb, number, text: format!("{major}.{minor}.{patch}{suffix}") }
    }

    /// Whether it is MariaDB of at least this version.
    pub(super) fn is_mariadb(&self, major: u16, minor: u16) -> bool {
        self.mariadb && (self.number.0, self.number.1) >= (major, minor)
    }
}

/// The statements that fix a session's settings.
pub(super) fn settings(version: &Version, role: Role) -> Vec<String> {
    let mut settings = vec![
        "SET NAMES utf8mb4".to_owned(),
        // Neither a slow store nor a slow disk is to end a session.
        "SET SESSION wait_timeout = 31536000, net_read_timeout = 86400, net_write_timeout = 86400".to_owned(),
        "SET SESSION time_zone = '+00:00', sql_quote_show_create = 1, autocommit = 1, sql_select_limit = DEFAULT"
            .to_owned(),
        // As the other dump tools do: text is text, backslashes escape, any date may be stored, 0 is a value.
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'".to_owned(),
    ];
    if version.mariadb {
        settings.push("SET SESSION max_statement_time = 0, idle_transaction_timeout = 0".to_owned());
        settings.push("SET SESSION idle_readonly_transaction_timeout = 0".to_owned());
    } else {
        settings.push("SET SESSION max_execution_time = 0".to_owned());
        // Old statistics are as good as none.
        settings.push("SET SESSION information_schema_stats_expiry = 0".to_owned());
    }
    match role {
        Role::Catalog => {}
        // Bytes come as they are stored, whatever character set their column has.
        Role::Reader => settings.push("SET SESSION character_set_results = NULL".to_owned()),
        // Without unique_checks as well, MariaDB locks an empty table whole for the first who fills it: two would deadlock.
        Role::Writer => settings.push("SET SESSION foreign_key_checks = 0".to_owned()),
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_understood() {
        for (text, mariadb, number, shown) in [
            ("10.11.19-MariaDB-0+deb12u1", true, (10, 11, 19), "10.11.19-MariaDB"),
            ("5.5.5-10.6.2-MariaDB-log", true, (10, 6, 2), "10.6.2-MariaDB"),
            ("8.0.36-0ubuntu0.22.04.1", false, (8, 0, 36), "8.0.36"),
            ("8.4.0", false, (8, 4, 0), "8.4.0"),
            ("5.7.44-log", false, (5, 7, 44), "5.7.44"),
        ] {
            let version = Version::parse(text);
            assert_eq!((version.mariadb, version.number, version.text.as_str()), (mariadb, number, shown), "{text}");
        }
        assert!(Version::parse("11.4.2-MariaDB").is_mariadb(10, 11));
        assert!(!Version::parse("11.4.2").is_mariadb(10, 11));
    }
}
