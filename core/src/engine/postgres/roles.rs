//! The roles that statements of an archive name.

use std::collections::BTreeSet;

use super::archive::Entry;
use super::lex::{Kind, Token, tokens};

/// Roles that are granted to, revoked from, or named by policies, user mappings and default privileges in this entry.
pub(super) fn mentioned(entry: &Entry, roles: &mut BTreeSet<String>) {
    roles.extend(places(entry).iter().filter_map(name));
}

/// Where an entry's statements name roles, `PUBLIC` and the like among them.
pub(super) fn places(entry: &Entry) -> Vec<Token<'_>> {
    let tokens = tokens(&entry.defn);
    let behind = |words: &[&str]| -> Vec<Token<'_>> {
        tokens.windows(2).filter(|pair| words.iter().any(|word| pair[0].is(word))).map(|pair| pair[1]).collect()
    };
    match entry.desc.as_str() {
        // `… TO role`, `… FROM role`, `FOR ROLE role`, `SET SESSION AUTHORIZATION role`, `GRANTED BY role`.
        "ACL" | "DEFAULT ACL" => behind(&["TO", "FROM", "ROLE", "AUTHORIZATION", "BY"]),
        // `ALTER ROLE role IN DATABASE …`; what SET … TO is followed by is no role.
        "DATABASE PROPERTIES" => behind(&["ROLE"]),
        "USER MAPPING" => behind(&["FOR"]).into_iter().take(1).collect(),
        // `CREATE POLICY name ON table … TO role, role USING (…)`: the list behind the first TO.
        "POLICY" => {
            let list = tokens.iter().skip_while(|t| !t.is("TO")).skip(1);
            let list = list.take_while(|t| !(t.is("USING") || t.is("WITH") || t.is_symbol(";")));
            list.filter(|t| !t.is_symbol(",")).copied().collect()
        }
        _ => Vec::new(),
    }
}

/// The role of this name, unless it stands for everyone or for whoever asks. No role can be called `public`, and
/// pg_dump writes it in lower case for user mappings.
pub(super) fn name(token: &Token<'_>) -> Option<String> {
    let name = match token.kind {
        Kind::String => token.string(),
        _ if token.is_keyword() => None,
        _ => token.name().map(|name| name.into_owned()),
    };
    name.filter(|name| name != "public")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(desc: &str, defn: &str) -> Vec<String> {
        let entry = Entry { desc: desc.into(), defn: defn.into(), ..Entry::default() };
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
        assert_eq!(roles("USER MAPPING", "CREATE USER MAPPING FOR public SERVER s;\n"), Vec::<String>::new());
    }

    #[test]
    fn policies_name_theirs_before_their_expressions() {
        let sql = "CREATE POLICY p ON public.t FOR SELECT TO a, \"B c\" USING ((x SIMILAR TO 'y'::text));\n";
        assert_eq!(roles("POLICY", sql), ["B c", "a"]);
        assert_eq!(roles("POLICY", "CREATE POLICY p ON public.t USING (true);\n"), Vec::<String>::new());
        assert_eq!(roles("TABLE", "CREATE TABLE t (a text DEFAULT 'TO x');\n"), Vec::<String>::new());
    }

    #[test]
    fn mappings_and_settings_name_theirs() {
        let sql = "CREATE USER MAPPING FOR \"Odd one\" SERVER s OPTIONS (\n    x 'FOR y'\n);\n";
        assert_eq!(roles("USER MAPPING", sql), ["Odd one"]);
        assert_eq!(roles("USER MAPPING", "CREATE USER MAPPING FOR PUBLIC SERVER s;\n"), Vec::<String>::new());
        let sql = "ALTER ROLE app IN DATABASE d SET search_path TO 'x';\n";
        assert_eq!(roles("DATABASE PROPERTIES", sql), ["app"]);
    }
}
