//! Accounts, roles and what they may do: what belongs to the server and a database cannot do without.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::report::Warning;

use super::catalog::account;
use super::connect::Session;
use super::quote::ident;

/// An account or a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    /// `user@host`, or a role's name.
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) role: bool,
    /// The statement that creates it.
    pub(super) create: String,
    /// The statements that give it what it may do in the database and on the server.
    pub(super) grants: Vec<String>,
}

impl Account {
    /// Whether it may do something in one of these databases or everywhere; names come in pairs with others.
    pub(super) fn concerns(&self, names: &[(&str, &str)]) -> bool {
        self.grants.iter().any(|grant| is_everywhere(grant) || there(grant, names).is_some())
    }
}

fn is_everywhere(grant: &str) -> bool {
    grant.contains(" ON *.* ") && !grant.starts_with("GRANT USAGE ON *.* ")
}

/// A grant on one of these databases as one on the database under its other name.
fn there(grant: &str, names: &[(&str, &str)]) -> Option<String> {
    names.iter().find_map(|(from, to)| in_database(grant, from, to))
}

/// Accounts that every server has of its own.
const OWN: [&str; 8] =
    ["root", "mariadb.sys", "mysql", "mysql.sys", "mysql.session", "mysql.infoschema", "debian-sys-maint", "PUBLIC"];

/// Reads the accounts that may do something in these databases or everywhere. Without `passwords` nobody can log in as
/// one of them until it gets a new one.
pub(super) async fn read(
    session: &mut Session,
    databases: &[&str],
    passwords: bool,
) -> Result<(Vec<Account>, Vec<Warning>)> {
    let role = if session.version.mariadb { "is_role" } else { "'N'" };
    let sql = format!("SELECT User, Host, {role} FROM mysql.user ORDER BY {role} DESC, User, Host");
    let rows = match session.query(&sql, "listing the accounts").await {
        Ok(rows) => rows,
        Err(e) => {
            let message = format!("accounts and grants are missing: {}; grant SELECT on mysql.*", e.message());
            return Ok((Vec::new(), vec![Warning::new("globals_unreadable", message)]));
        }
    };
    // Hashes of MySQL 8 are no text.
    drop(session.execute("SET SESSION print_identified_with_as_hex = ON", "setting up the session").await);
    let (mut accounts, mut warnings) = (Vec::new(), Vec::new());
    for row in rows {
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        let (user, host, role) = (text(0), text(1), text(2) == "Y");
        if user.is_empty() || OWN.contains(&user.as_str()) {
            continue;
        }
        let name = if role { user } else { format!("{user}@{host}") };
        match one(session, databases, &name, role, passwords).await {
            Ok(found) => accounts.extend(found),
            Err(e) => warnings.push(Warning::new("globals_unreadable", format!("{name} is missing: {}", e.message()))),
        }
    }
    Ok((accounts, warnings))
}

async fn one(
    session: &mut Session,
    databases: &[&str],
    name: &str,
    role: bool,
    passwords: bool,
) -> Result<Option<Account>> {
    let quoted = if role { ident(name) } else { account(name) };
    let doing = format!("reading the grants of {name}");
    let shown = session.query(&format!("SHOW GRANTS FOR {quoted}"), &doing).await?;
    let grants: Vec<String> = shown.into_iter().flatten().flatten().map(|g| without_password(&g)).collect();
    let concerns = |grant: &String| {
        is_everywhere(grant) || databases.iter().any(|database| in_database(grant, database, database).is_some())
    };
    let kept = |grant: &String| concerns(grant) || !grant.contains(" ON ");
    if !grants.iter().any(concerns) {
        return Ok(None);
    }
    let create = match (role, passwords) {
        (true, _) => format!("CREATE ROLE {quoted}"),
        (false, true) => session.query_one(&format!("SHOW CREATE USER {quoted}"), &doing).await?.unwrap_or_default(),
        (false, false) => format!("CREATE USER {quoted} ACCOUNT LOCK"),
    };
    Ok(Some(Account { name: name.to_owned(), role, create, grants: grants.into_iter().filter(kept).collect() }))
}

/// A grant without the hash that MariaDB shows in it.
fn without_password(grant: &str) -> String {
    let end = [" IDENTIFIED BY ", " IDENTIFIED VIA ", " REQUIRE "].iter().filter_map(|word| grant.find(word)).min();
    let options = grant.find(" WITH GRANT OPTION").filter(|at| end.is_some_and(|end| *at > end));
    let text = end.map_or(grant, |end| &grant[..end]);
    format!("{text}{}", if options.is_some() { " WITH GRANT OPTION" } else { "" })
}

/// A grant on this database, or on something in it, as one on another database. None: it is on something else.
fn in_database(grant: &str, database: &str, other: &str) -> Option<String> {
    // In a grant on a whole database `_` and `%` are escaped, because they stand for other letters.
    let escaped = |name: &str| name.replace('_', "\\_").replace('%', "\\%");
    let names = [(escaped(database), escaped(other)), (database.to_owned(), other.to_owned())];
    names.iter().find_map(|(from, to)| {
        let (before, after) = grant.split_once(&format!(" {}.", ident(from)))?;
        Some(format!("{before} {}.{after}", ident(to)))
    })
}

/// Creates the accounts that are missing on the server, and returns their names.
pub(super) async fn create(session: &mut Session, accounts: &[Account], created: &mut Vec<String>) -> Result<()> {
    for missing in accounts {
        let (user, host) = match missing.role {
            true => (missing.name.as_str(), ""),
            false => missing.name.rsplit_once('@').unwrap_or((&missing.name, "%")),
        };
        let sql = format!(
            "SELECT COUNT(*) FROM mysql.user WHERE User = {} AND Host = {}",
            super::quote::literal(user),
            super::quote::literal(host)
        );
        if session.query_one(&sql, "looking for accounts").await?.as_deref() == Some("0") {
            session.execute(&missing.create, &format!("creating account {}", missing.name)).await?;
            created.push(missing.name.clone());
        }
    }
    Ok(())
}

/// Gives the accounts that were created what they had in these databases and everywhere, under the databases' new names.
pub(super) async fn grant(
    session: &mut Session,
    accounts: &[Account],
    created: &[String],
    names: &[(&str, &str)],
) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    for account in accounts.iter().filter(|a| created.contains(&a.name)) {
        for grant in &account.grants {
            let of_the_server = grant.contains(" ON *.* ") || !grant.contains(" ON ");
            let Some(sql) = there(grant, names).or_else(|| of_the_server.then(|| grant.clone())) else { continue };
            if let Err(e) = session.execute(&sql, &format!("granting {} what it had", account.name)).await {
                warnings.push(Warning::new("grant_left_out", e.message()));
            }
        }
    }
    Ok(warnings)
}

/// Drops accounts that a restore created.
pub(super) async fn undo(session: &mut Session, accounts: &[Account], created: &[String]) -> Result<()> {
    for account in accounts.iter().filter(|a| created.contains(&a.name)) {
        let (word, name) = match account.role {
            true => ("ROLE", ident(&account.name)),
            false => ("USER", super::catalog::account(&account.name)),
        };
        session.execute(&format!("DROP {word} IF EXISTS {name}"), &format!("taking back {}", account.name)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_told_without_passwords_and_for_another_database() {
        let grant = "GRANT SELECT ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*ABC' WITH GRANT OPTION";
        assert_eq!(without_password(grant), "GRANT SELECT ON *.* TO `u`@`%` WITH GRANT OPTION");
        let moved = |grant, from, to| in_database(grant, from, to);
        let grant = "GRANT SELECT ON `my\\_shop`.* TO `u`@`%`";
        assert_eq!(moved(grant, "my_shop", "a_b").as_deref(), Some("GRANT SELECT ON `a\\_b`.* TO `u`@`%`"));
        assert_eq!(moved("GRANT SELECT ON `shop`.`t` TO `u`@`%`", "other", "x"), None);
        let routine = "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `u`@`%`";
        assert_eq!(moved(routine, "shop", "x").as_deref(), Some("GRANT EXECUTE ON PROCEDURE `x`.`p` TO `u`@`%`"));
    }
}
