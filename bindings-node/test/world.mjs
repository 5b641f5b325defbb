// What the tests share: a folder of their own with a database, a store and a key, and the package as it was installed.

import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { Vault } from 'lastgood'

export const KEY = 'canary-passphrase gravel onion sixfold tundra maple kiosk'

const SMALL = `
  CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, photo BLOB);
  INSERT INTO person VALUES (1, 'Zoë', x'00ff00'), (2, 'O''Hara', NULL), (3, '', x'');
  CREATE TABLE visit (person INTEGER REFERENCES person, at TEXT);
  INSERT INTO visit SELECT value % 3 + 1, 'day ' || value FROM generate_series(1, 100);`

/** About so many MB of rows that do not compress. */
const large = megabytes => `CREATE TABLE noise (id INTEGER PRIMARY KEY, bytes BLOB);
  INSERT INTO noise SELECT value, randomblob(100000) FROM generate_series(1, ${megabytes * 10});`

export class World {
  folder = mkdtempSync(join(tmpdir(), 'lastgood-node-'))

  constructor() {
    after(() => rmSync(this.folder, { recursive: true, force: true }))
  }

  path(name) {
    return join(this.folder, name)
  }

  sqlite(name, sql = SMALL) {
    execFileSync('sqlite3', ['-bail', this.path(name), sql])
    return `sqlite:${this.path(name)}`
  }

  large(name, megabytes) {
    return this.sqlite(name, large(megabytes))
  }

  rows(name, sql) {
    return execFileSync('sqlite3', [this.path(name), sql], { encoding: 'utf8' }).trim()
  }

  /** Options of a vault whose key costs little. */
  options(database, more = {}) {
    return { database, store: this.path('store'), key: KEY, workFactor: 4, ...more }
  }

  open(database, more) {
    return Vault.open(this.options(database, more))
  }

  /** Every object in the store. */
  objects() {
    return existsSync(this.path('store')) ? readdirSync(this.path('store'), { recursive: true, withFileTypes: true }).filter(e => e.isFile()).map(e => join(e.parentPath ?? e.path, e.name)) : []
  }
}

/** What stock sqlite3 writes of a whole database: schema and rows. */
export const dump = file => execFileSync('sqlite3', [file, '.dump'], { encoding: 'utf8', maxBuffer: 1 << 28 })

/** Runs a program to its end, and answers what it printed and its exit code. */
export function run(program, args, { input, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, env: { ...process.env, ...options.env } })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', text => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', text => (stderr += text))
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr, all: stdout + stderr }))
    child.stdin.end(input)
    options.started?.(child)
  })
}

/** Runs a module of this text with the package at hand. */
export function script(text, options) {
  return run(process.execPath, ['--input-type=module', '-'], { cwd: import.meta.dirname, input: text, ...options })
}

/** A MariaDB or MySQL database of its own, or null where there is no server: `with-servers` starts one. */
export function mysql(name, sql) {
  const server = process.env.LASTGOOD_TEST_MYSQL_URL
  if (!server) return null
  const { hostname, port, username, password } = new URL(server)
  const query = (text, database = name) =>
    execFileSync('mariadb', ['--no-defaults', '--protocol=tcp', '--default-character-set=utf8mb4', '-N', '-h', hostname, '-P', port, '-u', username, '-e', text, database], {
      encoding: 'utf8',
      env: { ...process.env, MYSQL_PWD: password },
    })
  query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`, 'mysql')
  query(sql)
  const beside = other => Object.assign(new URL(server), { pathname: `/${other}` }).href
  return { url: beside(name), beside, query }
}

/** A PostgreSQL database of its own, or null where there is no server: `with-servers` starts one. */
export function postgres(name, sql) {
  const server = process.env.LASTGOOD_TEST_POSTGRES_URL
  if (!server) return null
  const url = new URL(server)
  url.pathname = `/${name}`
  const psql = (database, text) => execFileSync('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', text], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  psql(server, `CREATE DATABASE ${name}`)
  psql(url.href, sql)
  return { url: url.href, beside: other => Object.assign(new URL(url), { pathname: `/${other}` }).href, query: (text, database = url.href) => psql(database, text) }
}
