//! What a target holds already, told as the entries of an archive are.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgConnection;

use crate::error::Result;

use super::archive::Entry;
use super::connect::query;
use super::lex::tokens;

/// The objects of a database.
#[derive(Debug, Default)]
pub(super) struct Present {
    objects: HashSet<(String, String)>,
    /// Extensions with their schemas.
    extensions: HashMap<String, String>,
    /// What extensions brought: extension, schema, name.
    members: Vec<(String, String, String)>,
}

/// One row an object: its class and its name as [`key`] gives them. What the server brings along is not asked for.
const OBJECTS: &str = "\
    SELECT 'relation', n.nspname || chr(31) || c.relname FROM pg_catalog.pg_class c \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'i', 'I', 'c') \
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
    UNION ALL SELECT 'type', n.nspname || chr(31) || t.typname FROM pg_catalog.pg_type t \
      JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid >= 16384 \
    UNION ALL SELECT 'routine', n.nspname || chr(31) || p.proname || '(' || pg_catalog.array_to_string(ARRAY( \
      SELECT pg_catalog.format_type(a.t, NULL) FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY a(t, n) \
      ORDER BY a.n), ', ') || ')' FROM pg_catalog.pg_proc p \
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid >= 16384 \
    UNION ALL SELECT 'OPERATOR', format('%s%s%s (%s, %s)', n.nspname, chr(31), o.oprname, \
      CASE o.oprleft WHEN 0 THEN 'NONE' ELSE pg_catalog.format_type(o.oprleft, NULL) END, \
      pg_catalog.format_type(o.oprright, NULL)) FROM pg_catalog.pg_operator o \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'OPERATOR CLASS', n.nspname || chr(31) || o.opcname || ' USING ' || m.amname \
      FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'OPERATOR FAMILY', n.nspname || chr(31) || o.opfname || ' USING ' || m.amname \
      FROM pg_catalog.pg_opfamily o JOIN pg_catalog.pg_am m ON m.oid = o.opfmethod \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.opfnamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'COLLATION', n.nspname || chr(31) || o.collname FROM pg_catalog.pg_collation o \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.collnamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'CONVERSION', n.nspname || chr(31) || o.conname FROM pg_catalog.pg_conversion o \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.connamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'STATISTICS', n.nspname || chr(31) || o.stxname FROM pg_catalog.pg_statistic_ext o \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.stxnamespace \
    UNION ALL SELECT 'TEXT SEARCH PARSER', n.nspname || chr(31) || o.prsname FROM pg_catalog.pg_ts_parser o \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.prsnamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'TEXT SEARCH TEMPLATE', n.nspname || chr(31) || o.tmplname FROM pg_catalog.pg_ts_template o \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.tmplnamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'TEXT SEARCH DICTIONARY', n.nspname || chr(31) || o.dictname FROM pg_catalog.pg_ts_dict o \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.dictnamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'TEXT SEARCH CONFIGURATION', n.nspname || chr(31) || o.cfgname FROM pg_catalog.pg_ts_config o \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.cfgnamespace WHERE o.oid >= 16384 \
    UNION ALL SELECT 'CAST', format('CAST (%s AS %s)', pg_catalog.format_type(castsource, NULL), \
      pg_catalog.format_type(casttarget, NULL)) FROM pg_catalog.pg_cast WHERE oid >= 16384 \
    UNION ALL SELECT 'SCHEMA', nspname FROM pg_catalog.pg_namespace \
    UNION ALL SELECT 'PROCEDURAL LANGUAGE', lanname FROM pg_catalog.pg_language \
    UNION ALL SELECT 'FOREIGN DATA WRAPPER', fdwname FROM pg_catalog.pg_foreign_data_wrapper \
    UNION ALL SELECT 'SERVER', srvname FROM pg_catalog.pg_foreign_server \
    UNION ALL SELECT 'EVENT TRIGGER', evtname FROM pg_catalog.pg_event_trigger \
    UNION ALL SELECT 'PUBLICATION', pubname FROM pg_catalog.pg_publication \
    UNION ALL SELECT 'ACCESS METHOD', amname FROM pg_catalog.pg_am \
    UNION ALL SELECT 'BLOB', oid::pg_catalog.text FROM pg_catalog.pg_largeobject_metadata";

/// What extensions brought along, by name.
const MEMBERS: &str = "\
    SELECT e.extname, n.nspname, o.name FROM pg_catalog.pg_depend d \
      JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.oid = d.refobjid \
      JOIN (SELECT tableoid AS class, oid, relname AS name, relnamespace AS namespace FROM pg_catalog.pg_class \
        UNION ALL SELECT tableoid, oid, typname, typnamespace FROM pg_catalog.pg_type \
        UNION ALL SELECT tableoid, oid, proname, pronamespace FROM pg_catalog.pg_proc \
        UNION ALL SELECT tableoid, oid, oprname, oprnamespace FROM pg_catalog.pg_operator \
        UNION ALL SELECT tableoid, oid, opcname, opcnamespace FROM pg_catalog.pg_opclass \
        UNION ALL SELECT tableoid, oid, opfname, opfnamespace FROM pg_catalog.pg_opfamily \
        UNION ALL SELECT tableoid, oid, collname, collnamespace FROM pg_catalog.pg_collation \
        UNION ALL SELECT tableoid, oid, prsname, prsnamespace FROM pg_catalog.pg_ts_parser \
        UNION ALL SELECT tableoid, oid, dictname, dictnamespace FROM pg_catalog.pg_ts_dict \
        UNION ALL SELECT tableoid, oid, tmplname, tmplnamespace FROM pg_catalog.pg_ts_template \
        UNION ALL SELECT tableoid, oid, cfgname, cfgnamespace FROM pg_catalog.pg_ts_config) o \
        ON o.class = d.classid AND o.oid = d.objid \
      JOIN pg_catalog.pg_namespace n ON n.oid = o.namespace WHERE d.deptype = 'e' AND n.nspname <> 'pg_catalog'";

impl Present {
    /// Asks the database.
    pub(super) async fn read(conn: &mut PgConnection) -> Result<Self> {
        let doing = "listing what the target holds";
        let pairs = |rows: Vec<Vec<Option<String>>>| {
            rows.into_iter().filter_map(|row| <[_; 2]>::try_from(row).ok().and_then(|[a, b]| Some((a?, b?))))
        };
        let objects = pairs(query(conn, OBJECTS, doing).await?).collect();
        let sql = "SELECT e.extname, n.nspname FROM pg_catalog.pg_extension e \
             JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace";
        let extensions = pairs(query(conn, sql, doing).await?).collect();
        let members = query(conn, MEMBERS, doing).await?.into_iter();
        let members =
            members.filter_map(|row| <[_; 3]>::try_from(row).ok().and_then(|[a, b, c]| Some((a?, b?, c?)))).collect();
        Ok(Self { objects, extensions, members })
    }

    /// Whether the object of this entry is there.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        match entry.desc.as_str() {
            "EXTENSION" => self.extensions.contains_key(&entry.tag),
            _ => key(entry).is_some_and(|key| self.objects.contains(&key)),
        }
    }

    /// Where the objects of the archive's extensions lie in the target, if not where they lay in the source or where
    /// the schemas of these names are to go: by the source's schema and the name.
    pub(super) fn settled(
        &self,
        entries: &[Entry],
        mapped: impl Fn(&str) -> bool,
    ) -> HashMap<(String, String), String> {
        let mut settled = HashMap::new();
        for entry in entries.iter().filter(|e| e.desc == "EXTENSION") {
            let (Some(here), Some(there)) = (self.extensions.get(&entry.tag), schema_of_extension(entry)) else {
                continue;
            };
            if *here == there && !mapped(&there) {
                continue;
            }
            for (_, schema, name) in self.members.iter().filter(|(extension, ..)| *extension == entry.tag) {
                // What lies elsewhere than its extension lies there in every database.
                let source = if schema == here { &there } else { schema };
                settled.insert((source.clone(), name.clone()), schema.clone());
            }
        }
        settled
    }
}

/// `CREATE EXTENSION … WITH SCHEMA name`.
fn schema_of_extension(entry: &Entry) -> Option<String> {
    let tokens = tokens(&entry.defn);
    let at = tokens.iter().position(|t| t.is("SCHEMA"))?;
    tokens.get(at + 1)?.name().map(|name| name.into_owned())
}

/// The class and the name by which an object is told from all others, for entries that create one.
pub(super) fn key(entry: &Entry) -> Option<(String, String)> {
    let in_schema = |name: &str| format!("{}\u{1f}{name}", entry.namespace.as_deref().unwrap_or_default());
    let desc = entry.desc.as_str();
    let tag = entry.tag.as_str();
    let (class, name) = match desc {
        "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "INDEX" | "SEQUENCE" => ("relation", in_schema(tag)),
        "CONSTRAINT" => ("relation", in_schema(&index_of_constraint(entry)?)),
        "TYPE" | "DOMAIN" | "SHELL TYPE" => ("type", in_schema(tag)),
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => ("routine", in_schema(&tag.replace("(*)", "()"))),
        // What tells them apart is in the statement that drops them: types, or the access method.
        "OPERATOR" => (desc, in_schema(&format!("{tag}{}", from(&entry.drop, " (")?))),
        "OPERATOR CLASS" | "OPERATOR FAMILY" => (desc, in_schema(&format!("{tag}{}", from(&entry.drop, " USING ")?))),
        "COLLATION"
        | "CONVERSION"
        | "STATISTICS"
        | "TEXT SEARCH PARSER"
        | "TEXT SEARCH TEMPLATE"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH CONFIGURATION" => (desc, in_schema(tag)),
        "CAST"
        | "SCHEMA"
        | "PROCEDURAL LANGUAGE"
        | "FOREIGN DATA WRAPPER"
        | "SERVER"
        | "EVENT TRIGGER"
        | "PUBLICATION"
        | "ACCESS METHOD"
        | "BLOB" => (desc, tag.to_owned()),
        _ => return None,
    };
    Some((class.to_owned(), name))
}

/// The statement from this text on, without its end.
fn from<'a>(statement: &'a str, text: &str) -> Option<&'a str> {
    let at = statement.rfind(text)?;
    Some(statement[at..].trim_end().trim_end_matches(';'))
}

/// The name of a constraint that has an index of that name.
fn index_of_constraint(entry: &Entry) -> Option<String> {
    let tokens = tokens(&entry.defn);
    let at = tokens.iter().position(|t| t.is("CONSTRAINT"))?;
    let has_index = tokens.get(at + 2).is_some_and(|t| t.is("PRIMARY") || t.is("UNIQUE") || t.is("EXCLUDE"));
    tokens.get(at + 1).filter(|_| has_index)?.name().map(|name| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(desc: &str, tag: &str, defn: &str, drop: &str) -> Entry {
        let namespace = Some("My App".into());
        Entry {
            desc: desc.into(),
            tag: tag.into(),
            defn: defn.into(),
            drop: drop.into(),
            namespace,
            ..Entry::default()
        }
    }

    #[test]
    fn keys_are_as_the_server_tells_them() {
        for (entry, expected) in [
            (entry("TABLE", "Orders", "", ""), ("relation", "My App\u{1f}Orders")),
            (entry("AGGREGATE", "how_many(*)", "", ""), ("routine", "My App\u{1f}how_many()")),
            (
                entry("CONSTRAINT", "t k", "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT \"K\" UNIQUE (a);\n", ""),
                ("relation", "My App\u{1f}K"),
            ),
            (
                entry("OPERATOR", "===", "", "DROP OPERATOR app.=== (app.base, NONE);\n"),
                ("OPERATOR", "My App\u{1f}=== (app.base, NONE)"),
            ),
            (
                entry("OPERATOR CLASS", "o", "", "DROP OPERATOR CLASS app.o USING btree;\n"),
                ("OPERATOR CLASS", "My App\u{1f}o USING btree"),
            ),
        ] {
            assert_eq!(key(&entry), Some((expected.0.to_owned(), expected.1.to_owned())));
        }
        let check = entry("CONSTRAINT", "t k", "ALTER TABLE a.t ADD CONSTRAINT k NOT NULL a NOT VALID;", "");
        assert_eq!((key(&check), key(&entry("TRIGGER", "t x", "", ""))), (None, None));
    }

    #[test]
    fn objects_of_extensions_are_where_the_target_has_them() {
        let present = Present {
            extensions: [("citext".to_owned(), "extensions".to_owned()), ("cron".to_owned(), "cron".to_owned())].into(),
            members: [("citext", "extensions", "citext"), ("cron", "cron", "job")]
                .map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()))
                .into(),
            ..Present::default()
        };
        let create = |name: &str, schema: &str| {
            entry("EXTENSION", name, &format!("CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA {schema};\n"), "")
        };
        let entries = [create("citext", "public"), create("cron", "cron"), create("hstore", "public")];
        let settled = present.settled(&entries, |_| false);
        let moved = (("public".to_owned(), "citext".to_owned()), "extensions".to_owned());
        assert_eq!(settled.into_iter().collect::<Vec<_>>(), [moved]);
    }
}
