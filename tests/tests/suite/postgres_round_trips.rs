//! Random tables of every type, with extreme values and awkward names: dumped, restored and compared.
//!
//! `LASTGOOD_ROUND_TRIPS` says how many tables there are on each server, `LASTGOOD_ROUND_TRIPS_SEED` which is the first.

use std::fmt::Write as _;

use lastgood::Settings;
use testkit::{PgVersion, Postgres};

use crate::postgres_life::same_schema;
use crate::random::Random;
use crate::world::World;

/// Tables of a test run on each server; `just soak` makes 10,000.
const TABLES: u64 = 200;

/// Tables of one database.
const BATCH: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn random_tables_come_back_the_same_from_15_and_18() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let tables = number("LASTGOOD_ROUND_TRIPS").unwrap_or(TABLES);
    let first = number("LASTGOOD_ROUND_TRIPS_SEED").unwrap_or_else(|| Random::fresh().next() % 1_000_000_000);
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        for seed in (first..first + tables).step_by(usize::try_from(BATCH).unwrap()) {
            comes_back(server, seed, BATCH.min(first + tables - seed)).await;
        }
    }
}

async fn comes_back(server: &Postgres, seed: u64, tables: u64) {
    let what = format!(
        "{:?}, seed {seed}; once more: LASTGOOD_ROUND_TRIPS_SEED={seed} LASTGOOD_ROUND_TRIPS={tables} \
         cargo test -p lastgood-tests --test suite postgres_round_trips::",
        server.version()
    );
    let (database, restored) = ("round_trips", "round_trips_restored");
    let world = World::new();
    let mut script = String::from(TYPES);
    for seed in seed..seed + tables {
        script += &table(&mut Random::new(seed), seed);
    }
    let script = world.file("tables.sql", &script);
    server.create(database);
    server.drop(restored);
    server.psql_file(database, script.as_ref());
    let mut settings = Settings::default();
    settings.part_bytes = 64 << 10;
    let vault = world.builder(&server.url(database)).settings(settings).open().await.unwrap();
    let backup = vault.backup().await.unwrap_or_else(|e| panic!("{e}\n{what}"));
    assert_eq!(backup.warnings, [], "{what}");
    vault.restore(&backup.id).target(server.url(restored)).await.unwrap_or_else(|e| panic!("{e}\n{what}"));
    let (content, original) = (server.content(restored), server.content(database));
    let differs = content.iter().zip(&original).find(|(a, b)| a != b);
    assert!(differs.is_none() && content.len() == original.len(), "{differs:?}\n{what}");
    assert!(content.len() as u64 >= tables, "{what}");
    same_schema(&server.pg_dump_schema(restored), &server.pg_dump_schema(database), &what);
    server.drop(restored);
    server.drop(database);
}

const TYPES: &str = r#"
    SET client_min_messages = 'warning';
    CREATE TYPE "odd ""enum""" AS ENUM ('a', '', 'it''s', 'back\slash', 'com,ma', '{', '"', 'NULL', '🦀');
    CREATE TYPE pair AS (a int, "B ""b""" text);
    CREATE DOMAIN short AS varchar(20) CHECK (VALUE <> 'never');
    CREATE TYPE textrange AS RANGE (subtype = text);
"#;

/// A table with rows, as SQL.
fn table(random: &mut Random, seed: u64) -> String {
    let name = quoted(&identifier(random, seed));
    let columns: Vec<(String, Kind)> =
        (0..1 + random.below(6)).map(|i| (quoted(&identifier(random, i as u64)), kind(random))).collect();
    let mut sql = format!("CREATE {}TABLE {name} (", ["", "", "", "UNLOGGED "][random.below(4)]);
    for (i, (column, kind)) in columns.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        write!(sql, "{comma}{column} {}", kind.name).unwrap();
        if random.below(4) == 0 {
            write!(sql, " DEFAULT {}", kind.value(random)).unwrap();
        }
    }
    sql += ");\n";
    for _ in 0..random.below(12) {
        let values: Vec<String> = columns.iter().map(|(_, kind)| kind.nullable(random)).collect();
        writeln!(sql, "INSERT INTO {name} VALUES ({});", values.join(", ")).unwrap();
    }
    if random.below(3) == 0 {
        writeln!(sql, "COMMENT ON TABLE {name} IS {};", literal(&text(random, 100))).unwrap();
        writeln!(sql, "COMMENT ON COLUMN {name}.{} IS {};", columns[0].0, literal(&text(random, 100))).unwrap();
    }
    if random.below(4) == 0 {
        // A column that is gone, and one that came later.
        writeln!(
            sql,
            "ALTER TABLE {name} DROP COLUMN {}, ADD COLUMN later text DEFAULT {};",
            columns[0].0,
            literal(&text(random, 30))
        )
        .unwrap();
    }
    sql
}

/// A type and how its values are made.
struct Kind {
    name: String,
    value: Value,
}

enum Value {
    /// One of these.
    Of(&'static [&'static str]),
    Text(usize),
    Bytes,
    Whole(u32),
    Bits,
    Array(Box<Kind>),
    Pair,
}

impl Kind {
    fn nullable(&self, random: &mut Random) -> String {
        if random.below(6) == 0 { "NULL".to_owned() } else { self.value(random) }
    }

    /// A value as an expression of this type.
    fn value(&self, random: &mut Random) -> String {
        format!("{}::{}", literal(&self.plain(random)), self.name)
    }

    /// A value as its type reads it.
    fn plain(&self, random: &mut Random) -> String {
        match &self.value {
            Value::Of(values) => values[random.below(values.len())].to_owned(),
            Value::Text(most) => text(random, *most),
            Value::Bytes => {
                let length = length(random, 3000);
                (0..length).fold("\\x".to_owned(), |hex, _| hex + &format!("{:02x}", random.below(256)))
            }
            Value::Whole(bits) => {
                let most = i64::MAX >> (64 - bits);
                let any = random.next().cast_signed() >> (64 - bits);
                [most, -most - 1, 0, -1, any][random.below(5)].to_string()
            }
            Value::Bits => (0..random.below(70)).map(|_| ['0', '1'][random.below(2)]).collect(),
            Value::Array(of) => array(of, random),
            Value::Pair => {
                let number = ["", "0", "-2147483648"][random.below(3)];
                format!("({number},{})", element(&text(random, 40)))
            }
        }
    }
}

fn array(of: &Kind, random: &mut Random) -> String {
    if random.below(8) == 0 {
        return "{}".to_owned();
    }
    let (rows, columns) = (1 + random.below(3), 1 + random.below(4));
    let mut row = |_| {
        let one =
            |random: &mut Random| if random.below(5) == 0 { "NULL".to_owned() } else { element(&of.plain(random)) };
        let elements: Vec<String> = (0..columns).map(|_| one(random)).collect();
        format!("{{{}}}", elements.join(if of.name == "box" { ";" } else { "," }))
    };
    let all: Vec<String> = (0..rows).map(&mut row).collect();
    let low = random.below(7).cast_signed() - 3;
    let (last, delimiter) = (low + rows.cast_signed() - 1, if of.name == "box" { ";" } else { "," });
    match random.below(3) {
        0 => all[0].clone(),
        1 => format!("{{{}}}", all.join(delimiter)),
        _ => format!("[{low}:{last}][0:{}]={{{}}}", columns - 1, all.join(delimiter)),
    }
}

/// An element of an array or a record, quoted.
fn element(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn kind(random: &mut Random) -> Kind {
    let (name, value) = scalar(random);
    let kind = Kind { name: name.to_owned(), value };
    if random.below(5) == 0 {
        return Kind { name: format!("{name}[]"), value: Value::Array(Box::new(kind)) };
    }
    kind
}

#[allow(clippy::too_many_lines, reason = "a list")]
fn scalar(random: &mut Random) -> (&'static str, Value) {
    use Value::{Bits, Bytes, Of, Pair, Text, Whole};
    match random.below(50) {
        0 => ("smallint", Whole(16)),
        1 => ("integer", Whole(32)),
        2 => ("bigint", Whole(64)),
        3 => (
            "numeric",
            Of(&[
                "NaN",
                "Infinity",
                "-Infinity",
                "0",
                "-0.0000000000000000000001",
                "1e300",
                "123456789012345678901234567890.12345678901234567890",
            ]),
        ),
        4 => ("numeric(30,10)", Of(&["NaN", "12345678901234567890.0123456789", "-0.0000000001"])),
        5 => ("numeric(3,-2)", Of(&["12345", "-100", "99949"])),
        6 => ("real", Of(&["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1", "16777217"])),
        7 => (
            "double precision",
            Of(&["NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.30000000000000004"]),
        ),
        8 => ("boolean", Of(&["t", "f"])),
        9 | 10 => ("text", Text(300)),
        11 => ("text", Text(200_000)),
        12 => ("varchar(50)", Text(50)),
        13 => ("char(7)", Text(7)),
        14 => ("name", Text(12)),
        15 => ("\"char\"", Of(&["", "a", "\\", "'", "\t", "\\377", "\\200"])),
        16 | 17 => ("bytea", Bytes),
        18 => ("date", Of(&["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "2024-02-29", "0001-01-01"])),
        19 => ("time", Of(&["00:00:00", "24:00:00", "23:59:59.999999", "12:34:56.000001"])),
        20 => ("timetz", Of(&["00:00:00+15:59:59", "24:00:00-15:59:59", "12:00:00.5+02"])),
        21 => (
            "timestamp",
            Of(&[
                "infinity",
                "-infinity",
                "4714-11-24 00:00:00 BC",
                "294276-12-31 23:59:59.999999",
                "2024-03-31 02:30:00",
            ]),
        ),
        22 => (
            "timestamptz",
            Of(&[
                "infinity",
                "-infinity",
                "4714-11-24 00:00:00+00 BC",
                "294276-12-31 23:59:59.999999+00",
                "2024-03-31 02:30:00+02",
            ]),
        ),
        23 => ("timestamp(0)", Of(&["2024-03-31 02:30:00.6", "1999-12-31 23:59:59.5"])),
        24 => (
            "interval",
            Of(&[
                "0",
                "-178000000 years",
                "1 mon -1 day 00:00:00.000001",
                "178000000 years 11 mons",
                "-1 year -2 mons +3 days -04:05:06.7",
            ]),
        ),
        25 => ("interval day to second(3)", Of(&["1 day 02:03:04.5678", "-1 day"])),
        26 => ("uuid", Of(&["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"])),
        27 => ("json", Of(&["null", " { \"a\" :  [1, 2.50, \"\\u00e9\\n\"] , \"a\": 1 }", "\"\\\\ \\\" 🦀\"", "[]"])),
        28 => (
            "jsonb",
            Of(&[
                "null",
                "{\"b\": 1, \"a\": {\"\": [null, true, 1e1000]}}",
                "\"\\\\ \\\" 🦀 \\u0001\"",
                "12345678901234567890.000",
            ]),
        ),
        29 => ("inet", Of(&["0.0.0.0/0", "192.168.1.5/24", "::1", "2001:db8::ff00:42:8329/64", "::ffff:1.2.3.4"])),
        30 => ("cidr", Of(&["10.0.0.0/8", "::/0", "2001:db8::/32"])),
        31 => ("macaddr", Of(&["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"])),
        32 => ("macaddr8", Of(&["08:00:2b:01:02:03:04:05"])),
        33 => ("bit varying", Bits),
        34 => ("bit(5)", Of(&["00000", "10101", "11111"])),
        35 => ("point", Of(&["(0,-0)", "(NaN,Infinity)", "(1e-300,0.1)"])),
        36 => ("line", Of(&["{1,-1,0}", "{0,1,0.1}"])),
        37 => ("box", Of(&["(1,1),(0,0)", "(Infinity,0.1),(-Infinity,-0.1)"])),
        38 => ("path", Of(&["[(0,0),(1,1),(2,0)]", "((0,0),(1,1))"])),
        39 => ("polygon", Of(&["((0,0),(1,1),(2,0))", "((0.1,0.2))"])),
        40 => ("circle", Of(&["<(0,0),1>", "<(0.1,-5),0>"])),
        41 => ("tsvector", Of(&["", "'a':1A 'it''s':2,3B 'back\\\\slash'", "'🦀' 'with space':16383"])),
        42 => ("tsquery", Of(&["", "a & !b | 'c d':*AB", "a <-> b <2> c"])),
        43 => ("int4range", Of(&["empty", "[1,5)", "(,)", "[,3]", "(-2147483648,2147483647)"])),
        44 => ("tstzrange", Of(&["empty", "[-infinity,infinity]", "(2024-01-01 00:00+00,)"])),
        45 => ("textrange", Of(&["empty", "[\"a,b\",\"c\\\"d\")", "(\"\",\"\\\\\"]", "(,\" \")"])),
        46 => ("int8multirange", Of(&["{}", "{[1,2),[5,)}", "{(,)}"])),
        47 => ("pair", Pair),
        48 => ("short", Text(20)),
        _ => ("\"odd \"\"enum\"\"\"", Of(&["a", "", "it's", "back\\slash", "com,ma", "{", "\"", "NULL", "🦀"])),
    }
}

/// How long something is: mostly short, sometimes as long as it may be.
fn length(random: &mut Random, most: usize) -> usize {
    match random.below(10) {
        0 => 0,
        1 => most,
        _ => random.below(most.min(60) + 1),
    }
}

/// Characters that something, somewhere, takes for something else.
fn text(random: &mut Random, most: usize) -> String {
    const ODD: [&str; 26] = [
        "'",
        "\"",
        "\\",
        "\t",
        "\n",
        "\r",
        "\u{8}",
        "\u{b}",
        "\u{c}",
        "\u{1}",
        "\u{7f}",
        "\\N",
        "\\.",
        "$$",
        "--",
        "/*",
        ";",
        ":x",
        "%s",
        "é",
        "e\u{301}",
        "🦀",
        "👩‍👧",
        "\u{feff}",
        "\u{200b}",
        "\u{10fffd}",
    ];
    let mut text = String::new();
    let length = length(random, most);
    while text.chars().count() < length && text.len() < 400 {
        match random.below(3) {
            0 => text += ODD[random.below(ODD.len())],
            _ => text.push(char::from(b' ' + u8::try_from(random.below(95)).unwrap())),
        }
    }
    // Long texts repeat themselves, and differ.
    while length > 400 && text.len() < length {
        text.push_str(&random.next().to_string());
        text.push_str("\\\n\t");
    }
    text.chars().take(most).collect()
}

/// A name of at most 63 bytes that no other number gives.
fn identifier(random: &mut Random, number: u64) -> String {
    let mut name = match random.below(6) {
        0 => "select".to_owned(),
        1 => "Upper Case".to_owned(),
        2 => "x".repeat(63),
        _ => text(random, 20),
    };
    let end = format!("_{number}");
    let mut most = 63 - end.len();
    while !name.is_char_boundary(most.min(name.len())) {
        most -= 1;
    }
    name.truncate(most);
    name + &end
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
