// Makes shop.db, a small shop to back up: `npm run seed [rows]`.
import { writeFileSync } from 'node:fs'
import initSqlJs from 'sql.js'

const rows = Number(process.argv[2] ?? 20_000)
const { Database } = await initSqlJs()
const db = new Database()
db.run(`
  CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);
  CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers, placed_at TEXT NOT NULL, total REAL NOT NULL, note BLOB);
  CREATE INDEX orders_by_customer ON orders (customer);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${Math.ceil(rows / 10)})
    INSERT INTO customers SELECT i, 'Customer ' || i, substr('LisbonOsloTokyoQuito', 1 + i % 4 * 5, 5) FROM n;
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO orders SELECT i, 1 + i % ${Math.ceil(rows / 10)}, datetime('2026-01-01', i || ' minutes'), i % 997 + 0.99, randomblob(600) FROM n;
`)
writeFileSync('shop.db', db.export())
console.log(`shop.db: ${rows} orders`)
