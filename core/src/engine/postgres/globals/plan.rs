//! Decides which roles and tablespaces a restore creates: those that the database needs and the server lacks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::report::Warning;

use super::text::{Globals, Membership, RoleText, TablespaceText};

/// What the archive refers to.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) roles: BTreeSet<String>,
    pub(super) tablespaces: BTreeSet<String>,
}

/// What the server has.
#[derive(Debug, Default)]
pub(super) struct There {
    /// Each role with its attributes.
    pub(super) roles: HashMap<String, Vec<String>>,
    /// Roles and their members.
    pub(super) memberships: HashSet<(String, String)>,
    pub(super) tablespaces: HashSet<String>,
}

/// What is to be created, in this order.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) roles: BTreeMap<String, RoleText>,
    pub(super) memberships: Vec<Membership>,
    pub(super) tablespaces: BTreeMap<String, TablespaceText>,
    /// Whether passwords were backed up at all.
    pub(super) passwords: bool,
    /// What is there and not as it was backed up.
    pub(super) warnings: Vec<Warning>,
}

/// Roles that are there stay as they are, and so do memberships between them.
pub(super) fn plan(globals: Globals, mut needs: Needs, there: &There) -> Plan {
    let passwords = globals.roles.values().any(|role| role.password.is_some());
    let mut plan = Plan { passwords, ..Plan::default() };
    for (name, tablespace) in globals.tablespaces {
        if needs.tablespaces.contains(&name) && !there.tablespaces.contains(&name) {
            needs.roles.extend(tablespace.owner.clone());
            plan.tablespaces.insert(name, tablespace);
        }
    }
    let wanted = related(&needs.roles, &globals.memberships);
    for (name, role) in globals.roles {
        if !wanted.contains(&name) {
            continue;
        }
        match there.roles.get(&name) {
            None => {
                plan.roles.insert(name, role);
            }
            Some(attributes) => plan.warnings.extend(differing(&name, &role.attributes, attributes)),
        }
    }
    for membership in globals.memberships {
        let (role, member) = (&membership.role, &membership.member);
        let exists = |name: &String| there.roles.contains_key(name) || plan.roles.contains_key(name);
        let is_new = |name: &String| plan.roles.contains_key(name);
        if is_new(role) || is_new(member) {
            if exists(role) && exists(member) {
                plan.memberships.push(membership);
            } else if exists(member) {
                let message = format!("role {member} is not made a member of {role}: there is no such role");
                plan.warnings.push(Warning::new("global_left_out", message));
            }
        } else if wanted.contains(role)
            && wanted.contains(member)
            && exists(role)
            && exists(member)
            && !there.memberships.contains(&(role.clone(), member.clone()))
        {
            let message = format!("role {member} is no member of {role}, which it was when it was backed up");
            plan.warnings.push(Warning::new("global_differs", message));
        }
    }
    plan
}

/// These roles, all their members, and all roles that these are members of: who owns something, who may use it through
/// them, and what makes up their privileges.
fn related(roles: &BTreeSet<String>, memberships: &[Membership]) -> BTreeSet<String> {
    let mut related = roles.clone();
    let grow = |related: &mut BTreeSet<String>, step: &dyn Fn(&Membership) -> (&String, &String)| {
        let mut before = 0;
        while before < related.len() {
            before = related.len();
            for (from, to) in memberships.iter().filter(|m| m.used).map(step) {
                // Everybody may be a member of the server's own roles; that relates nobody to anybody.
                if related.contains(from) && !from.starts_with("pg_") {
                    related.insert(to.clone());
                }
            }
        }
    };
    grow(&mut related, &|m| (&m.role, &m.member));
    grow(&mut related, &|m| (&m.member, &m.role));
    related
}

fn differing(name: &str, backed_up: &[String], there: &[String]) -> Option<Warning> {
    let lacks: Vec<&str> = backed_up.iter().filter(|a| !there.contains(a)).map(String::as_str).collect();
    let extra = there.iter().filter(|a| !backed_up.contains(a) && a.contains(' ')).map(String::as_str);
    let extra: Vec<&str> = extra.collect();
    if lacks.is_empty() && extra.is_empty() {
        return None;
    }
    let mut message = format!("role {name} is there and was left as it is");
    if !lacks.is_empty() {
        message += &format!("; when it was backed up it had {}", lacks.join(", "));
    }
    if !extra.is_empty() {
        message += &format!("; now it has {}", extra.join(", "));
    }
    Some(Warning::new("global_differs", message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = "CREATE ROLE app; ALTER ROLE app WITH NOSUPERUSER LOGIN CONNECTION LIMIT 5;
        CREATE ROLE owners; CREATE ROLE anna; CREATE ROLE staff; CREATE ROLE otto; CREATE ROLE away; CREATE ROLE disk;
        GRANT owners TO anna GRANTED BY boss; GRANT staff TO anna; GRANT staff TO otto; GRANT pg_monitor TO anna;
        GRANT pg_monitor TO otto; GRANT lost TO anna; GRANT app TO owners;
        CREATE ROLE admin; CREATE ROLE made; GRANT made TO admin; GRANT owners TO admin WITH ADMIN OPTION, INHERIT FALSE, SET FALSE;
        CREATE TABLESPACE fast OWNER disk LOCATION '/x'; CREATE TABLESPACE slow OWNER away LOCATION '/y';";

    fn planned(there: &There) -> Plan {
        let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        let needs = Needs { roles: names(&["owners"]), tablespaces: names(&["fast", "unknown"]) };
        plan(Globals::parse(TEXT.as_bytes()).unwrap(), needs, there)
    }

    #[test]
    fn what_the_database_needs_is_created_with_its_members_and_what_they_are_members_of() {
        let pg_monitor = ("pg_monitor".to_owned(), vec![]);
        let plan = planned(&There { roles: HashMap::from([pg_monitor]), ..There::default() });
        assert_eq!(plan.roles.keys().collect::<Vec<_>>(), ["anna", "app", "disk", "owners", "staff"]);
        assert_eq!(plan.tablespaces.keys().collect::<Vec<_>>(), ["fast"]);
        let granted: Vec<_> = plan.memberships.iter().map(|m| format!("{}>{}", m.role, m.member)).collect();
        assert_eq!(granted, ["owners>anna", "staff>anna", "pg_monitor>anna", "app>owners"]);
        let told: Vec<_> = plan.warnings.iter().map(|w| w.message.as_str()).collect();
        assert_eq!(told, ["role anna is not made a member of lost: there is no such role"]);
    }

    #[test]
    fn what_is_there_is_left_and_told_if_it_differs() {
        let role =
            |name: &str, attributes: &[&str]| (name.to_owned(), attributes.iter().map(|&a| a.to_owned()).collect());
        let there = There {
            roles: HashMap::from([
                role("app", &["SUPERUSER", "LOGIN", "VALID UNTIL 'x'"]),
                role("owners", &[]),
                role("anna", &[]),
                role("staff", &[]),
                role("disk", &[]),
            ]),
            memberships: HashSet::from([
                ("staff".to_owned(), "anna".to_owned()),
                ("app".to_owned(), "owners".to_owned()),
            ]),
            tablespaces: HashSet::from(["fast".to_owned()]),
        };
        let plan = planned(&there);
        assert!(plan.roles.is_empty() && plan.memberships.is_empty() && plan.tablespaces.is_empty());
        let told: Vec<_> = plan.warnings.iter().map(|w| w.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "role app is there and was left as it is; when it was backed up it had NOSUPERUSER, CONNECTION LIMIT 5; \
                 now it has VALID UNTIL 'x'",
                "role anna is no member of owners, which it was when it was backed up"
            ]
        );
    }
}
