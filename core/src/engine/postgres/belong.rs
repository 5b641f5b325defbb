//! What the entries of an archive are about, and to which others they belong.

use std::collections::HashMap;

use super::archive::{Entry, Section};
use super::lex::{Token, tokens};

/// A schema and a name in it, unquoted.
pub(super) type Name = (String, String);

/// Whether an entry is a table or what can be named like one.
pub(super) fn is_relation(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE")
}

/// Whether an entry is a setting of the archive or says how the database is created.
pub(super) fn is_frame(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH" | "DATABASE")
}

/// Whether an entry is a large object, all their contents, or something said of one.
pub(super) fn is_large_object(entry: &Entry) -> bool {
    entry.desc.starts_with("BLOB") || entry.tag.starts_with("LARGE OBJECT")
}

/// Whether an entry holds rows or what stands for them, rather than a definition.
pub(super) fn is_content(entry: &Entry) -> bool {
    entry.section == Section::Data || entry.desc == "MATERIALIZED VIEW DATA" || is_large_object(entry)
}

/// The schema that an entry lies in or is.
pub(super) fn schema(entry: &Entry) -> Option<&str> {
    match entry.desc.as_str() {
        "SCHEMA" => Some(&entry.tag),
        _ => entry.namespace.as_deref().filter(|n| !n.is_empty()),
    }
}

/// What each entry of an archive belongs to.
#[derive(Debug)]
pub(super) struct Homes {
    /// By place in the archive: the number of the entry it belongs to, if it does not stand for itself.
    pub(super) of: Vec<Option<i32>>,
    /// From partitions and other children to their parents, and from owned sequences to their tables, by number.
    pub(super) parents: Vec<(i32, i32)>,
}

impl Homes {
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut relations: HashMap<Name, i32> = HashMap::new();
        let mut others: HashMap<(Name, bool), i32> = HashMap::new();
        for entry in entries {
            let name = (entry.namespace.clone().unwrap_or_default(), entry.tag.clone());
            match entry.desc.as_str() {
                _ if is_relation(entry) && !is_identity(entry) => drop(relations.insert(name, entry.dump_id)),
                "DOMAIN" => drop(others.insert((name, true), entry.dump_id)),
                "SEQUENCE" => drop(others.insert((name, false), entry.dump_id)),
                _ => {}
            }
        }
        let find = |name: Name| relations.get(&name).copied();
        let mut homes = Self { of: Vec::with_capacity(entries.len()), parents: Vec::new() };
        for entry in entries {
            let own = || (entry.namespace.clone().unwrap_or_default(), entry.tag.clone());
            let home = match entry.desc.as_str() {
                // An index that is attached needs both: whichever it is, the other is missed if it does not come.
                "COMMENT" | "SECURITY LABEL" | "ACL" | "INDEX ATTACH" => entry.dependencies.first().copied(),
                // The value of an identity's sequence goes with it, and so with its column.
                "SEQUENCE SET" => find(own()).or_else(|| others.get(&(own(), false)).copied()),
                "TABLE DATA" | "MATERIALIZED VIEW DATA" | "ROW SECURITY" => find(own()),
                "CHECK CONSTRAINT" if entry.defn.starts_with("ALTER DOMAIN ") => {
                    named(entry).and_then(|name| others.get(&(name, true)).copied())
                }
                "SEQUENCE" if !is_identity(entry) => None,
                "SEQUENCE OWNED BY" => {
                    let sequence = find(own());
                    if let (Some(sequence), Some(table)) = (sequence, named(entry).and_then(find)) {
                        homes.parents.push((sequence, table));
                    }
                    sequence
                }
                "TABLE ATTACH" => {
                    let part = find(own());
                    if let (Some(part), Some(parent)) = (part, named(entry).and_then(find)) {
                        homes.parents.push((part, parent));
                    }
                    part
                }
                _ => named(entry).and_then(find),
            };
            let parents = if is_relation(entry) { inherits(entry) } else { Vec::new() };
            homes.parents.extend(parents.into_iter().filter_map(find).map(|parent| (entry.dump_id, parent)));
            homes.of.push(home.filter(|id| *id != entry.dump_id));
        }
        homes
    }
}

/// The tables that a table inherits from.
pub(super) fn inherits(entry: &Entry) -> Vec<Name> {
    if !entry.defn.contains("\nINHERITS (") {
        return Vec::new();
    }
    let tokens = tokens(&entry.defn);
    // Behind the columns: a default may hold anything.
    let Some(at) = tokens.windows(2).rposition(|pair| pair[0].is("INHERITS") && pair[1].is_symbol("(")) else {
        return Vec::new();
    };
    let list: Vec<_> = tokens[at + 2..].iter().take_while(|t| !t.is_symbol(")")).copied().collect();
    list.split(|t| t.is_symbol(",")).filter_map(qualified_name).collect()
}

/// A sequence that is made with its column.
fn is_identity(entry: &Entry) -> bool {
    entry.desc == "SEQUENCE" && entry.defn.starts_with("ALTER TABLE")
}

/// The relation that the statement of an entry names as the one it is about.
pub(super) fn named(entry: &Entry) -> Option<Name> {
    let behind: &[&str] = match entry.desc.as_str() {
        "CONSTRAINT" | "FK CONSTRAINT" | "DEFAULT" | "SEQUENCE" | "TABLE ATTACH" => &["TABLE"],
        "CHECK CONSTRAINT" => &["TABLE", "DOMAIN"],
        "INDEX" | "POLICY" => &["ON"],
        "TRIGGER" if entry.defn.starts_with("ALTER") => &["TABLE"],
        "TRIGGER" => &["ON"],
        "RULE" if entry.defn.starts_with("ALTER") => &["TABLE"],
        "RULE" => &["TO"],
        "STATISTICS" => &["FROM"],
        "PUBLICATION TABLE" => &["TABLE"],
        "SEQUENCE OWNED BY" => &["BY"],
        _ => return None,
    };
    let tokens = tokens(&entry.defn);
    let mut depth = 0_usize;
    let at = tokens.iter().position(|t| {
        match t.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && behind.iter().any(|word| t.is(word))
    })?;
    let rest = &tokens[at + 1..];
    let rest = &rest[rest.iter().take_while(|t| t.is("ONLY") || t.is("IF") || t.is("EXISTS")).count()..];
    qualified_name(rest)
}

/// `schema.name` at the start of these tokens.
fn qualified_name(tokens: &[Token<'_>]) -> Option<Name> {
    let [schema, point, name, ..] = tokens else { return None };
    let (schema, name) = (schema.name()?, name.name()?);
    point.is_symbol(".").then(|| (schema.into_owned(), name.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_what_they_are_about() {
        for (desc, defn, name) in [
            ("INDEX", "CREATE UNIQUE INDEX \"on x\" ON ONLY public.\"T\" USING btree (a) WHERE (b);", "T"),
            ("CONSTRAINT", "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT p PRIMARY KEY (id);", "t"),
            (
                "FK CONSTRAINT",
                "ALTER FOREIGN TABLE public.t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES public.u(id);",
                "t",
            ),
            (
                "TRIGGER",
                "CREATE TRIGGER \"ON\" BEFORE UPDATE OF a ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();",
                "t",
            ),
            ("TRIGGER", "ALTER TABLE public.t DISABLE TRIGGER x;", "t"),
            ("RULE", "CREATE RULE r AS\n    ON INSERT TO public.t DO INSTEAD NOTHING;", "t"),
            ("POLICY", "CREATE POLICY p ON public.t TO x USING (true);", "t"),
            ("STATISTICS", "CREATE STATISTICS public.s ON a, (EXTRACT(year FROM d)) FROM public.t;", "t"),
            ("SEQUENCE OWNED BY", "ALTER SEQUENCE public.s OWNED BY public.t.id;", "t"),
            ("TABLE ATTACH", "ALTER TABLE ONLY public.t ATTACH PARTITION public.p FOR VALUES IN (1);", "t"),
            ("PUBLICATION TABLE", "ALTER PUBLICATION \"TABLE\" ADD TABLE ONLY public.t (a) WHERE ((a > 1));", "t"),
            (
                "SEQUENCE",
                "ALTER TABLE public.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (\n SEQUENCE NAME public.s);",
                "t",
            ),
        ] {
            let entry = Entry { desc: desc.into(), defn: defn.into(), ..Entry::default() };
            assert_eq!(named(&entry), Some(("public".to_owned(), name.to_owned())), "{defn}");
        }
        let table = Entry { desc: "TABLE".into(), defn: "CREATE TABLE public.t ();".into(), ..Entry::default() };
        assert_eq!((named(&table), inherits(&table)), (None, vec![]));
        let defn = "CREATE TABLE a.t (\n    x text DEFAULT '\nINHERITS (a.b)'\n)\nINHERITS (a.p, \"B\".q);\n";
        let parents = [("a", "p"), ("B", "q")].map(|(s, n)| (s.to_owned(), n.to_owned()));
        assert_eq!(inherits(&Entry { defn: defn.into(), ..table }), parents);
    }
}
