//! Privileges: from the catalogs' access control lists to GRANT and REVOKE.

use crate::engine::postgres::quote::ident;

use super::row::Row;
use crate::error::Result;

/// An object's privileges as they are, and as a freshly created object has them.
#[derive(Debug, Clone, Default)]
pub(super) struct Acl {
    /// The list in the catalog; absent while nobody granted or revoked anything.
    pub(super) current: Option<Vec<String>>,
    /// What the server gives an object of this kind and owner.
    pub(super) default: Vec<String>,
    /// What initdb or the extension's script gave it, where that is on record.
    pub(super) initial: Option<Vec<String>>,
}

impl Acl {
    /// From the columns `acl` and `acldefault` of a catalog query.
    pub(super) fn from_row(row: &Row) -> Result<Self> {
        let current = match row.opt("acl")? {
            Some(_) => Some(row.list("acl")?),
            None => None,
        };
        Ok(Self { current, default: row.list("acldefault")?, initial: None })
    }

    /// The commands that take a freshly created object to its privileges.
    ///
    /// `on` is the object as GRANT names it (`TABLE public.t`), `column` a quoted column name.
    pub(super) fn commands(&self, class: Class, on: &str, column: Option<&str>, owner: &str) -> String {
        let base = self.initial.as_ref().unwrap_or(&self.default);
        let current = match (&self.current, &self.initial) {
            (Some(current), _) => current,
            (None, Some(_)) => &self.default,
            (None, None) => return String::new(),
        };
        commands("", class, on, column, current, base, owner)
    }
}

/// Which privileges there are: by kind of object, and server version.
#[derive(Debug, Clone, Copy)]
pub(super) enum Class {
    Table {
        maintain: bool,
    },
    Column,
    Sequence,
    Routine,
    Schema,
    /// Types, languages, foreign-data wrappers and servers.
    Usage,
    LargeObject,
    Database,
    Tablespace,
    /// A configuration parameter of the server.
    Parameter,
}

impl Class {
    fn privileges(self) -> &'static [(char, &'static str)] {
        const TABLE: &[(char, &str)] = &[
            ('r', "SELECT"),
            ('a', "INSERT"),
            ('x', "REFERENCES"),
            ('d', "DELETE"),
            ('t', "TRIGGER"),
            ('D', "TRUNCATE"),
            ('w', "UPDATE"),
            ('m', "MAINTAIN"),
        ];
        match self {
            Self::Table { maintain: true } => TABLE,
            Self::Table { maintain: false } => &TABLE[..7],
            Self::Column => &[('r', "SELECT"), ('a', "INSERT"), ('x', "REFERENCES"), ('w', "UPDATE")],
            Self::Sequence => &[('r', "SELECT"), ('U', "USAGE"), ('w', "UPDATE")],
            Self::Routine => &[('X', "EXECUTE")],
            Self::Schema => &[('C', "CREATE"), ('U', "USAGE")],
            Self::Usage => &[('U', "USAGE")],
            Self::LargeObject => &[('r', "SELECT"), ('w', "UPDATE")],
            Self::Tablespace => &[('C', "CREATE")],
            Self::Parameter => &[('s', "SET"), ('A', "ALTER SYSTEM")],
            Self::Database => &[('C', "CREATE"), ('c', "CONNECT"), ('T', "TEMPORARY")],
        }
    }
}

/// The GRANTs and REVOKEs that lead from `base` to `current`, each with `prefix` in front.
pub(super) fn commands(
    prefix: &str,
    class: Class,
    on: &str,
    column: Option<&str>,
    current: &[String],
    base: &[String],
    owner: &str,
) -> String {
    let parse = |list: &[String]| list.iter().filter_map(|i| Item::parse(i, class)).collect::<Vec<_>>();
    let (base, current) = (parse(base), parse(current));
    let (mut first, mut second) = (String::new(), String::new());
    let kept = kept(&base, &current);
    for item in &base {
        let now = kept.iter().position(|k| k.is_some_and(|k| std::ptr::eq(k, item))).map(|at| &current[at]);
        let gone: Vec<&str> = item.list(|word, _| now.is_none_or(|n| n.has(word).is_none()));
        if !gone.is_empty() {
            let words = words(&gone, class, column);
            first.push_str(&format!("{prefix}REVOKE {words} ON {on} FROM {};\n", item.grantee()));
        }
    }
    // The server keeps the order in which privileges were granted; grants that rest on others come after them.
    for (item, had) in current.iter().zip(&kept) {
        let is_new = |word: &str, option: bool| had.and_then(|h| h.has(word)) != Some(option);
        let plain = item.list(|word, option| !option && is_new(word, option));
        let grantable = item.list(|word, option| option && is_new(word, option));
        if plain.is_empty() && grantable.is_empty() {
            continue;
        }
        let by_other = !owner.is_empty() && item.grantor != owner;
        let own = !by_other && item.to == owner;
        let out = if own { &mut first } else { &mut second };
        if by_other {
            out.push_str(&format!("SET SESSION AUTHORIZATION {};\n", ident(&item.grantor)));
        }
        for (list, end) in [(plain, ""), (grantable, " WITH GRANT OPTION")] {
            if !list.is_empty() {
                let words = words(&list, class, column);
                out.push_str(&format!("{prefix}GRANT {words} ON {on} TO {}{end};\n", item.grantee()));
            }
        }
        if by_other {
            out.push_str("RESET SESSION AUTHORIZATION;\n");
        }
    }
    first + &second
}

/// A list of privileges as GRANT takes it; ALL where it is all, which also covers what a newer server adds.
fn words(list: &[&str], class: Class, column: Option<&str>) -> String {
    let column = column.map(|c| format!("({c})")).unwrap_or_default();
    if list.len() == class.privileges().len() {
        return format!("ALL{column}");
    }
    list.iter().map(|word| format!("{word}{column}")).collect::<Vec<_>>().join(",")
}

/// One `grantee=privileges/grantor`.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    to: String,
    grantor: String,
    /// Each privilege, and whether its holder may grant it on.
    privileges: Vec<(&'static str, bool)>,
}

impl Item {
    fn parse(text: &str, class: Class) -> Option<Self> {
        let (to, rest) = role(text)?;
        let (codes, rest) = rest.strip_prefix('=')?.split_once('/')?;
        let (grantor, rest) = role(rest)?;
        let privilege = |&(code, word): &(char, &'static str)| {
            let at = codes.find(code)?;
            Some((word, codes[at + 1..].starts_with('*')))
        };
        let privileges = class.privileges().iter().filter_map(privilege).collect();
        rest.is_empty().then_some(Self { to, grantor, privileges })
    }

    fn grantee(&self) -> String {
        if self.to.is_empty() { "PUBLIC".to_owned() } else { ident(&self.to) }
    }

    /// Whether it has the privilege, and with the option to grant it.
    fn has(&self, word: &str) -> Option<bool> {
        self.privileges.iter().find(|p| p.0 == word).map(|p| p.1)
    }

    fn list(&self, mut take: impl FnMut(&str, bool) -> bool) -> Vec<&'static str> {
        self.privileges.iter().filter(|p| take(p.0, p.1)).map(|p| p.0).collect()
    }

    /// Whether revoking some and granting some leads from this to the other. Losing only the option to grant does not:
    /// then all is revoked and granted anew.
    fn leads_to(&self, other: &Self) -> bool {
        !self.privileges.iter().any(|&(word, option)| option && other.has(word) == Some(false))
    }
}

/// For each item of `current` the one of `base` that it is made from. What is granted anew goes to the end of the
/// server's list: to keep its order, nothing behind a new item is made from an old one, unless it is the same.
fn kept<'b>(base: &'b [Item], current: &[Item]) -> Vec<Option<&'b Item>> {
    let mut in_place = true;
    let keep = |item: &Item| {
        let had = base.iter().find(|b| b.to == item.to && b.grantor == item.grantor);
        let had = had.filter(|b| *b == item || in_place && b.leads_to(item));
        in_place &= had.is_some();
        had
    };
    current.iter().map(keep).collect()
}

/// A role name at the start of `text`, which is quoted when it is not plain; and what follows it.
fn role(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['=', '/']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek()) {
            ('"', Some((_, '"'))) => {
                name.push('"');
                chars.next();
            }
            ('"', _) => return Some((name, &quoted[at + 1..])),
            (c, _) => name.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Class = Class::Table { maintain: false };

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|&i| i.to_owned()).collect()
    }

    #[test]
    fn only_the_difference_is_granted_and_revoked() {
        let base = list(&["me=arwdDxt/me"]);
        assert_eq!(commands("", TABLE, "TABLE public.t", None, &base, &base, "me"), "");
        let current = list(&["me=arwdDxt/me", "=r/me", "\"Odd \"\"one\"=r*w/me"]);
        assert_eq!(
            commands("", TABLE, "TABLE public.t", None, &current, &base, "me"),
            "GRANT SELECT ON TABLE public.t TO PUBLIC;\n\
             GRANT UPDATE ON TABLE public.t TO \"Odd \"\"one\";\n\
             GRANT SELECT ON TABLE public.t TO \"Odd \"\"one\" WITH GRANT OPTION;\n"
        );
    }

    #[test]
    fn what_was_taken_from_the_owner_is_revoked_first() {
        let (base, current) = (list(&["me=arwdDxt/me"]), list(&["me=arwDxt/me", "you=r/me"]));
        assert_eq!(
            commands("", TABLE, "TABLE t", None, &current, &base, "me"),
            "REVOKE DELETE ON TABLE t FROM me;\nGRANT SELECT ON TABLE t TO you;\n"
        );
        assert_eq!(commands("", TABLE, "TABLE t", None, &[], &base, "me"), "REVOKE ALL ON TABLE t FROM me;\n");
    }

    #[test]
    fn a_lost_option_to_grant_is_lost_by_granting_anew() {
        let (base, current) = (list(&["x=r*w/me"]), list(&["x=rw/me"]));
        assert_eq!(
            commands("", TABLE, "TABLE t", None, &current, &base, "me"),
            "REVOKE SELECT,UPDATE ON TABLE t FROM x;\nGRANT SELECT,UPDATE ON TABLE t TO x;\n"
        );
        let (base, current) = (list(&["x=rw/me"]), list(&["x=r*w/me"]));
        assert_eq!(
            commands("", TABLE, "TABLE t", None, &current, &base, "me"),
            "GRANT SELECT ON TABLE t TO x WITH GRANT OPTION;\n"
        );
    }

    #[test]
    fn the_order_of_the_servers_list_is_kept() {
        let base = list(&["me=U/me", "=U/me"]);
        let current = list(&["me=UC/me", "you=UC/me", "=UC/me"]);
        assert_eq!(
            commands("", Class::Schema, "SCHEMA s", None, &current, &base, "me"),
            "REVOKE USAGE ON SCHEMA s FROM PUBLIC;\nGRANT CREATE ON SCHEMA s TO me;\n\
             GRANT ALL ON SCHEMA s TO you;\nGRANT ALL ON SCHEMA s TO PUBLIC;\n"
        );
    }

    #[test]
    fn grants_by_another_role_are_made_as_that_role() {
        let acl = Acl { current: Some(list(&["x=U/y"])), ..Acl::default() };
        assert_eq!(
            acl.commands(Class::Usage, "TYPE t", None, "me"),
            "SET SESSION AUTHORIZATION y;\nGRANT ALL ON TYPE t TO x;\nRESET SESSION AUTHORIZATION;\n"
        );
    }

    #[test]
    fn columns_and_missing_lists() {
        let acl = Acl { current: Some(list(&["x=rw/me"])), ..Acl::default() };
        assert_eq!(
            acl.commands(Class::Column, "TABLE t", Some("\"C\""), "me"),
            "GRANT SELECT(\"C\"),UPDATE(\"C\") ON TABLE t TO x;\n"
        );
        assert_eq!(Acl::default().commands(TABLE, "TABLE t", None, "me"), "");
    }
}
