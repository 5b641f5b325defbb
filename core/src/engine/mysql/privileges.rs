//! What an account may do, as `SHOW GRANTS` tells it.

use std::collections::BTreeSet;

use crate::engine::some_of;
use crate::error::Result;
use crate::report::Warning;

use super::connect::{Session, Version};
use super::databases::Databases;
use super::quote::ident;

/// The privileges of an account, those of its roles included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Privileges {
    /// On everything.
    global: BTreeSet<String>,
    /// On each of the databases.
    databases: Vec<BTreeSet<String>>,
    /// On some of their tables.
    tables: BTreeSet<String>,
    /// Whether MariaDB's table of routines may be read.
    routines: bool,
}

impl Privileges {
    /// Asks for the privileges of the account on these databases.
    pub(super) async fn read(session: &mut Session, databases: &[String]) -> Result<Self> {
        let doing = "asking for the privileges";
        let mut privileges = Self::of(databases);
        let mut grants = session.query("SHOW GRANTS", doing).await?;
        let roles: Vec<String> = grants.iter().flatten().flatten().filter_map(|grant| role(grant)).collect();
        if !session.version.mariadb && !roles.is_empty() {
            // Those of roles are told when they are named.
            grants =
                session.query(&format!("SHOW GRANTS FOR CURRENT_USER() USING {}", roles.join(", ")), doing).await?;
        }
        for grant in grants.iter().flatten().flatten() {
            privileges.add(grant, databases);
        }
        Ok(privileges)
    }

    /// None yet, on these databases.
    fn of(databases: &[String]) -> Self {
        Self { databases: vec![BTreeSet::new(); databases.len()], ..Self::default() }
    }

    /// Whether the account has a privilege on all of each database.
    pub(super) fn has(&self, privilege: &str) -> bool {
        let all = |set: &BTreeSet<String>| set.contains("ALL PRIVILEGES") || set.contains("ALL");
        let on = |database: &BTreeSet<String>| {
            database.contains(privilege) || (all(database) && !GLOBAL_ONLY.contains(&privilege))
        };
        let on_each = !self.databases.is_empty() && self.databases.iter().all(on);
        self.global.contains(privilege) || all(&self.global) || on_each
    }

    /// Whether it has a privilege on everything.
    fn everywhere(&self, privilege: &str) -> bool {
        self.global.contains(privilege) || self.global.contains("ALL PRIVILEGES")
    }

    /// Whether it has a privilege on some tables at least.
    pub(super) fn has_somewhere(&self, privilege: &str) -> bool {
        let has = |set: &BTreeSet<String>| set.contains(privilege) || set.contains("ALL PRIVILEGES");
        self.has(privilege) || has(&self.tables) || self.databases.iter().any(has)
    }

    /// Takes in a line of SHOW GRANTS.
    fn add(&mut self, grant: &str, databases: &[String]) {
        let Some((privileges, on)) = grant.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON ")) else {
            return;
        };
        let privileges = whole(privileges);
        let named = privileges.iter().any(|privilege| matches!(privilege.as_str(), "SELECT" | "ALL PRIVILEGES"));
        self.routines |= named && ["`mysql`.*", "`mysql`.`proc`"].iter().any(|table| on.starts_with(table));
        for (database, own) in databases.iter().zip(&mut self.databases) {
            match scope(on, database) {
                // Said once for all.
                Some(Scope::Global) => break,
                Some(Scope::Database) => own.extend(privileges.iter().cloned()),
                Some(Scope::Table) => self.tables.extend(privileges.iter().cloned()),
                None => {}
            }
        }
        if matches!(scope(on, ""), Some(Scope::Global)) {
            self.global.extend(privileges);
        }
    }
}

/// The privileges that a grant names: `SELECT, SHOW VIEW`, and without spaces those that MySQL 8 brought. `SELECT (a, b)`
/// is of columns, and lets nobody read the table.
fn whole(privileges: &str) -> Vec<String> {
    let mut depth = 0;
    let parts = privileges.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.filter(|privilege| !privilege.contains('(')).map(|privilege| privilege.trim().to_ascii_uppercase()).collect()
}

/// Privileges that `ALL` on a database does not hold.
const GLOBAL_ONLY: [&str; 12] = [
    "RELOAD",
    "PROCESS",
    "SUPER",
    "BACKUP_ADMIN",
    "REPLICATION CLIENT",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
    "REPLICATION SLAVE",
    "SET USER",
    "SET_USER_ID",
    "FLUSH_TABLES",
    "SHOW_ROUTINE",
];

enum Scope {
    Global,
    Database,
    Table,
}

/// What a grant is on: `*.*`, `` `shop`.* `` (a pattern: `_` and `%` stand for others), `` `shop`.`orders` ``.
fn scope(on: &str, database: &str) -> Option<Scope> {
    if on.starts_with("*.*") {
        return Some(Scope::Global);
    }
    let rest = on.strip_prefix('`')?;
    let mut end = 0;
    while let Some(at) = rest[end..].find('`') {
        end += at;
        if !rest[end..].starts_with("``") {
            break;
        }
        end += 2;
    }
    let (name, after) = rest.split_at_checked(end)?;
    let name = name.replace("``", "`");
    let after = after.strip_prefix("`.")?;
    if after.starts_with('*') {
        return like(&name, database).then_some(Scope::Database);
    }
    (name == database).then_some(Scope::Table)
}

/// Whether a name is of a pattern as LIKE has it.
fn like(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('%') => {
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| like(rest.as_str(), &name[at..]))
        }
        Some(c) => {
            let escaped = c == '\\';
            let wanted = if escaped { rest.next().unwrap_or('\\') } else { c };
            let mut chars = name.chars();
            let matches = chars.next().is_some_and(|got| got == wanted || (c == '_' && !escaped));
            matches && like(rest.as_str(), chars.as_str())
        }
    }
}

/// The role that a line of SHOW GRANTS of MySQL gives: ``GRANT `reader`@`%` TO `app`@`%` ``.
fn role(grant: &str) -> Option<String> {
    let rest = grant.strip_prefix("GRANT `")?;
    let roles = rest.split(" TO `").next()?;
    (!rest.contains(" ON ")).then(|| format!("`{roles}"))
}

/// Something of a database that an account may not see: servers do not tell that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// What cannot be dumped.
    pub(super) what: &'static str,
    /// The privilege that shows it.
    pub(super) privilege: &'static str,
    /// Whether it is granted on the database or on everything.
    pub(super) global: bool,
}

impl Privileges {
    /// What the account may not see of the databases, and whether there are more of them.
    pub(super) fn hidden(&self, version: &Version, meant: &Databases) -> Vec<Hidden> {
        let mut hidden = Vec::new();
        let mut needs = |seen: bool, what, privilege, global| {
            if !seen {
                hidden.push(Hidden { what, privilege, global });
            }
        };
        if let Databases::All { .. } = meant {
            let seen = self.everywhere("SHOW DATABASES") || self.everywhere("SELECT");
            needs(seen, "databases that it has no privilege for", "SHOW DATABASES", true);
        }
        needs(self.has("SELECT"), "tables that it has no privilege for", "SELECT", false);
        needs(self.has("SHOW VIEW"), "views", "SHOW VIEW", false);
        needs(self.has("TRIGGER"), "triggers", "TRIGGER", false);
        needs(self.has("EVENT"), "events", "EVENT", false);
        // On everything, SELECT lets see the system tables that hold them.
        let all = self.everywhere("SELECT");
        let (seen, privilege, global) = match version.mariadb {
            true if version.is_mariadb(11, 3) => (self.has("SHOW CREATE ROUTINE"), "SHOW CREATE ROUTINE", false),
            true => (self.routines, "SELECT on mysql.proc", true),
            false => (self.global.contains("SHOW_ROUTINE"), "SHOW_ROUTINE", true),
        };
        // Whoever may run them sees that they are there, and a dump names those that it cannot have.
        let listed = self.has("EXECUTE") || self.has("ALTER ROUTINE");
        needs(all || seen || listed, "routines of others", privilege, global);
        hidden
    }
}

impl Hidden {
    /// What to do about all of these.
    pub(super) fn next(all: &[Self], databases: &[String]) -> String {
        let on = |global: bool| {
            let names: Vec<&str> = all.iter().filter(|h| h.global == global).map(|h| h.privilege).collect();
            names.join(", ")
        };
        let (here, everywhere) = (on(false), on(true));
        let mut steps = Vec::new();
        if !here.is_empty() {
            let on = databases.iter().map(|database| format!("{}.*", ident(database)));
            steps.push(format!("GRANT {here} ON {}", some_of(on, 5)));
        }
        if !everywhere.is_empty() {
            let on = if everywhere.contains(" on ") { "" } else { " ON *.*" };
            steps.push(format!("GRANT {everywhere}{on}"));
        }
        format!("{} to the account, unless there are none of these", steps.join("; "))
    }
}

/// Tells of a dump what may be missing in it, and that nobody can know.
pub(super) async fn warn(session: &mut Session, meant: &Databases, databases: &[String]) -> Result<Option<Warning>> {
    let privileges = Privileges::read(session, databases).await?;
    let hidden = privileges.hidden(&session.version, meant);
    if hidden.is_empty() {
        return Ok(None);
    }
    let what: Vec<&str> = hidden.iter().map(|h| h.what).collect();
    let message = format!(
        "the account may not see {}: if there are any, the backup does not have them; {}",
        what.join(", "),
        Hidden::next(&hidden, databases)
    );
    Ok(Some(Warning::new("hidden_objects", message)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(grants: &[&str]) -> Privileges {
        on(&["my_shop"], grants)
    }

    fn on(databases: &[&str], grants: &[&str]) -> Privileges {
        let databases: Vec<String> = databases.iter().map(|d| (*d).to_owned()).collect();
        let mut privileges = Privileges::of(&databases);
        grants.iter().for_each(|grant| privileges.add(grant, &databases));
        privileges
    }

    #[test]
    fn of_several_databases_each_counts() {
        let both = ["GRANT SELECT, EVENT ON `shop`.* TO `a`", "GRANT SELECT ON `blog`.* TO `a`"];
        let privileges = on(&["shop", "blog"], &both);
        assert!(privileges.has("SELECT") && !privileges.has("EVENT") && privileges.has_somewhere("EVENT"));
        let (all, mariadb) = (Databases::All { prefix: None }, Version::parse("10.11.19-MariaDB"));
        assert_eq!(privileges.hidden(&mariadb, &all)[0].privilege, "SHOW DATABASES");
        assert!(on(&["shop"], &["GRANT ALL PRIVILEGES ON *.* TO `a`"]).hidden(&mariadb, &all).is_empty());
        assert!(!on(&[], &both).has("SELECT"));
    }

    #[test]
    fn grants_count_where_they_reach() {
        for (grant, select, trigger) in [
            ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", true, true),
            ("GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*5'", false, false),
            ("GRANT SELECT, TRIGGER ON `my\\_shop`.* TO `a`@`%`", true, true),
            ("GRANT SELECT ON `my_shop`.* TO `a`@`%`", true, false),
            ("GRANT SELECT ON `my%`.* TO `a`@`%`", true, false),
            ("GRANT SELECT ON `my-shop`.* TO `a`@`%`", false, false),
            ("GRANT SELECT ON `my\\_sho`.* TO `a`@`%`", false, false),
            ("GRANT SELECT ON `my_shop`.`orders` TO `a`@`%`", false, false),
            ("GRANT SELECT (id, name), TRIGGER ON *.* TO `a`@`%`", false, true),
            ("GRANT `reader` TO `a`@`%`", false, false),
            ("GRANT SELECT,TRIGGER ON *.* TO `a`@`%`", true, true),
        ] {
            let privileges = of(&[grant]);
            assert_eq!((privileges.has("SELECT"), privileges.has("TRIGGER")), (select, trigger), "{grant}");
        }
        assert!(of(&["GRANT SELECT ON `my_shop`.`orders` TO `a`"]).has_somewhere("SELECT"));
        assert!(!of(&["GRANT ALL PRIVILEGES ON `my_shop`.* TO `a`"]).has("RELOAD"));
        assert!(of(&["GRANT ALL PRIVILEGES ON *.* TO `a`"]).has("RELOAD"));
    }

    #[test]
    fn roles_of_mysql_are_found() {
        assert_eq!(role("GRANT `a`@`%`,`b`@`%` TO `c`@`%`").as_deref(), Some("`a`@`%`,`b`@`%`"));
        assert_eq!(role("GRANT SELECT ON `x`.* TO `c`@`%`"), None);
        assert_eq!(role("GRANT `a` ON `x`.* TO `c`@`%`"), None);
    }

    #[test]
    fn what_the_account_cannot_see_is_known() {
        let one = &Databases::One("my_shop".into());
        let mariadb = Version::parse("10.11.19-MariaDB");
        let least = of(&["GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON `my\\_shop`.* TO `a`@`%`"]);
        let hidden = least.hidden(&mariadb, one);
        assert_eq!(hidden.iter().map(|h| h.what).collect::<Vec<_>>(), ["routines of others"]);
        assert_eq!(
            Hidden::next(&hidden, &["my_shop".to_owned()]),
            "GRANT SELECT on mysql.proc to the account, unless there are none of these"
        );
        let hidden = of(&["GRANT SELECT ON `my_shop`.* TO `a`@`%`", "GRANT SELECT ON `mysql`.`proc` TO `a`@`%`"])
            .hidden(&mariadb, one);
        assert_eq!(hidden.iter().map(|h| h.privilege).collect::<Vec<_>>(), ["SHOW VIEW", "TRIGGER", "EVENT"]);
        assert!(of(&["GRANT ALL PRIVILEGES ON *.* TO `a`"]).hidden(&mariadb, one).is_empty());
        let mysql = Version::parse("8.0.36");
        assert_eq!(
            of(&["GRANT SELECT ON `my_shop`.* TO `a`"]).hidden(&mysql, one).last().unwrap().privilege,
            "SHOW_ROUTINE"
        );
        assert!(of(&["GRANT ALL PRIVILEGES ON `my_shop`.* TO `a`"]).hidden(&mysql, one).is_empty());
    }
}
