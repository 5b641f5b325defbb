//! A small web shop in SQLite, the same for the same seed: data to back up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection};

/// The result of making or reading a shop.
pub type Result<T, E = sqlx::Error> = std::result::Result<T, E>;

/// How much is in a shop, as a backup counts it: the tables behind the full-text index are among the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Tables in the file.
    pub tables: u64,
    /// Rows in all of them.
    pub rows: u64,
}

const CUSTOMERS: u64 = 8_000;
const PRODUCTS: u64 = 1_200;
const ORDERS: u64 = 26_000;
const REVIEWS: u64 = 9_000;
/// Rows of one INSERT.
const BATCH: u64 = 500;
/// The shop opened on 2022-01-01 and has been open for three years.
const OPENED: u64 = 1_640_995_200;
const OPEN_FOR: u64 = 3 * 365 * 86_400;

const SCHEMA: &str = "
    CREATE TABLE customers (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, city TEXT NOT NULL, phone TEXT,
        joined_at TEXT NOT NULL
    );
    CREATE TABLE products (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, price_cents INTEGER NOT NULL CHECK (price_cents > 0),
        weight_kg REAL NOT NULL, thumbnail BLOB NOT NULL, reviews INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id INTEGER NOT NULL REFERENCES customers, ordered_at TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'paid', 'shipped', 'returned')), note TEXT
    );
    CREATE TABLE order_items (
        order_id INTEGER NOT NULL REFERENCES orders ON DELETE CASCADE, line INTEGER NOT NULL,
        product_id INTEGER NOT NULL REFERENCES products, quantity INTEGER NOT NULL, price_cents INTEGER NOT NULL,
        total_cents INTEGER AS (quantity * price_cents) STORED,
        PRIMARY KEY (order_id, line)
    ) WITHOUT ROWID;
    CREATE TABLE reviews (
        id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES products, customer_id INTEGER NOT NULL REFERENCES customers,
        stars INTEGER NOT NULL CHECK (stars BETWEEN 1 AND 5), body TEXT NOT NULL
    );
    CREATE VIRTUAL TABLE product_search USING fts5(name, description, content = 'products', content_rowid = 'id');
    CREATE INDEX orders_by_customer ON orders (customer_id, ordered_at);
    CREATE INDEX items_by_product ON order_items (product_id);
    CREATE INDEX reviews_by_product ON reviews (product_id);
    CREATE VIEW revenue AS
        SELECT substr(ordered_at, 1, 7) AS month, count(DISTINCT orders.id) AS orders, sum(total_cents) / 100.0 AS revenue
        FROM orders JOIN order_items ON order_id = orders.id WHERE status IN ('paid', 'shipped') GROUP BY month;
    CREATE TRIGGER products_are_searchable AFTER INSERT ON products BEGIN
        INSERT INTO product_search (rowid, name, description) VALUES (new.id, new.name, new.description);
    END;
    CREATE TRIGGER reviews_are_counted AFTER INSERT ON reviews BEGIN
        UPDATE products SET reviews = reviews + 1 WHERE id = new.product_id;
    END;
";

/// Makes the shop in a new file: customers, products, orders with their items, and reviews, some 120,000 rows.
///
/// # Errors
/// What SQLite says, for example that the tables already exist.
pub async fn create(path: &Path, seed: u64) -> Result<Stats> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An example that is cut off by a power failure is made again.
        .synchronous(SqliteSynchronous::Off);
    let mut db = options.connect().await?;
    let mut random = Random(seed);
    let mut work = db.begin().await?;
    sqlx::raw_sql(SCHEMA).execute(&mut *work).await?;
    customers(&mut work, &mut random).await?;
    products(&mut work, &mut random).await?;
    orders(&mut work, &mut random).await?;
    reviews(&mut work, &mut random).await?;
    work.commit().await?;
    let stats = count(&mut db).await?;
    db.close().await?;
    Ok(stats)
}

/// Each of the shop's tables with its number of rows and a hash of all their values in order: equal for equal shops.
///
/// # Errors
/// What SQLite says, for example that there is no such table.
pub async fn fingerprint(path: &Path) -> Result<Vec<(&'static str, usize, u64)>> {
    const TABLES: [(&str, &str); 6] = [
        (
            "customers",
            "SELECT quote(id) || quote(name) || quote(email) || quote(city) || quote(phone) || quote(joined_at) FROM customers ORDER BY id",
        ),
        (
            "products",
            "SELECT quote(id) || quote(name) || quote(description) || quote(price_cents) || quote(weight_kg) || quote(thumbnail) || quote(reviews) FROM products ORDER BY id",
        ),
        (
            "orders",
            "SELECT quote(id) || quote(customer_id) || quote(ordered_at) || quote(status) || quote(note) FROM orders ORDER BY id",
        ),
        (
            "order_items",
            "SELECT quote(order_id) || quote(line) || quote(product_id) || quote(quantity) || quote(total_cents) FROM order_items ORDER BY order_id, line",
        ),
        (
            "reviews",
            "SELECT quote(id) || quote(product_id) || quote(customer_id) || quote(stars) || quote(body) FROM reviews ORDER BY id",
        ),
        ("revenue", "SELECT quote(month) || quote(orders) || quote(revenue) FROM revenue ORDER BY month"),
    ];
    let mut db = SqliteConnectOptions::new().filename(path).connect().await?;
    let mut prints = Vec::new();
    for (table, query) in TABLES {
        let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut db).await?;
        let mut hasher = DefaultHasher::new();
        rows.hash(&mut hasher);
        prints.push((table, rows.len(), hasher.finish()));
    }
    db.close().await?;
    Ok(prints)
}

async fn count(db: &mut SqliteConnection) -> Result<Stats> {
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")
            .fetch_all(&mut *db)
            .await?;
    let mut stats = Stats { tables: 0, rows: 0 };
    for table in tables {
        // The names are those of the schema above.
        let query = AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
        let rows: i64 = sqlx::query_scalar(query).fetch_one(&mut *db).await?;
        stats.tables += 1;
        stats.rows += rows.unsigned_abs();
    }
    Ok(stats)
}

async fn customers(db: &mut SqliteConnection, random: &mut Random) -> Result<()> {
    for ids in batches(CUSTOMERS) {
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO customers (id, name, email, city, phone, joined_at) ");
        insert.push_values(ids, |mut row, id| {
            let (first, last) = (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
            row.push_bind(signed(id))
                .push_bind(format!("{first} {last}"))
                .push_bind(format!("{}.{}{id}@example.com", first.to_lowercase(), last.to_lowercase()))
                .push_bind(random.pick(&CITIES))
                .push_bind(random.chance(60).then(|| format!("+49 30 {:07}", random.below(10_000_000))));
            when(row, random.below(OPEN_FOR));
        });
        insert.build().execute(&mut *db).await?;
    }
    Ok(())
}

async fn products(db: &mut SqliteConnection, random: &mut Random) -> Result<()> {
    for ids in batches(PRODUCTS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO products (id, name, description, price_cents, weight_kg, thumbnail) ",
        );
        insert.push_values(ids, |mut row, id| {
            let (look, material, thing) = (random.pick(&LOOKS), random.pick(&MATERIALS), random.pick(&THINGS));
            let thumbnail: Vec<u8> = (0..24).flat_map(|_| random.next().to_le_bytes()).collect();
            row.push_bind(signed(id))
                .push_bind(format!("{look} {material} {thing}"))
                .push_bind(format!("A {look} {thing} of {material}. {}", random.pick(&OPINIONS)))
                .push_bind(signed(199 + price(random)))
                // Exact in binary, so that it is the same everywhere.
                .push_bind(f64::from(random.small(64)) / 8.0)
                .push_bind(thumbnail);
        });
        insert.build().execute(&mut *db).await?;
    }
    Ok(())
}

async fn orders(db: &mut SqliteConnection, random: &mut Random) -> Result<()> {
    for ids in batches(ORDERS) {
        let mut items = Vec::new();
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO orders (id, customer_id, status, note, ordered_at) ");
        insert.push_values(ids, |mut row, id| {
            let lines = 1 + random.below(5);
            items.extend((1..=lines).map(|line| (id, line)));
            // Most orders come from few customers, as they do.
            let customer = 1 + random.below(CUSTOMERS).min(random.below(CUSTOMERS));
            row.push_bind(signed(id))
                .push_bind(signed(customer))
                .push_bind(random.pick(&["shipped", "shipped", "shipped", "paid", "pending", "returned"]))
                .push_bind(random.chance(10).then(|| random.pick(&NOTES)));
            when(row, OPEN_FOR / ORDERS * id + random.below(3600));
        });
        insert.build().execute(&mut *db).await?;
        for items in items.chunks(500) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO order_items (order_id, line, product_id, quantity, price_cents) ",
            );
            insert.push_values(items, |mut row, (order, line)| {
                row.push_bind(signed(*order))
                    .push_bind(signed(*line))
                    .push_bind(signed(1 + random.below(PRODUCTS)))
                    .push_bind(1 + i64::from(random.small(3)))
                    .push_bind(signed(199 + price(random)));
            });
            insert.build().execute(&mut *db).await?;
        }
    }
    Ok(())
}

async fn reviews(db: &mut SqliteConnection, random: &mut Random) -> Result<()> {
    for ids in batches(REVIEWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO reviews (id, product_id, customer_id, stars, body) ");
        insert.push_values(ids, |mut row, id| {
            let body = format!("{} {}", random.pick(&OPINIONS), random.pick(&OPINIONS));
            row.push_bind(signed(id))
                .push_bind(signed(1 + random.below(PRODUCTS)))
                .push_bind(signed(1 + random.below(CUSTOMERS)))
                .push_bind(5 - i64::from(random.small(5).min(random.small(5))))
                .push_bind(body);
        });
        insert.build().execute(&mut *db).await?;
    }
    Ok(())
}

fn batches(rows: u64) -> impl Iterator<Item = std::ops::RangeInclusive<u64>> {
    (0..rows.div_ceil(BATCH)).map(move |batch| batch * BATCH + 1..=(batch * BATCH + BATCH).min(rows))
}

/// Cheap things are bought more often than dear ones.
fn price(random: &mut Random) -> u64 {
    random.below(20_000).min(random.below(20_000))
}

/// So many seconds after the opening, as SQLite writes a time.
fn when(mut row: sqlx::query_builder::Separated<'_, Sqlite, &'static str>, seconds: u64) {
    row.push("datetime(").push_bind_unseparated(signed(OPENED + seconds)).push_unseparated(", 'unixepoch')");
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// SplitMix64: small, and the same on every machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn small(&mut self, limit: u8) -> u8 {
        u8::try_from(self.below(u64::from(limit))).unwrap_or(0)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, const N: usize>(&mut self, from: &[&'a str; N]) -> &'a str {
        let n = usize::try_from(self.next() % 1_000_003).unwrap_or(0);
        from.get(n % N).copied().unwrap_or_default()
    }
}

const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Alan",
    "Barbara",
    "Claude",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Ivan",
    "Jörg",
    "Katherine",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Zoë",
];
const LAST_NAMES: [&str; 16] = [
    "Adams", "Brown", "Carter", "Díaz", "Evans", "Fischer", "Garcia", "Haddad", "Ito", "Jensen", "Kowalski", "Li",
    "Müller", "Novák", "Okafor", "Rossi",
];
const CITIES: [&str; 12] = [
    "Berlin",
    "Kraków",
    "Lagos",
    "Lima",
    "London",
    "Montréal",
    "Mumbai",
    "Nairobi",
    "Osaka",
    "Reykjavík",
    "São Paulo",
    "Zürich",
];
const LOOKS: [&str; 12] =
    ["amber", "black", "blue", "folding", "green", "heavy", "large", "plain", "red", "small", "striped", "white"];
const MATERIALS: [&str; 10] =
    ["aluminium", "bamboo", "canvas", "ceramic", "copper", "glass", "leather", "linen", "oak", "wool"];
const THINGS: [&str; 14] = [
    "bag", "bench", "blanket", "bowl", "chair", "clock", "cup", "hook", "lamp", "mirror", "shelf", "stool", "tray",
    "vase",
];
const OPINIONS: [&str; 10] = [
    "Smaller than it looks in the picture.",
    "Exactly what the kitchen needed.",
    "It arrived on time and in one piece.",
    "The colour fades in the sun.",
    "We bought a second one.",
    "Sturdy, simple, well made.",
    "It wobbles on an uneven floor.",
    "A present that was well received 🎁.",
    "The handle could be longer.",
    "Used every day, still like new.",
];
const NOTES: [&str; 5] = [
    "please ring twice",
    "leave it with the neighbour",
    "it's a gift: no invoice",
    "call before delivery",
    "2nd floor, \"left\" door",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn the_same_seed_makes_the_same_shop() {
        let folder = std::env::temp_dir().join(format!("lastgood-shop-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let paths = ["a.db", "b.db", "c.db"].map(|name| folder.join(name));
        let stats = create(&paths[0], 1).await.unwrap();
        assert_eq!(create(&paths[1], 1).await.unwrap(), stats);
        create(&paths[2], 2).await.unwrap();
        assert!((100_000..150_000).contains(&stats.rows), "{stats:?}");
        let first = fingerprint(&paths[0]).await.unwrap();
        let second = fingerprint(&paths[1]).await.unwrap();
        assert_eq!(first, second);
        assert_ne!(first, fingerprint(&paths[2]).await.unwrap());
        assert!(create(&paths[0], 1).await.is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
