//! What a statement is, told by its words.

/// The words of a statement outside of quotes and parentheses, lower-case; quoted names count as the word `"`.
pub(super) fn words(sql: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = sql.chars().peekable();
    let mut depth = 0_u32;
    std::iter::from_fn(move || {
        while let Some(c) = rest.next() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                '\'' | '"' => {
                    // A doubled quote begins a second one: nothing is between them.
                    for inside in rest.by_ref() {
                        if inside == c {
                            break;
                        }
                    }
                    if depth == 0 && c == '"' {
                        return Some("\"".to_owned());
                    }
                }
                _ if c.is_alphanumeric() || c == '_' => {
                    let mut word = String::from(c);
                    while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.')) {
                        word.push(c);
                    }
                    if depth == 0 {
                        return Some(word.to_lowercase());
                    }
                }
                _ => {}
            }
        }
        None
    })
}

/// Whether rows follow a statement in the script.
pub(super) fn copies_from_stdin(sql: &str) -> bool {
    is_copy(sql) && words(sql).collect::<Vec<_>>().windows(2).any(|pair| pair == ["from", "stdin"])
}

fn is_copy(sql: &str) -> bool {
    words(sql).next().as_deref() == Some("copy")
}

/// What a script's statement means for a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is run as it is.
    Plain,
    /// An INSERT: many of them are run together.
    Insert,
    /// It removes something that may not be there.
    Removal,
    /// A comment or a security label.
    Remark,
    /// It sets an owner.
    Owner,
    /// It grants or revokes.
    Privilege,
    /// It is about the database as a whole: the target has its own name and options.
    Database,
    /// It is about the server: roles, tablespaces.
    Global,
    /// A parameter of the session.
    Setting,
    /// BEGIN or COMMIT.
    Transaction,
    /// It moves data between the server and its own files or programs.
    ServerFile,
}

/// Tells what a statement is.
pub(super) fn kind(sql: &str) -> Kind {
    // Most statements of a script of INSERTs, and each may be long.
    if words(sql).next().as_deref() == Some("insert") {
        return Kind::Insert;
    }
    let words: Vec<String> = words(sql).take(16).collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let has = |wanted: &str| words.iter().any(|w| w == wanted);
    match (word(0), word(1)) {
        ("begin" | "commit", "") => Kind::Transaction,
        ("create" | "drop" | "alter", "database") | ("comment", "on")
            if word(1) == "database" || word(2) == "database" =>
        {
            Kind::Database
        }
        ("security", "label") if has("database") => Kind::Database,
        ("alter", "role" | "user") if has("database") => Kind::Database,
        ("grant" | "revoke", _) if on_database(&words) => Kind::Database,
        ("create" | "drop" | "alter", "role" | "tablespace") => Kind::Global,
        ("create" | "drop" | "alter", "user") if word(2) != "mapping" => Kind::Global,
        ("grant" | "revoke", _) if !has("on") => Kind::Global,
        ("grant" | "revoke", _) | ("alter", "default") => Kind::Privilege,
        ("comment", "on") | ("security", "label") => Kind::Remark,
        ("set", _) => Kind::Setting,
        ("drop", _) => Kind::Removal,
        ("alter", "table") if has("drop") && (has("constraint") || has("default") || has("identity")) => Kind::Removal,
        ("alter", _) if sets_owner(sql) => Kind::Owner,
        ("select", "pg_catalog.lo_unlink") => Kind::Removal,
        ("copy", _) => Kind::ServerFile,
        _ => Kind::Plain,
    }
}

fn on_database(words: &[String]) -> bool {
    words.windows(2).any(|pair| pair == ["on", "database"])
}

/// `ALTER … OWNER TO name`
fn sets_owner(sql: &str) -> bool {
    let all: Vec<String> = words(sql).collect();
    all.len() >= 3 && all[all.len() - 3] == "owner" && all[all.len() - 2] == "to"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        for (sql, expected) in [
            ("INSERT INTO public.t VALUES (1)", Kind::Insert),
            ("BEGIN", Kind::Transaction),
            ("COMMIT", Kind::Transaction),
            ("SET transaction_timeout = 0", Kind::Setting),
            ("CREATE DATABASE shop WITH TEMPLATE = template0", Kind::Database),
            ("ALTER DATABASE shop SET search_path TO 'a'", Kind::Database),
            ("COMMENT ON DATABASE shop IS 'x'", Kind::Database),
            ("ALTER ROLE app IN DATABASE shop SET work_mem TO '1MB'", Kind::Database),
            ("GRANT CONNECT ON DATABASE shop TO reader", Kind::Database),
            ("CREATE ROLE app", Kind::Global),
            ("ALTER ROLE app WITH LOGIN PASSWORD 'x'", Kind::Global),
            ("GRANT reader TO app GRANTED BY postgres", Kind::Global),
            ("CREATE USER MAPPING FOR app SERVER s", Kind::Plain),
            ("GRANT SELECT(a,b) ON TABLE public.t TO reader", Kind::Privilege),
            ("ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO x", Kind::Privilege),
            ("COMMENT ON TABLE t IS 'ON DATABASE x'", Kind::Remark),
            ("DROP TABLE IF EXISTS public.t", Kind::Removal),
            ("ALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS t_pkey", Kind::Removal),
            ("ALTER TABLE public.t OWNER TO app", Kind::Owner),
            ("ALTER FUNCTION public.f(a integer) OWNER TO \"My app\"", Kind::Owner),
            ("ALTER TABLE public.t ADD COLUMN owner text", Kind::Plain),
            ("ALTER TABLE ONLY public.database ADD CONSTRAINT x PRIMARY KEY (id)", Kind::Plain),
            ("COPY t FROM '/etc/passwd'", Kind::ServerFile),
            ("COPY t TO PROGRAM 'sh'", Kind::ServerFile),
            ("CREATE TABLE database (role text)", Kind::Plain),
        ] {
            assert_eq!(kind(sql), expected, "{sql}");
        }
        assert!(copies_from_stdin("COPY public.\"from stdin\" (a, \"b\") FROM stdin"));
        assert!(copies_from_stdin("copy t from stdin with (format csv)"));
        assert!(!copies_from_stdin("COPY t (\"from\", stdin) FROM 'x'"));
        assert!(!copies_from_stdin("SELECT copy FROM stdin"));
    }
}
