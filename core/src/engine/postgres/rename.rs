//! Gives schemas other names in the text of definitions.
//!
//! An archive is written with an empty search path, so every name in it has its schema before it, and a schema is a
//! name before a point that has none before itself. Only in queries the same may be a table's alias before a column;
//! there the place decides, and only where the query has such an alias at all.

use std::collections::{HashMap, HashSet};

use super::lex::{Token, replaced, tokens};
use super::quote::{ident, literal};

/// Types whose constants are names of objects.
const NAMING_TYPES: &[&str] = &[
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regtype",
];

/// Functions whose first argument is the name of an object.
const NAMING_FUNCTIONS: &[&str] = &["nextval", "currval", "setval", "pg_get_serial_sequence", "to_regclass"];

/// Which schemas have other names in the target.
#[derive(Debug, Clone, Default)]
pub(super) struct Renames {
    /// From the source's name to the target's.
    pub(super) schemas: HashMap<String, String>,
    /// Objects that the target has already (those of its extensions), by schema and name in the source, and the schema
    /// in which they are there.
    pub(super) settled: HashMap<(String, String), String>,
}

impl Renames {
    pub(super) fn is_empty(&self) -> bool {
        self.schemas.is_empty() && self.settled.is_empty()
    }

    /// The target's name of a schema.
    pub(super) fn schema<'a>(&'a self, schema: &'a str) -> &'a str {
        self.schemas.get(schema).map_or(schema, String::as_str)
    }

    /// The other name of a schema before this name, if it has another there.
    fn of(&self, schema: &str, name: &str) -> Option<&str> {
        let settled = || self.settled.get(&(schema.to_owned(), name.to_owned()));
        let new = if self.settled.is_empty() { None } else { settled() };
        new.or_else(|| self.schemas.get(schema)).map(String::as_str).filter(|new| *new != schema)
    }

    fn knows(&self, schema: &str) -> bool {
        self.schemas.contains_key(schema) || self.settled.keys().any(|(of, _)| of == schema)
    }

    /// The text of a definition with the target's names. `query` says from which keyword on there may be aliases.
    pub(super) fn apply(&self, sql: &str, query: &[&str]) -> String {
        let tokens = tokens(sql);
        let columns = if query.is_empty() { HashSet::new() } else { self.columns(&tokens, query) };
        let mut changes = Vec::new();
        let mut path_until = 0;
        for (i, token) in tokens.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| &tokens[i]);
            let after = |n: usize| tokens.get(i + n);
            if token.is("SET") && after(1).is_some_and(|t| t.text == "search_path") {
                path_until = i + 3 + list_length(&tokens[(i + 3).min(tokens.len())..]);
            }
            let new = if token.string().is_some() {
                self.string(&tokens, i, i < path_until)
            } else if token.is_keyword() || columns.contains(&i) || before.is_some_and(|t| t.is_symbol(".")) {
                None
            } else {
                token.name().and_then(|name| {
                    let new = if after(1).is_some_and(|t| t.is_symbol(".")) {
                        let of = after(2).map(|t| t.name().map_or_else(|| t.text.to_owned(), |n| n.into_owned()));
                        self.of(&name, &of.unwrap_or_default())
                    } else if before.is_some_and(|t| t.is("SCHEMA")) || (i < path_until && i > 2) {
                        self.schemas.get(&*name).map(String::as_str)
                    } else {
                        None
                    };
                    new.map(ident)
                })
            };
            changes.extend(new.map(|new| (token.start..token.end(), new)));
        }
        replaced(sql, &changes)
    }

    /// A string that names an object, with the target's name.
    fn string(&self, tokens: &[Token<'_>], i: usize, in_path: bool) -> Option<String> {
        let text = tokens[i].string()?;
        if in_path {
            return self.schemas.get(&text).map(|new| literal(new));
        }
        let casts = tokens[i + 1..].iter().filter(|t| !(t.is_symbol(")") || t.is_symbol("::") || t.is_symbol(".")));
        let casts: Vec<&str> = casts.take_while(|t| t.name().is_some()).take(4).map(|t| t.text).collect();
        let is_cast = tokens.get(i + 1).is_some_and(|t| t.is_symbol("::"));
        if is_cast && casts.first().is_some_and(|t| *t == "regnamespace") {
            let names = super::lex::tokens(&text);
            let name = names.first().and_then(Token::name)?;
            return self.schemas.get(&*name).map(|new| literal(&ident(new)));
        }
        let named_by_type = is_cast && casts.iter().any(|cast| NAMING_TYPES.contains(cast));
        let called =
            tokens[..i].iter().rev().find(|t| !t.is_symbol("(")).filter(|t| NAMING_FUNCTIONS.contains(&t.text));
        let named_by_call = i > 0 && tokens[i - 1].is_symbol("(") && called.is_some();
        if !(named_by_type || named_by_call) {
            return None;
        }
        let new = self.apply(&text, &[]);
        (new != text).then(|| literal(&new))
    }

    /// Names before a point that are aliases of tables rather than schemas.
    fn columns(&self, tokens: &[Token<'_>], query: &[&str]) -> HashSet<usize> {
        let begins = tokens.iter().position(|t| query.iter().any(|word| t.is(word))).unwrap_or(tokens.len());
        let point = |i: usize| tokens.get(i).is_some_and(|t| t.is_symbol("."));
        let name = |i: usize| tokens.get(i).filter(|t| !t.is_keyword()).and_then(Token::name);
        // A name that stands somewhere without a point behind it may be an alias; these two are so in rules and triggers.
        let mut aliases: HashSet<String> = ["new", "old", "excluded"].map(str::to_owned).into();
        aliases.extend((0..tokens.len()).filter(|&i| !point(i + 1)).filter_map(name).map(|n| n.into_owned()));
        let places = Places::new(tokens);
        let is_column = |&i: &usize| {
            let first = point(i + 1) && !(i > 0 && point(i - 1));
            first && name(i).is_some_and(|n| self.knows(&n) && aliases.contains(&*n)) && places.is_column(i)
        };
        (begins..tokens.len()).filter(is_column).collect()
    }
}

/// How many tokens a list of names takes that are parted by commas.
fn list_length(tokens: &[Token<'_>]) -> usize {
    let comma = |i: usize| tokens.get(i).is_some_and(|t| t.is_symbol(","));
    let mut length = 1;
    while comma(length) {
        length += 2;
    }
    length
}

/// Where in a query a token stands.
struct Places<'t, 'a> {
    tokens: &'t [Token<'a>],
    /// Whether a relation is named here.
    relation: Vec<bool>,
}

/// What is expected next at one depth of parentheses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Expression,
    Relation,
    /// The condition of a join, after which further relations may come.
    Joined,
}

impl<'t, 'a> Places<'t, 'a> {
    fn new(tokens: &'t [Token<'a>]) -> Self {
        let mut relation = vec![false; tokens.len()];
        // The state of each depth, and whether there is a query at it: `FROM` is also a part of some functions.
        let mut stack = vec![(State::Expression, false)];
        for (i, token) in tokens.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| &tokens[i]);
            let before_is = |word: &str| before.is_some_and(|t| t.is(word));
            let top = stack.last().copied().unwrap_or((State::Expression, false));
            relation[i] = top.0 == State::Relation || before_is("INTO") || before_is("UPDATE") || before_is("ONLY");
            let mut state = top;
            match token.text {
                "(" => {
                    let group = before.is_some_and(|t| t.is_symbol("(") || t.is_symbol(","))
                        || before_is("FROM")
                        || before_is("JOIN")
                        || before_is("LATERAL");
                    let inner = if top.0 == State::Relation && group { State::Relation } else { State::Expression };
                    stack.push((inner, false));
                    continue;
                }
                ")" => {
                    if stack.len() > 1 {
                        stack.pop();
                    }
                    continue;
                }
                "," if top.0 == State::Joined => state.0 = State::Relation,
                "SELECT" | "UPDATE" | "DELETE" | "INSERT" => state = (State::Expression, true),
                "FROM" if top.1 && !before_is("DISTINCT") => state.0 = State::Relation,
                "USING" if top.1 && top.0 == State::Expression => state.0 = State::Relation,
                "JOIN" => state.0 = State::Relation,
                "ON" | "USING" if top.0 == State::Relation => state.0 = State::Joined,
                "WHERE" | "GROUP" | "HAVING" | "ORDER" | "WINDOW" | "LIMIT" | "SET" | "VALUES" | "RETURNING"
                | "UNION" | "INTERSECT" | "EXCEPT" | "DO" => state.0 = State::Expression,
                _ => continue,
            }
            if let (Some(last), true) = (stack.last_mut(), token.is(token.text) || token.is_symbol(",")) {
                *last = state;
            }
        }
        Self { tokens, relation }
    }

    /// Whether `alias.column` stands here rather than `schema.object`.
    fn is_column(&self, i: usize) -> bool {
        let before = i.checked_sub(1).map(|i| &self.tokens[i]);
        let before_is = |text: &str| before.is_some_and(|t| t.text == text);
        let called = self.tokens.get(i + 3).is_some_and(|t| t.is_symbol("("));
        let operator = before_is("(") && i > 1 && self.tokens[i - 2].is("OPERATOR");
        // `name schema.type`, as columns are defined.
        let typed = before.is_some_and(|t| !t.is_keyword() && t.name().is_some());
        !(self.relation[i] || called || operator || typed || before_is("::") || before_is("COLLATE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renames(pairs: &[(&str, &str)]) -> Renames {
        let schemas = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Renames { schemas, ..Renames::default() }
    }

    #[track_caller]
    fn becomes(sql: &str, expected: &str) {
        let renames = renames(&[("app", "New one"), ("Odd \"x\"", "odd")]);
        assert_eq!(renames.apply(sql, &[]), expected);
    }

    #[test]
    fn every_qualified_name_is_renamed() {
        becomes(
            "CREATE TABLE app.t (\n    app app.mood DEFAULT 'x'::app.mood NOT NULL,\n    m \"Odd \"\"x\"\"\".d[]\n);\n",
            "CREATE TABLE \"New one\".t (\n    app \"New one\".mood DEFAULT 'x'::\"New one\".mood NOT NULL,\n    m odd.d[]\n);\n",
        );
        becomes(
            "ALTER SEQUENCE app.s OWNED BY app.app.app;",
            "ALTER SEQUENCE \"New one\".s OWNED BY \"New one\".app.app;",
        );
        becomes("SELECT (a OPERATOR(app.===) b)", "SELECT (a OPERATOR(\"New one\".===) b)");
        becomes("GRANT ALL ON SCHEMA app TO app;", "GRANT ALL ON SCHEMA \"New one\" TO app;");
        becomes("CREATE SCHEMA app;\n", "CREATE SCHEMA \"New one\";\n");
        becomes("COMMENT ON TABLE app.t IS 'app.t and app.u';", "COMMENT ON TABLE \"New one\".t IS 'app.t and app.u';");
        becomes("SELECT x.app.t, application.t, \"App\".t", "SELECT x.app.t, application.t, \"App\".t");
    }

    #[test]
    fn strings_that_name_objects_are_renamed_and_no_others() {
        becomes("DEFAULT nextval('app.s'::regclass)", "DEFAULT nextval('\"New one\".s'::regclass)");
        becomes("nextval(('app.s'::text)::regclass)", "nextval(('\"New one\".s'::text)::regclass)");
        becomes(
            "SELECT pg_catalog.setval('app.\"it''s\"', 1, true)",
            "SELECT pg_catalog.setval('\"New one\".\"it''s\"', 1, true)",
        );
        becomes("to_tsvector('app.c'::regconfig, note)", "to_tsvector('\"New one\".c'::regconfig, note)");
        becomes("'app'::regnamespace", "'\"New one\"'::regnamespace");
        becomes("'app.s'::text", "'app.s'::text");
        becomes("f('app.s', 'b'::regclass)", "f('app.s', 'b'::regclass)");
    }

    #[test]
    fn search_paths_are_renamed() {
        becomes(
            "CREATE FUNCTION app.f() SET search_path TO 'app', 'pg_temp'\n SET work_mem TO 'app' AS $$SELECT app.x$$;",
            "CREATE FUNCTION \"New one\".f() SET search_path TO 'New one', 'pg_temp'\n SET work_mem TO 'app' AS $$SELECT app.x$$;",
        );
        becomes(
            "ALTER DATABASE d SET search_path TO public, app;",
            "ALTER DATABASE d SET search_path TO public, \"New one\";",
        );
    }

    #[test]
    fn aliases_in_queries_are_not_taken_for_schemas() {
        let renames = renames(&[("orders", "rescue"), ("new", "newer")]);
        let view = |sql: &str| renames.apply(sql, &["AS"]);
        assert_eq!(
            view(
                "CREATE VIEW orders.v AS\n SELECT orders.id,\n    orders.f(orders.x) AS y,\n    (orders.s)::orders.t AS z\n   \
                 FROM (orders.orders\n     JOIN orders.other o ON ((o.id = orders.id)))\n  WHERE (orders.a OPERATOR(orders.<) orders.b)\n  \
                 GROUP BY orders.id;"
            ),
            "CREATE VIEW rescue.v AS\n SELECT orders.id,\n    rescue.f(orders.x) AS y,\n    (orders.s)::rescue.t AS z\n   \
             FROM (rescue.orders\n     JOIN rescue.other o ON ((o.id = orders.id)))\n  WHERE (orders.a OPERATOR(rescue.<) orders.b)\n  \
             GROUP BY orders.id;"
        );
        assert_eq!(
            view(
                "CREATE VIEW a.v AS SELECT EXTRACT(year FROM orders.d), (1 IS DISTINCT FROM orders.e) FROM a.b orders, orders.c;"
            ),
            "CREATE VIEW a.v AS SELECT EXTRACT(year FROM orders.d), (1 IS DISTINCT FROM orders.e) FROM a.b orders, rescue.c;"
        );
        // Without such an alias nothing can be mistaken.
        assert_eq!(
            view("CREATE VIEW a.v AS SELECT o.x FROM orders.t o;"),
            "CREATE VIEW a.v AS SELECT o.x FROM rescue.t o;"
        );
        let rule = "CREATE RULE r AS ON INSERT TO new.t DO INSTEAD INSERT INTO new.u (a) VALUES (new.a);";
        assert_eq!(
            renames.apply(rule, &["WHERE", "DO"]),
            "CREATE RULE r AS ON INSERT TO newer.t DO INSTEAD INSERT INTO newer.u (a) VALUES (new.a);"
        );
        let trigger =
            "CREATE TRIGGER t BEFORE UPDATE ON new.t FOR EACH ROW WHEN ((new.a > old.a)) EXECUTE FUNCTION new.f();";
        assert_eq!(
            renames.apply(trigger, &["WHEN"]),
            "CREATE TRIGGER t BEFORE UPDATE ON newer.t FOR EACH ROW WHEN ((new.a > old.a)) EXECUTE FUNCTION newer.f();"
        );
    }

    #[test]
    fn what_the_target_has_already_keeps_its_place_there() {
        let mut renames = renames(&[("public", "rescue")]);
        renames.settled.insert(("public".to_owned(), "citext".to_owned()), "extensions".to_owned());
        renames.settled.insert(("public".to_owned(), "%".to_owned()), "public".to_owned());
        assert_eq!(
            renames.apply(
                "CREATE TABLE public.t (a public.citext, CHECK (a OPERATOR(public.%) 'b'::public.citext));",
                &[]
            ),
            "CREATE TABLE rescue.t (a extensions.citext, CHECK (a OPERATOR(public.%) 'b'::extensions.citext));"
        );
    }
}
