//! Whatever SQLite can hold comes back as it was.

use super::*;

const SHOP: &str = "
    CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers, total REAL, note BLOB);
    CREATE INDEX orders_by_customer ON orders(customer);
    CREATE VIEW totals AS SELECT customer, sum(total) FROM orders GROUP BY customer;
    CREATE TRIGGER note AFTER INSERT ON orders WHEN new.note IS NULL
        BEGIN UPDATE orders SET note = x'00' WHERE id = new.id; END;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        INSERT INTO customers SELECT i, 'customer ' || i FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO orders SELECT i, 1 + i % 500, i * 0.25, zeroblob(i % 60) FROM n;
";

#[test]
fn a_database_comes_back_whole() {
    run(async {
        let place = Place::new();
        let source = place.database("My shop.db", SHOP);
        let (dump, warnings) = round_trip(&place, &source).await;
        assert_eq!(dump.name, "My_shop.db");
        assert!(dump.parts.len() > 3);
        assert_eq!((dump.rows("customers"), dump.rows("orders")), (500, 5000));
        assert!(warnings.is_empty() && dump.summary.warnings.is_empty(), "{warnings:?} {:?}", dump.summary.warnings);
        assert_eq!(dump.summary.point.kind, "change_counter");
        assert_eq!(integer(&place.path("restored copy.db"), "SELECT count(*) FROM totals"), 500);
    });
}

#[test]
fn an_unchanged_database_gives_the_same_bytes_and_a_change_moves_few_parts() {
    run(async {
        let place = Place::new();
        let source = place.database("shop.db", SHOP);
        let first = dump(&source, &place.options()).await.unwrap();
        let second = dump(&source, &place.options()).await.unwrap();
        assert!(first.parts == second.parts);
        assert_eq!(first.summary.point.position, second.summary.point.position);
        open(&source).run("UPDATE orders SET total = 1 WHERE id = 4999").unwrap();
        let third = dump(&source, &place.options()).await.unwrap();
        assert_ne!(first.summary.point.position, third.summary.point.position);
        let changed = first.parts.iter().zip(&third.parts).filter(|(a, b)| a != b).count();
        assert!(changed <= 2, "{changed} of {} parts", first.parts.len());
    });
}

#[test]
fn every_page_size_is_cut_on_page_boundaries() {
    run(async {
        for page in [512_u64, 1024, 4096, 8192, 65536] {
            let place = Place::new();
            let source = place.database("p.db", &format!("PRAGMA page_size = {page}; {SHOP}"));
            let mut options = place.options();
            options.part_bytes = 100_000;
            let dump = dump(&source, &options).await.unwrap();
            let size = dump.parts[0].len() as u64;
            assert!(size.is_multiple_of(page) && size <= 100_000, "{page}: {size}");
            round_trip(&place, &source).await;
        }
    });
}

#[test]
fn databases_without_anything_in_them() {
    run(async {
        let place = Place::new();
        let empty = place.path("empty.db");
        File::create(&empty).unwrap();
        let (dump, _) = round_trip(&place, &empty).await;
        assert!(dump.summary.tables.is_empty());
        let source = place.database("bare.db", "PRAGMA user_version = 7");
        round_trip(&place, &source).await;
        assert_eq!(integer(&place.path("restored copy.db"), "PRAGMA user_version"), 7);
        let source = place.database("zero.db", "CREATE TABLE unused(a)");
        let (dump, _) = round_trip(&place, &source).await;
        assert_eq!((dump.rows("unused"), dump.summary.tables[0].hash.as_str()), (0, "0".repeat(32).as_str()));
    });
}

#[test]
fn settings_of_the_file_come_along() {
    run(async {
        let place = Place::new();
        let sql = format!(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA encoding = 'UTF-16be'; PRAGMA application_id = 99; {SHOP}
             PRAGMA journal_mode = WAL; INSERT INTO customers(name) VALUES ('žluť 🐎'); DELETE FROM orders WHERE id > 100"
        );
        let source = place.database("s.db", &sql);
        round_trip(&place, &source).await;
        let copy = open(&place.path("restored copy.db"));
        assert_eq!(copy.integer("PRAGMA auto_vacuum").unwrap(), 2);
        assert_eq!(copy.integer("PRAGMA application_id").unwrap(), 99);
        assert_eq!(copy.integer("SELECT count(*) FROM pragma_encoding WHERE encoding = 'UTF-16be'").unwrap(), 1);
        assert_eq!(copy.integer("SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'").unwrap(), 1);
        assert_eq!(copy.integer("SELECT count(*) FROM customers WHERE name = 'žluť 🐎'").unwrap(), 1);
    });
}

#[test]
fn every_kind_of_table_is_summarized() {
    run(async {
        let place = Place::new();
        let source = place.database(
            "kinds.db",
            r#"CREATE TABLE "odd ""name"", quoted"("a b" INT, "select" TEXT);
               INSERT INTO "odd ""name"", quoted" VALUES (1, 'x');
               CREATE TABLE "order"(x); CREATE TABLE "Ünï"(x);
               CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
               INSERT INTO keyed VALUES ('b', 2), ('a', 1);
               CREATE TABLE made(a INT, b INT AS (a * 2) VIRTUAL, c INT AS (a * 3) STORED);
               INSERT INTO made(a) VALUES (5);
               CREATE TABLE strict(a ANY) STRICT;
               CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE);
               INSERT INTO counted(x) VALUES ('one'), ('two');
               CREATE VIRTUAL TABLE words USING fts5(body);
               INSERT INTO words VALUES ('the quick brown fox'), ('jumps');
               CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
               INSERT INTO boxes VALUES (1, 0, 1), (2, 5, 6);
               CREATE TEMP TABLE not_in_the_file(x);
               ANALYZE"#,
        );
        let (dump, warnings) = round_trip(&place, &source).await;
        assert!(warnings.is_empty(), "{warnings:?}");
        let names: Vec<&str> = dump.summary.tables.iter().map(|t| t.name.as_str()).collect();
        for name in [
            r#""odd ""name"", quoted""#,
            r#""order""#,
            r#""Ünï""#,
            "keyed",
            "strict",
            "words_content",
            "boxes_node",
            "sqlite_sequence",
            "sqlite_stat1",
        ] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|n| ["words", "boxes", "not_in_the_file"].contains(n)));
        let made = dump.summary.tables.iter().find(|t| t.name == "made").unwrap();
        assert_eq!(made.columns, ["a", "c"]);
        let copy = open(&place.path("restored copy.db"));
        assert_eq!(copy.integer("SELECT count(*) FROM words WHERE words MATCH 'fox'").unwrap(), 1);
        assert_eq!(copy.integer("SELECT id FROM boxes WHERE x0 > 3").unwrap(), 2);
    });
}

#[test]
fn values_of_different_types_have_different_hashes() {
    run(async {
        let place = Place::new();
        let mut seen = std::collections::HashSet::new();
        let rows = [
            "NULL",
            "0",
            "1",
            "-1",
            "1.0",
            "0.0",
            "-0.0",
            "9e999",
            "''",
            "x''",
            "'1'",
            "x'31'",
            "'1.0'",
            "'a', 'b'",
            "'ab', ''",
            "'', 'ab'",
            "NULL, 'ab'",
            "9223372036854775807",
            "-9223372036854775808",
            "char(0)",
            "char(0, 0)",
            "x'00'",
        ];
        for (i, row) in rows.iter().enumerate() {
            let columns = if row.contains("', '") || row.starts_with("NULL,") { "(a, b)" } else { "(a)" };
            let sql = format!("CREATE TABLE t(a BLOB, b BLOB); INSERT INTO t{columns} VALUES ({row})");
            let source = place.database(&format!("v{i}.db"), &sql);
            let dump = dump(&source, &place.options()).await.unwrap();
            assert!(seen.insert(dump.summary.tables[0].hash.clone()), "{row}");
        }
    });
}

#[test]
fn the_hash_of_a_known_row_stays_what_it_is() {
    run(async {
        let place = Place::new();
        let sql = "CREATE TABLE t(a, b, c, d, e); INSERT INTO t VALUES (NULL, -2, 0.5, 'é', x'ff00')";
        let dump = dump(&place.database("v.db", sql), &place.options()).await.unwrap();
        let mut row = vec![0, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        row.extend(0.5_f64.to_le_bytes());
        row.extend([3, 2, 0, 0, 0, 0xc3, 0xa9, 4, 2, 0, 0, 0, 0xff, 0]);
        let mut hasher = crate::format::checksum::RowHasher::default();
        hasher.add(&row);
        assert_eq!(dump.summary.tables[0].hash, hasher.hash());
    });
}

#[test]
fn what_only_the_application_knows_does_not_stand_in_the_way() {
    run(async {
        let place = Place::new();
        // Neither the function nor the collation exists here: the schema is written as an application would leave it.
        let source = place.database(
            "app.db",
            "CREATE TABLE c(a TEXT, b TEXT, CHECK (length(a) > 0)); CREATE INDEX c_b ON c(b); CREATE TABLE d(x);
             INSERT INTO c VALUES ('x', 'y'), ('z', 'w'); INSERT INTO d VALUES (1);
             CREATE TABLE k(b TEXT, PRIMARY KEY (b)) WITHOUT ROWID; INSERT INTO k VALUES ('q');
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(replace(sql, 'b TEXT', 'b TEXT COLLATE app'), 'length', 'app_length')
             WHERE name IN ('c', 'k');",
        );
        let (dump, warnings) = round_trip(&place, &source).await;
        assert_eq!((dump.rows("c"), dump.rows("d")), (2, 1));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].code, "unchecked_table");
        let codes: Vec<&str> = dump.summary.warnings.iter().map(|w| w.code.as_str()).collect();
        assert_eq!(codes, ["unchecked_table", "uncounted_table"], "{:?}", dump.summary.warnings);
        assert!(!dump.summary.tables.iter().any(|t| t.name == "k"));
    });
}

#[test]
fn probing_tells_version_and_size() {
    run(async {
        let place = Place::new();
        let source = place.database("shop.db", SHOP);
        let database = engine(&source);
        let probe = database.probe().await.unwrap();
        assert_eq!(probe.size_bytes, Some(fs::metadata(&source).unwrap().len()));
        assert!(probe.version.starts_with("3."));
        assert_eq!((database.database(), database.describe()), ("shop", source.display().to_string()));
    });
}

#[test]
fn smoke_queries_read_and_nothing_else() {
    run(async {
        let place = Place::new();
        let source = place.database("shop.db", &format!("{SHOP} PRAGMA journal_mode = WAL"));
        let before = fs::read(&source).unwrap();
        let database = engine(&source);
        for (query, good) in [
            ("SELECT count(*) > 10 FROM orders; -- enough", true),
            ("SELECT count(*) < 10 FROM orders", false),
            ("SELECT 'f'", false),
            ("SELECT 'false'", false),
            ("SELECT '0'", false),
            ("SELECT 0.0", false),
            ("SELECT 't', 0", true),
            ("SELECT \"no column\" = 'no column'", true),
            ("SELECT 1 WHERE 1 = 2", true),
            ("SELECT sum(total) > 0 FROM orders JOIN customers ON customers.id = customer", true),
        ] {
            assert_eq!(database.smoke(query).await.unwrap(), good, "{query}");
        }
        for query in [
            "DELETE FROM orders",
            "SELECT 1; SELECT 2",
            "",
            "SELECT nonsense",
            "SELECT * FROM nowhere",
            "PRAGMA user_version = 3",
            "ATTACH 'other.db' AS other",
        ] {
            assert!(database.smoke(query).await.is_err(), "{query}");
        }
        assert_eq!(fs::read(&source).unwrap(), before);
        assert_eq!(place.files(), ["shop.db"]);
    });
}

#[test]
fn a_sibling_can_be_filled_compared_and_discarded() {
    run(async {
        let place = Place::new();
        let source = place.database("shop.db", &format!("PRAGMA journal_mode = WAL; {SHOP}"));
        let dump = dump(&source, &place.options()).await.unwrap();
        let drill = engine(&source).sibling("drill-1", Some(place.work.path())).unwrap();
        restore(&dump, Path::new(&drill.describe()), false).await.unwrap();
        let mut wanted = dump.summary.tables.clone();
        wanted[0].name = "not_there".to_owned();
        assert_eq!(drill.summarize(&wanted, 4).await.unwrap(), dump.summary.tables[1..]);
        drill.discard().await.unwrap();
        drill.discard().await.unwrap();
        assert!(place.left_behind().is_empty(), "{:?}", place.left_behind());
        assert_eq!(code(engine(&source).sibling("../x", None)), Code::InvalidOption);
    });
}
