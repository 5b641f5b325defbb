// Keeping and deleting, old dumps, the doctor, and what can be seen of a vault.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { Vault } from 'lastgood'
import { World, postgres } from './world.mjs'

const onPostgres = { skip: !process.env.LASTGOOD_TEST_POSTGRES_URL && 'skipped: LASTGOOD_TEST_POSTGRES_URL names no server' }
const ids = async vault => (await vault.list()).map(b => b.id)

test('prune explains, marks, and deletes what no rule and no hold keeps', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  const made = []
  for (let i = 0; i < 4; i++) made.push((await vault.backup()).id)
  await vault.drill(made[0])
  const plan = await vault.prune({ keep: { last: 1 }, dryRun: true })
  assert.deepEqual(plan.decisions.map(d => [d.backup, d.action]), [[made[3], 'keep'], [made[2], 'mark'], [made[1], 'mark'], [made[0], 'keep']])
  assert.ok(plan.decisions[0].reasons.includes('newest'))
  assert.equal((await ids(vault)).length, 4)

  const until = new Date('2100-01-01T00:00:00Z')
  assert.deepEqual((await vault.hold(made[1], { reason: 'audit', until })).heldUntil, until)
  await vault.prune({ keep: { last: 1 }, graceSeconds: 3600 })
  assert.equal((await ids(vault)).length, 4, 'marked, and deleted after a time of grace')
  const { freedBytes } = await vault.prune({ keep: { last: 1 }, graceSeconds: 0 })
  assert.ok(freedBytes > 0)
  assert.deepEqual(await ids(vault), [made[3], made[1], made[0]])
  assert.equal((await vault.release(made[1])).heldUntil, null)
  await vault.prune({ keep: { last: 1 }, graceSeconds: 0 })
  assert.deepEqual(await ids(vault), [made[3], made[0]], 'the newest, and the newest proven one')
  await assert.rejects(vault.hold('backup-19990101-000000'), { code: 'backup_not_found' })
  await assert.rejects(vault.prune({ keep: { last: 0 } }), { code: 'invalid_option' })
  await vault.close()
})

test('the dump of an old script is listed, verified, restored and turned into a backup', onPostgres, async () => {
  const world = new World()
  const database = postgres('node_old', `CREATE TABLE person AS SELECT i, 'name ' || i AS name FROM generate_series(1, 50) i`)
  mkdirSync(world.path('store'))
  const name = 'backup-20240101-020000.dump.gz.enc'
  const file = world.path(`store/${name}`)
  const passphrase = 'what the old script had'
  const dump = gzipSync(execFileSync('pg_dump', ['-Fc', '-Z0', database.url]))
  execFileSync('openssl', ['enc', '-aes-256-cbc', '-pbkdf2', '-salt', '-pass', `pass:${passphrase}`, '-out', file], { input: dump })
  writeFileSync(`${file}.sha256`, `${createHash('sha256').update(readFileSync(file)).digest('hex')}  ${name}\n`)

  const vault = await world.open(database.url)
  const old = { artifactPassphrase: passphrase }
  assert.deepEqual(await vault.artifacts(), [{ name, startedAt: new Date('2024-01-01T02:00:00Z'), bytes: statSync(file).size, encrypted: true, checksum: true }])
  assert.equal((await vault.verify(name, old)).id, name)
  await assert.rejects(vault.verify(name), { code: 'wrong_key' })
  const target = database.beside('node_old_copy')
  await vault.restore(name, { target, ...old })
  assert.equal(database.query('COPY (SELECT count(*) FROM person) TO STDOUT', target).trim(), '50')

  const made = await vault.import(name, { tags: ['old'], ...old })
  assert.equal(made.rows, 50)
  assert.equal((await vault.drill(made.id)).rows, 50)
  assert.deepEqual((await vault.list()).map(b => [b.id, b.tags]), [[made.id, ['old']]])

  const bytes = readFileSync(file)
  bytes[bytes.length - 40] ^= 1
  writeFileSync(file, bytes)
  await assert.rejects(vault.verify(name, old), { kind: 'damaged' })
  await vault.close()

  // A file needs no store.
  writeFileSync(world.path('shop.dump.gz'), dump)
  const without = await Vault.open({ withoutStore: true })
  await without.restore(world.path('shop.dump.gz'), { target: database.beside('node_old_file') })
  await without.close()
})

test('the doctor finds nothing wrong with what is whole, and names what is broken with its remedy', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  await vault.drill((await vault.backup()).id)
  const whole = await vault.doctor()
  assert.notEqual(whole.status, 'fail', JSON.stringify(whole))
  assert.ok(whole.checks.length > 3 && whole.checks.every(c => c.name && c.message))
  rmSync(world.path('shop.db'))
  const broken = await vault.doctor()
  assert.equal(broken.status, 'fail')
  const [failed] = broken.checks.filter(c => c.status === 'fail')
  assert.match(failed.message, /shop\.db/)
  assert.ok(failed.next)
  await vault.close()
})

async function seen(world, database, engine) {
  const vault = await world.open(database, { name: 'shop' })
  const before = await vault.health({ cacheSeconds: 0 })
  assert.deepEqual([before.status, before.httpStatus, before.db, before.backup.lastSuccessAt], ['degraded', 200, 'ok', null])
  const { id } = await vault.backup()
  await vault.drill(id)
  const health = await vault.health({ cacheSeconds: 0, maxAgeSeconds: 3600, healthJson: true, checks: [{ name: 'queue', status: 'degraded', message: 'long' }] })
  assert.equal(health.status, 'degraded')
  assert.ok(health.backup.lastSuccessAt instanceof Date && health.backup.id === id && health.drill.ok)
  assert.ok(health.backup.ageSeconds < health.backup.maxAgeSeconds)
  assert.equal(health.healthJson.status, 'warn')
  assert.ok(health.checks.some(c => c.name === 'queue' && c.message === 'long'))
  const metrics = await vault.metrics({ cacheSeconds: 0 })
  assert.match(metrics, /^lastgood_backup_last_success_timestamp_seconds\{.*database="shop".*\} \d/m)
  assert.match(metrics, /^lastgood_operations_total\{op="drill",outcome="ok"\} \d/m)
  const stats = await vault.databaseStats()
  assert.equal(stats.engine, engine)
  assert.ok(stats.sizeBytes > 0 && stats.version.length > 0)
  await vault.close()
}

test('health, metrics and statistics of SQLite', async () => {
  const world = new World()
  await seen(world, world.sqlite('shop.db'), 'sqlite')
})

test('health, metrics and statistics of PostgreSQL', onPostgres, async () => {
  const { url } = postgres('node_seen', 'CREATE TABLE t AS SELECT 1 AS id')
  await seen(new World(), url, 'postgres')
})

test('health is told, not thrown, when the database is down', async () => {
  const world = new World()
  const vault = await world.open(`postgres://app:canary-password@127.0.0.1:1/shop`)
  const health = await vault.health({ cacheSeconds: 0 })
  assert.deepEqual([health.status, health.httpStatus, health.db], ['down', 503, 'down'])
  assert.ok(!JSON.stringify(health).includes('canary'))
  await vault.close()
})
