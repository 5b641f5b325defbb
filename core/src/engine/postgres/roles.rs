//! The roles that statements of an archive name.

use std::collections::BTreeSet;

use super::archive::Entry;

/// Roles that are granted to, revoked from, or named by policies and default privileges in this entry.
pub(super) fn mentioned(entry: &Entry, roles: &mut BTreeSet<String>) {
    let words = words(&entry.defn);
    match entry.desc.as_str() {
        // `… TO role`, `… FROM role`, `FOR ROLE role`, `SET SESSION AUTHORIZATION role`, `GRANTED BY role`.
        "ACL" | "DEFAULT ACL" => {
            for pair in words.windows(2) {
                let role = match &pair[0] {
                    Word::Plain(word) => ["TO", "FROM", "ROLE", "AUTHORIZATION", "BY"].contains(&word.as_str()),
                    Word::Quoted(_) | Word::Other => false,
                };
                if role {
                    roles.extend(pair[1].role());
                }
            }
        }
        // `CREATE POLICY name ON table … TO role, role USING (…)`: the list behind the first TO.
        "POLICY" => {
            let list = words.iter().skip_while(|w| **w != Word::Plain("TO".to_owned())).skip(1);
            let end = |w: &&Word| !matches!(w, Word::Plain(w) if w == "USING" || w == "WITH");
            roles.extend(list.take_while(end).filter_map(Word::role));
        }
        // `CREATE USER MAPPING FOR role SERVER …`, `ALTER ROLE role IN DATABASE …`.
        "USER MAPPING" | "DATABASE PROPERTIES" => {
            for pair in words.windows(2) {
                if pair[0] == Word::Plain("FOR".to_owned()) || pair[0] == Word::Plain("ROLE".to_owned()) {
                    roles.extend(pair[1].role());
                }
            }
        }
        _ => {}
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// A keyword or a name without quotes.
    Plain(String),
    /// A name in double quotes, or a role in single quotes.
    Quoted(String),
    /// Anything else.
    Other,
}

impl Word {
    /// The role of this name, unless it stands for everyone or for whoever asks.
    fn role(&self) -> Option<String> {
        match self {
            Self::Quoted(name) => Some(name.clone()),
            Self::Plain(name) if name.chars().any(char::is_uppercase) => None,
            Self::Plain(name) => Some(name.clone()),
            Self::Other => None,
        }
    }
}

/// The words of a statement. Names come quoted or in lower case, keywords in upper case.
fn words(sql: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '"' || c == '\'' {
            let mut name = String::new();
            while let Some(inner) = chars.next() {
                if inner != c {
                    name.push(inner);
                } else if chars.next_if_eq(&c).is_some() {
                    name.push(c);
                } else {
                    break;
                }
            }
            words.push(Word::Quoted(name));
        } else if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                word.push(next);
            }
            words.push(Word::Plain(word));
        } else if !c.is_whitespace() && c != ',' {
            words.push(Word::Other);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::engine::postgres::archive::Section;

    fn roles(desc: &str, defn: &str) -> Vec<String> {
        let entry = Entry {
            dump_id: 1,
            catalog: 0,
            oid: 0,
            tag: String::new(),
            desc: desc.into(),
            section: Section::None,
            defn: defn.into(),
            drop: String::new(),
            copy: None,
            namespace: None,
            tablespace: None,
            table_am: None,
            owner: String::new(),
            dependencies: vec![],
            file: None,
        };
        let mut roles = BTreeSet::new();
        mentioned(&entry, &mut roles);
        roles.into_iter().collect()
    }

    #[test]
    fn grants_name_their_roles() {
        assert_eq!(
            roles(
                "ACL",
                "REVOKE ALL ON TABLE public.t FROM PUBLIC;\nGRANT SELECT(a,b),UPDATE ON TABLE public.\"to\" TO reader;\n\
                 SET SESSION AUTHORIZATION \"Big Boss\";\nGRANT ALL ON FUNCTION public.f(\"from\" text) TO \"a\"\"b\" WITH GRANT OPTION;\n\
                 RESET SESSION AUTHORIZATION;\n"
            ),
            ["Big Boss", "a\"b", "reader"]
        );
        assert_eq!(
            roles("DEFAULT ACL", "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA x GRANT SELECT ON TABLES TO web;\n"),
            ["app", "web"]
        );
    }

    #[test]
    fn policies_name_theirs_before_their_expressions() {
        let sql = "CREATE POLICY p ON public.t FOR SELECT TO a, \"B c\" USING ((x SIMILAR TO 'y'::text));\n";
        assert_eq!(roles("POLICY", sql), ["B c", "a"]);
        assert_eq!(roles("POLICY", "CREATE POLICY p ON public.t USING (true);\n"), Vec::<String>::new());
        assert_eq!(roles("TABLE", "CREATE TABLE t (a text DEFAULT 'TO x');\n"), Vec::<String>::new());
    }
}
