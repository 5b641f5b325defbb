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
    let (mut first, mut second) = (String::new(), String::new());
    for item in base.iter().filter(|i| !current.contains(i)).filter_map(|i| Item::parse(i)) {
        let (plain, grantable) = item.privileges(class, column, false);
        debug_assert!(grantable.is_empty());
        if !plain.is_empty() {
            first.push_str(&format!("{prefix}REVOKE {plain} ON {on} FROM {};\n", item.grantee()));
        }
    }
    // The server keeps the order in which privileges were granted; grants that rest on others come after them.
    for item in current.iter().filter(|i| !base.contains(i)).filter_map(|i| Item::parse(i)) {
        let (plain, grantable) = item.privileges(class, column, true);
        let by_other = !owner.is_empty() && item.grantor != owner;
        let own = !by_other && item.to == owner;
        let out = if own { &mut first } else { &mut second };
        if plain.is_empty() && grantable.is_empty() {
            continue;
        }
        if by_other {
            out.push_str(&format!("SET SESSION AUTHORIZATION {};\n", ident(&item.grantor)));
        }
        if !plain.is_empty() {
            out.push_str(&format!("{prefix}GRANT {plain} ON {on} TO {};\n", item.grantee()));
        }
        if !grantable.is_empty() {
            out.push_str(&format!("{prefix}GRANT {grantable} ON {on} TO {} WITH GRANT OPTION;\n", item.grantee()));
        }
        if by_other {
            out.push_str("RESET SESSION AUTHORIZATION;\n");
        }
    }
    first + &second
}

/// One `grantee=privileges/grantor`.
struct Item<'a> {
    to: String,
    codes: &'a str,
    grantor: String,
}

impl<'a> Item<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (to, rest) = role(text)?;
        let (codes, rest) = rest.strip_prefix('=')?.split_once('/')?;
        let (grantor, rest) = role(rest)?;
        rest.is_empty().then_some(Self { to, codes, grantor })
    }

    fn grantee(&self) -> String {
        if self.to.is_empty() { "PUBLIC".to_owned() } else { ident(&self.to) }
    }

    /// The keywords without and with grant option; without telling them apart all are in the first.
    fn privileges(&self, class: Class, column: Option<&str>, tell_apart: bool) -> (String, String) {
        let column = column.map(|c| format!("({c})")).unwrap_or_default();
        let (mut plain, mut grantable) = (Vec::new(), Vec::new());
        let all = class.privileges();
        for (code, word) in all {
            let Some(at) = self.codes.find(*code) else { continue };
            let starred = self.codes[at + 1..].starts_with('*');
            let list = if starred && tell_apart { &mut grantable } else { &mut plain };
            list.push(format!("{word}{column}"));
        }
        // ALL where it is all: that also covers what a newer server adds.
        let join = |list: Vec<String>| {
            if list.len() == all.len() { format!("ALL{column}") } else { list.join(",") }
        };
        (join(plain), join(grantable))
    }
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
        let (base, current) = (list(&["me=arwdDxt/me"]), list(&["you=r/me", "me=r/me"]));
        assert_eq!(
            commands("", TABLE, "TABLE t", None, &current, &base, "me"),
            "REVOKE ALL ON TABLE t FROM me;\nGRANT SELECT ON TABLE t TO me;\nGRANT SELECT ON TABLE t TO you;\n"
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
