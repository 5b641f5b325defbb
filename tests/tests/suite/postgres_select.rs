//! Parts of a PostgreSQL backup: one table beside the live one, without a schema, rows alone, other names, dropped first.

use serde_json::Value;
use testkit::{PgVersion, Postgres, tool};

use crate::postgres_life::{SHOP, everything, same_schema};
use crate::world::{World, answer, refusal};

/// A store with one backup of a database that the command line restores from.
struct Stored {
    world: World,
    server: &'static Postgres,
}

impl Stored {
    fn new(version: PgVersion, database: &str, more: &[&str]) -> Option<Self> {
        let server = Postgres::shared(version)?;
        let stored = Self { world: World::new(), server };
        let url = server.url(database);
        stored.world.run(&[&["backup", "--database", &url, "--name", "shop"], more].concat());
        Some(stored)
    }

    /// The shop with orders that use an extension and a function, and an audit log of its own.
    fn shop(name: &str) -> Option<Self> {
        let server = Postgres::shared(PgVersion::V15)?;
        shop(server, name);
        Self::new(PgVersion::V15, name, &[])
    }

    fn command(&self, target: &str, more: &[&str]) -> std::process::Command {
        let url = self.server.url(target);
        let arguments = ["restore", "latest", "--name", "shop", "--target", &url];
        self.world.command(&[&arguments, more].concat())
    }

    fn restore(&self, target: &str, more: &[&str]) -> Value {
        answer(&mut self.command(target, more))
    }

    /// The code and the message of what must be refused, which changes nothing.
    fn refused(&self, target: &str, more: &[&str]) -> (String, String) {
        let before = self.state(target);
        let (_, error) = refusal(&mut self.command(target, more));
        assert_eq!(self.state(target), before, "something was written: {error}");
        let next = error["next"].as_str().unwrap_or_else(|| panic!("no next step in {error}"));
        (error["code"].as_str().unwrap().to_owned(), format!("{}; {next}", error["message"].as_str().unwrap()))
    }

    fn state(&self, target: &str) -> Option<(String, Vec<String>)> {
        self.server.exists(target).then(|| (self.server.pg_dump_schema(target), self.server.content(target)))
    }
}

fn shop(server: &Postgres, database: &str) {
    server.create(database);
    server.psql(database, SHOP);
    server.psql(
        database,
        "CREATE EXTENSION citext;
         CREATE SCHEMA audit;
         CREATE TABLE audit.log (id serial PRIMARY KEY, what text);
         INSERT INTO audit.log (what) SELECT 'w' || i FROM generate_series(1, 20) i;
         CREATE DOMAIN sku AS citext CHECK (VALUE <> '');
         CREATE SEQUENCE item_no START 7;
         CREATE FUNCTION next_sku() RETURNS text LANGUAGE sql AS 'SELECT ''s'' || nextval(''item_no'')';
         CREATE TABLE item (id serial PRIMARY KEY, code sku NOT NULL DEFAULT 'x', placed date, order_id bigint,
             note citext, parent integer REFERENCES item, UNIQUE (code, id), CHECK (id > 0),
             FOREIGN KEY (order_id, placed) REFERENCES orders (id, placed));
         CREATE INDEX item_note ON item (lower(note::text)) WHERE note IS NOT NULL;
         CREATE TRIGGER touched BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION touch();
         ALTER TABLE item DISABLE TRIGGER touched;
         ALTER TABLE item ENABLE ROW LEVEL SECURITY;
         CREATE POLICY all_of_it ON item USING (true);
         COMMENT ON TABLE item IS 'things';
         COMMENT ON COLUMN item.note IS 'said of it';
         GRANT SELECT ON item TO PUBLIC;
         INSERT INTO item (code, order_id, placed, note, parent)
             SELECT 'c' || i, i, date '2024-06-01' + i % 400, CASE WHEN i % 3 = 0 THEN 'n' END, nullif(i - 1, 0)
             FROM generate_series(1, 300) i;",
    );
}

/// The codes of a report's warnings.
fn codes(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|w| w["code"].as_str().unwrap()).collect()
}

fn hash(server: &Postgres, database: &str, table: &str) -> String {
    server.psql(
        database,
        &format!("SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {table} t"),
    )
}

/// What stock pg_dump writes of one table.
fn table_definition(server: &Postgres, database: &str, table: &str) -> String {
    let dump = tool(server.client("pg_dump").args(["-s", "-d", database, "-t", table]));
    let telling = |line: &&str| !(line.is_empty() || line.starts_with("--") || line.starts_with('\\'));
    dump.lines().filter(telling).fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn one_table_comes_back_beside_the_live_one() {
    let Some(stored) = Stored::shop("select_beside") else { return };
    let server = stored.server;
    let (schema, content) = (server.pg_dump_schema("select_beside"), server.content("select_beside"));
    let original = hash(server, "select_beside", "public.item");
    let definition = table_definition(server, "select_beside", "public.item");
    server.psql("select_beside", "UPDATE item SET parent = NULL; DELETE FROM item WHERE id % 2 = 0");

    let report = stored.restore("select_beside", &["--table", "public.item", "--map-schema", "public=rescue"]);
    assert_eq!(codes(&report), ["foreign_key_left_out"], "{report}");
    assert!(report["warnings"][0]["message"].as_str().unwrap().contains("public.orders"), "{report}");
    assert_eq!(hash(server, "select_beside", "rescue.item"), original);
    assert_eq!(hash(server, "select_beside", "public.item").split('|').next(), Some("150"));
    // It is the table as it was, but for its schema and the foreign key; the extension's types are where they were.
    let restored = table_definition(server, "select_beside", "rescue.item");
    let expected = definition.replace("public.", "rescue.").replace("rescue.citext", "public.citext");
    let foreign_key = |text: &str| -> String {
        let lines: Vec<&str> = text.lines().collect();
        let kept = lines.iter().enumerate().filter(|(i, line)| {
            let next = lines.get(i + 1).copied().unwrap_or_default();
            !line.contains("REFERENCES rescue.orders") && !next.contains("REFERENCES rescue.orders")
        });
        kept.map(|(_, line)| format!("{line}\n")).collect()
    };
    same_schema(&restored, &foreign_key(&expected), "rescue.item");
    // It stands on its own: what it uses is in its schema.
    server.psql("select_beside", "INSERT INTO rescue.item (placed) VALUES (now())");
    let uses = "SELECT pg_get_serial_sequence('rescue.item', 'id'), pg_get_expr(adbin, adrelid) FROM pg_attrdef
         WHERE adrelid = 'rescue.item'::regclass AND adnum = 1";
    assert_eq!(server.psql("select_beside", uses), "rescue.item_id_seq|nextval('rescue.item_id_seq'::regclass)\n");
    server.psql("select_beside", "DROP SCHEMA rescue CASCADE; INSERT INTO item SELECT * FROM item LIMIT 0");
    assert_eq!(server.pg_dump_schema("select_beside"), schema, "the live objects were touched");
    assert_ne!(server.content("select_beside"), content);
    server.drop("select_beside");
}

#[test]
fn a_collision_is_named_before_anything_is_written() {
    let Some(stored) = Stored::shop("select_collision") else { return };
    let (code, message) = stored.refused("select_collision", &["--table", "item"]);
    assert_eq!(code, "target_not_empty");
    assert!(message.contains("TABLE public.item") && message.contains("--map-schema"), "{message}");
    // Without a selection a database that holds something is refused as a whole.
    let (code, _) = stored.refused("select_collision", &[]);
    assert_eq!(code, "target_not_empty");
    let (code, message) = stored.refused("select_collision", &["--overwrite"]);
    assert_eq!(code, "target_not_empty");
    assert!(message.contains("and"), "{message}");
    stored.server.drop("select_collision");
}

#[test]
fn a_pattern_that_names_nothing_tells_what_is_near() {
    let Some(stored) = Stored::shop("select_nothing") else { return };
    stored.server.drop("select_nothing_target");
    for (arguments, near) in [
        (["--table", "public.itme"], "public.item"),
        (["--schema", "audits"], "audit"),
        (["--exclude-data", "logs"], "audit.log"),
        (["--map-schema", "publc=x"], "public"),
    ] {
        let (code, message) = stored.refused("select_nothing_target", &arguments);
        assert_eq!(code, "nothing_selected", "{message}");
        assert!(message.contains(&format!("did you mean {near}")), "{message}");
    }
    let (code, message) = stored.refused("select_nothing_target", &["--table", "a.b.c"]);
    assert_eq!(code, "invalid_option", "{message}");
    assert!(!stored.server.exists("select_nothing_target"));
    stored.server.drop("select_nothing");
}

#[test]
fn an_excluded_schema_is_left_out_as_pg_dump_leaves_it_out() {
    let Some(stored) = Stored::shop("select_exclude") else { return };
    let server = stored.server;
    server.drop("select_exclude_restored");
    let report = stored.restore("select_exclude_restored", &["--exclude-schema", "audit"]);
    assert_eq!(codes(&report), [""; 0], "{report}");
    let stock = tool(server.client("pg_dump").args(["-s", "-N", "audit", "-d", "select_exclude"]));
    let telling = |line: &&str| !(line.is_empty() || line.starts_with("--") || line.starts_with('\\'));
    let stock: String = stock.lines().filter(telling).map(|line| format!("{line}\n")).collect();
    same_schema(&server.pg_dump_schema("select_exclude_restored"), &stock, "without audit");
    let content: Vec<String> =
        server.content("select_exclude").into_iter().filter(|t| !t.starts_with("audit.")).collect();
    assert_eq!(server.content("select_exclude_restored"), content);
    server.drop("select_exclude_restored");
    server.drop("select_exclude");
}

#[test]
fn definitions_first_and_rows_later_are_the_whole() {
    let Some(stored) = Stored::shop("select_two_steps") else { return };
    let server = stored.server;
    server.drop("select_two_steps_restored");
    let report = stored.restore("select_two_steps_restored", &["--schema-only"]);
    assert!(report["bytes"].as_u64().unwrap() < 200_000, "rows were read: {report}");
    same_schema(
        &server.pg_dump_schema("select_two_steps_restored"),
        &server.pg_dump_schema("select_two_steps"),
        "schema only",
    );
    assert_eq!(server.psql("select_two_steps_restored", "SELECT count(*) FROM item"), "0\n");
    assert_eq!(server.psql("select_two_steps_restored", "SELECT count(*) FROM pg_largeobject_metadata"), "0\n");

    // One table's rows alone refer to rows that are not there: found out, and taken back.
    let (code, message) = stored.refused("select_two_steps_restored", &["--data-only", "--table", "item"]);
    assert_eq!(code, "database_error", "{message}");
    assert!(message.contains("item_order_id_placed_fkey"), "{message}");

    let report = stored.restore("select_two_steps_restored", &["--data-only"]);
    assert_eq!(codes(&report), [""; 0], "{report}");
    assert_eq!(server.content("select_two_steps_restored"), server.content("select_two_steps"));
    assert_eq!(
        server.psql("select_two_steps_restored", "SELECT nextval('item_id_seq'), nextval('item_no')"),
        "301|7\n"
    );

    // Rows are not added to rows unless that is what is wanted.
    let (code, message) = stored.refused("select_two_steps_restored", &["--data-only", "--table", "audit.log"]);
    assert_eq!(code, "target_not_empty", "{message}");
    server.psql("select_two_steps_restored", "ALTER TABLE audit.log DROP CONSTRAINT log_pkey");
    stored.restore("select_two_steps_restored", &["--data-only", "--table", "audit.log", "--overwrite"]);
    assert_eq!(server.psql("select_two_steps_restored", "SELECT count(*) FROM audit.log"), "40\n");

    server.psql("select_two_steps_restored", "TRUNCATE audit.log; ALTER TABLE audit.log RENAME what TO why");
    let (code, message) = stored.refused("select_two_steps_restored", &["--data-only", "--table", "audit.log"]);
    assert_eq!(code, "database_not_found", "{message}");
    assert!(message.contains("audit.log.what"), "{message}");
    server.drop("select_two_steps_restored");
    server.drop("select_two_steps");
}

#[test]
fn clean_replaces_what_was_named_and_nothing_else() {
    let Some(stored) = Stored::shop("select_clean") else { return };
    let server = stored.server;
    let (schema, content) = (server.pg_dump_schema("select_clean"), server.content("select_clean"));
    server.psql("select_clean", "UPDATE item SET note = 'lost'; ALTER TABLE item ADD COLUMN later integer");
    let report = stored.restore("select_clean", &["--table", "item", "--clean"]);
    assert_eq!(codes(&report), ["foreign_key_left_out"], "{report}");
    server.psql(
        "select_clean",
        "ALTER TABLE ONLY item ADD FOREIGN KEY (order_id, placed) REFERENCES orders (id, placed)",
    );
    same_schema(&server.pg_dump_schema("select_clean"), &schema, "cleaned");
    assert_eq!(server.content("select_clean"), content);

    // What something else depends on stays, and so does everything.
    server.psql("select_clean", "CREATE VIEW on_it AS SELECT id FROM item");
    let (code, message) = stored.refused("select_clean", &["--table", "item", "--clean"]);
    assert_eq!(code, "database_error", "{message}");
    assert!(message.contains("view on_it depends on table item") || message.contains("public.on_it"), "{message}");

    // All of it, beside what is not of the backup.
    server.psql("select_clean", "DROP VIEW on_it; CREATE TABLE own AS SELECT 1 AS mine; DELETE FROM audit.log");
    stored.restore("select_clean", &["--clean"]);
    assert_eq!(server.psql("select_clean", "SELECT mine FROM own; DROP TABLE own"), "1\n");
    same_schema(&server.pg_dump_schema("select_clean"), &schema, "cleaned whole");
    assert_eq!(server.content("select_clean"), content);
    server.drop("select_clean");
}

#[test]
fn schemas_and_roles_come_back_under_other_names() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    shop(server, "select_map");
    server.psql(
        "select_map",
        "DO $$ BEGIN CREATE ROLE select_alice; EXCEPTION WHEN duplicate_object THEN END $$;
         DO $$ BEGIN CREATE ROLE select_app; EXCEPTION WHEN duplicate_object THEN END $$;
         DO $$ BEGIN CREATE ROLE select_gone; EXCEPTION WHEN duplicate_object THEN END $$;
         ALTER TABLE audit.log OWNER TO select_alice;
         GRANT SELECT ON item TO select_gone;
         CREATE POLICY theirs ON item TO select_gone USING (note IS NULL);
         ALTER DEFAULT PRIVILEGES FOR ROLE select_alice IN SCHEMA audit GRANT SELECT ON TABLES TO select_gone;
         CREATE FUNCTION audit.count_all() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM audit.log';
         CREATE VIEW audit.audit AS SELECT audit.id, audit.what FROM audit.log audit WHERE audit.id > 3;",
    );
    let stored = Stored::new(PgVersion::V15, "select_map", &[]).unwrap();
    server.psql("select_map", "DROP OWNED BY select_gone; DROP ROLE select_gone");
    server.drop("select_mapped");
    let (code, message) = stored.refused("select_mapped", &["--map-schema", "audit=Old Log"]);
    assert_eq!(code, "missing_role", "{message}");
    let owners = ["--map-owner", "select_alice=select_app", "--map-owner", "select_gone=select_app"];
    let maps = ["--map-schema", "audit=Old Log", "--map-schema", "public=shop"];
    let report = stored.restore("select_mapped", &[&owners[..], &maps[..]].concat());
    assert_eq!(codes(&report), ["schema_in_body"], "{report}");
    assert!(report["warnings"][0]["message"].as_str().unwrap().contains("count_all()"), "{report}");
    let asked = "SELECT relowner::regrole FROM pg_class WHERE oid = '\"Old Log\".log'::regclass;
         SELECT has_table_privilege('select_app', 'shop.item', 'SELECT');
         SELECT polroles::regrole[] FROM pg_policy WHERE polname = 'theirs';
         SELECT count(*) FROM \"Old Log\".audit;
         SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(server.psql("select_mapped", asked), "select_app\nt\n{select_app}\n17\n0\n");
    let renamed: Vec<String> = server
        .content("select_map")
        .into_iter()
        .map(|t| t.replace("audit.log|", "\"Old Log\".log|").replacen("public.", "shop.", 1))
        .collect();
    let mut restored = server.content("select_mapped");
    let mut renamed = renamed;
    restored.sort();
    renamed.sort();
    assert_eq!(restored, renamed);
    server.drop("select_mapped");
    server.drop("select_map");
}

#[test]
fn every_table_of_sakila_comes_back_alone() {
    let Some(data) = testkit::sample_data() else { return };
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    testkit::load_sakila(server, "select_sakila", &data);
    let stored = Stored::new(PgVersion::V15, "select_sakila", &[]).unwrap();
    for table in ["film", "rental", "payment", "customer_list"] {
        let schema = format!("rescue_{table}");
        let map = format!("public={schema}");
        let pattern = format!("public.{table}");
        if table == "customer_list" {
            // A view without its tables.
            let report = stored.restore("select_sakila", &["--table", &pattern, "--map-schema", &map]);
            assert!(codes(&report).contains(&"left_out"), "{report}");
            continue;
        }
        stored.restore("select_sakila", &["--table", &pattern, "--map-schema", &map]);
        let (live, restored) = (format!("public.{table}"), format!("{schema}.{table}"));
        assert_eq!(hash(server, "select_sakila", &restored), hash(server, "select_sakila", &live), "{table}");
        let things = |schema: &str| {
            let of = format!("'{schema}.{table}'::regclass");
            server.psql(
                "select_sakila",
                &format!(
                    "SELECT (SELECT count(*) FROM pg_index WHERE indrelid = {of}),
                     (SELECT count(*) FROM pg_trigger WHERE tgrelid = {of} AND NOT tgisinternal),
                     (SELECT count(*) FROM pg_constraint WHERE conrelid = {of} AND contype <> 'f'),
                     (SELECT count(*) FROM pg_inherits WHERE inhparent = {of})"
                ),
            )
        };
        assert_eq!(things(&schema), things("public"), "{table}");
    }
    server.drop("select_sakila");
}

#[test]
fn a_backup_of_a_part_says_so_and_is_proven() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    shop(server, "select_part");
    server.psql(
        "select_part",
        "DO $$ BEGIN CREATE ROLE select_clerk LOGIN PASSWORD 'clerk'; EXCEPTION WHEN duplicate_object THEN END $$;
         ALTER TABLE item DISABLE ROW LEVEL SECURITY;
         GRANT SELECT ON item, item_id_seq TO select_clerk",
    );
    // The role may read the one table, and nothing else.
    let url = server.url("select_part").replace("postgres://postgres:", "postgres://select_clerk:");
    let clerk = url.replace(server.password(), "clerk");
    let world = World::new();
    let whole = ["backup", "--database", &clerk, "--name", "shop"];
    let (_, error) = refusal(&mut world.command(&whole));
    assert_eq!(error["code"], "database_denied", "{error}");
    let report = world.run(&[&whole[..], &["--table", "public.item"]].concat());
    assert_eq!((report["tables"].as_u64(), codes(&report)), (Some(1), vec!["foreign_key_left_out"]), "{report}");

    let stored = Stored { world, server };
    let text = |arguments: &[&str]| tool(&mut stored.world.command(&[arguments, &["--name", "shop"]].concat()));
    assert!(text(&["list"]).contains(", a part"), "{}", text(&["list"]));
    assert!(text(&["show"]).contains("a part    tables public.item"), "{}", text(&["show"]));
    assert_eq!(stored.world.run(&["list", "--name", "shop"])[0]["partial"], true);
    let url = server.url("select_part");
    let drilled = stored.world.run(&["drill", "latest", "--name", "shop", "--database", &url]);
    assert_eq!(drilled["rows"], 300, "{drilled}");
    server.drop("select_part_restored");
    let report = stored.restore("select_part_restored", &[]);
    assert_eq!(codes(&report)[0], "partial_backup", "{report}");
    assert_eq!(hash(server, "select_part_restored", "item"), hash(server, "select_part", "item"));
    // What pg_restore makes of it is the same.
    let folder = stored.world.path("dump");
    stored.world.run(&["export", "latest", "--name", "shop", folder.to_str().unwrap()]);
    server.create("select_part_stock");
    tool(server.client("pg_restore").args(["--exit-on-error", "-d", "select_part_stock"]).arg(&folder));
    same_schema(
        &server.pg_dump_schema("select_part_stock"),
        &server.pg_dump_schema("select_part_restored"),
        "pg_restore of a part",
    );
    assert_eq!(server.content("select_part_stock"), server.content("select_part_restored"));

    for (more, rows) in [(&["--schema-only"][..], "0"), (&["--exclude-data", "item", "--exclude-schema", "audit"], "0")]
    {
        let backup = ["backup", "--database", &url, "--name", "shop"];
        stored.world.run(&[&backup[..], more].concat());
        stored.world.run(&["drill", "latest", "--name", "shop", "--database", &url]);
        server.drop("select_part_restored");
        stored.restore("select_part_restored", &[]);
        assert_eq!(server.psql("select_part_restored", "SELECT count(*) FROM item").trim(), rows, "{more:?}");
    }
    assert_eq!(server.psql("select_part_restored", "SELECT count(*) FROM orders").trim(), "5000");
    for database in ["select_part", "select_part_restored", "select_part_stock"] {
        server.drop(database);
    }
}

#[test]
fn a_role_without_privileges_is_told_what_it_may_not_do() {
    // Roles of its own: others must not own or see anything of this.
    let Some(server) = Postgres::shared(PgVersion::V16) else { return };
    everything(server, "select_least");
    let stored = Stored::new(PgVersion::V16, "select_least", &[]).unwrap();
    server.psql(
        "postgres",
        "DO $$ BEGIN CREATE ROLE select_maker LOGIN CREATEDB PASSWORD 'maker'; EXCEPTION WHEN duplicate_object THEN END $$;
         DO $$ BEGIN CREATE ROLE select_holder LOGIN PASSWORD 'maker'; EXCEPTION WHEN duplicate_object THEN END $$",
    );
    let restore = |role: &str, target: &str, more: &[&str]| {
        let url = server.url(target).replace("postgres://postgres:", &format!("postgres://{role}:"));
        let url = url.replace(server.password(), "maker");
        stored.world.command(&[&["restore", "latest", "--name", "shop", "--target", &url], more].concat())
    };
    server.drop("select_made");
    let (_, error) = refusal(&mut restore("select_maker", "select_made", &["--no-owner", "--no-privileges"]));
    assert_eq!(error["code"], "database_denied", "{error}");
    for what in ["EVENT TRIGGER ended", "ACCESS METHOD my_heap", "FOREIGN DATA WRAPPER wrapper", "TYPE app.base"] {
        assert!(error["message"].as_str().unwrap().contains(what), "{what}: {error}");
    }
    assert!(error["next"].as_str().unwrap().contains("--no-superuser"), "{error}");
    assert!(!server.exists("select_made"), "something was written");
    // A table of such a type cannot do without it.
    let least = ["--no-owner", "--no-privileges", "--no-superuser"];
    let (_, error) = refusal(&mut restore("select_maker", "select_made", &least));
    assert!(error["message"].as_str().unwrap().contains(" needs "), "{error}");
    // Nor can one be given to a role that is not ours.
    let (_, error) = refusal(&mut restore("select_maker", "select_made", &["--table", "app.customers"]));
    assert!(error["next"].as_str().unwrap().contains("--no-owner"), "{error}");

    let some = ["--schema", "select", "--table", "app.customers", "--table", "app.plain"];
    let arguments = [&least[..], &some[..]].concat();
    answer(&mut restore("select_maker", "select_made", &arguments));
    let owned = "SELECT DISTINCT relowner::regrole FROM pg_class WHERE relname IN ('customers', 'order', 'plain')";
    assert_eq!(server.psql("select_made", owned).trim(), "select_maker");
    // Without CREATEDB, into a database that is the role's own.
    server.create("select_held");
    server.psql("postgres", "ALTER DATABASE select_held OWNER TO select_holder");
    answer(&mut restore("select_holder", "select_held", &arguments));
    assert_eq!(hash(server, "select_held", "app.customers"), hash(server, "select_least", "app.customers"));
    // And into one that is not.
    server.create("select_foreign");
    let (_, error) = refusal(&mut restore("select_holder", "select_foreign", &arguments));
    assert_eq!(error["code"], "database_denied", "{error}");
    assert!(error["next"].as_str().unwrap().contains("GRANT CREATE ON DATABASE"), "{error}");
    for database in ["select_least", "select_made", "select_held", "select_foreign"] {
        server.drop(database);
    }
}

#[test]
fn everything_of_18_comes_back_on_older_servers() {
    let Some(newest) = Postgres::shared(PgVersion::V18) else { return };
    everything(newest, "select_18");
    let stored = Stored::new(PgVersion::V18, "select_18", &[]).unwrap();
    let content = newest.content("select_18");
    for version in [PgVersion::V17, PgVersion::V16, PgVersion::V15] {
        let Some(server) = Postgres::shared(version) else { continue };
        // The roles are the server's.
        everything(server, "select_older");
        server.drop("select_older");
        let url = server.url("select_older");
        let restore = ["restore", "latest", "--name", "shop", "--target", &url];
        let mut more = Vec::new();
        if version == PgVersion::V16 {
            // The build at hand has no contrib extensions: that is found out before anything is written.
            let (_, error) = refusal(&mut stored.world.command(&restore));
            assert_eq!(error["code"], "missing_extension", "{error}");
            assert!(!server.exists("select_older"), "{error}");
            continue;
        }
        if version == PgVersion::V15 {
            let (_, error) = refusal(&mut stored.world.command(&restore));
            assert_eq!(error["code"], "unsupported_database", "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("app.virtual_child") && message.contains("app.virtual_part"), "{error}");
            assert!(!server.exists("select_older"), "{error}");
            more = vec!["--exclude-table", "app.virtual_child", "--exclude-table", "app.virtual_part"];
        }
        let report = stored.world.run(&[&restore[..], &more].concat());
        let told = report["warnings"].to_string();
        for what in ["app.loose", "app.virtual", "periods_pk", "in_periods", "d_later", "not_nulls_c_not_null"] {
            assert!(told.contains(what) || what == "d_later", "{version:?}: {what} is not in {told}");
        }
        let excluded = |table: &&String| {
            !more.iter().any(|name| table.starts_with(&format!("{name}|")))
                // Read through the parent, a virtual column is its parent's expression, and a stored one its partition's.
                && !table.starts_with("app.virtual_parted|")
                && !(version == PgVersion::V15
                    && (table.starts_with("app.virtual|") || table.starts_with("app.virtual_grandchild|")))
        };
        let expected: Vec<&String> = content.iter().filter(excluded).collect();
        let restored = server.content("select_older");
        let missing: Vec<_> = expected.iter().filter(|t| !restored.contains(t)).collect();
        assert!(missing.is_empty(), "{version:?}: {missing:?}\n{restored:?}");
        // What is enforced there, though in other words.
        for refused in [
            "INSERT INTO app.not_nulls VALUES (1, NULL, 3, 4, 50)",
            "INSERT INTO app.not_nulls VALUES (1, 2, 3, NULL, 51)",
            "INSERT INTO app.periods VALUES (1, '[2020-01-01,2021-01-01)'), (1, '[2020-06-01,2020-07-01)')",
        ] {
            let mut psql = server.client("psql");
            let output = psql.args(["-Xqv", "ON_ERROR_STOP=1", "-d", "select_older", "-c", refused]).output().unwrap();
            assert!(!output.status.success(), "{version:?} took {refused}");
        }
        server.drop("select_older");
    }
    newest.drop("select_18");
}

#[test]
fn sqlite_says_that_its_backups_are_whole() {
    let world = World::new();
    let url = world.make("small.db", crate::world::SMALL);
    world.run(&["backup", "--database", &url]);
    let target = world.sqlite("other.db");
    let restore = ["restore", "latest", "--name", "small", "--target", &target];
    for more in [["--table", "person"], ["--map-schema", "a=b"]] {
        let (exit, error) = refusal(&mut world.command(&[&restore[..], &more[..]].concat()));
        assert_eq!((exit, error["code"].as_str()), (2, Some("invalid_option")), "{error}");
        assert!(error["next"].is_string() && !world.path("other.db").exists(), "{error}");
    }
}
