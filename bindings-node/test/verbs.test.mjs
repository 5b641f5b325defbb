// Every verb, on every engine there is.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { Vault } from 'lastgood'
import { KEY, World, mysql, postgres } from './world.mjs'

const api = JSON.parse(readFileSync(process.env.LASTGOOD_API))

async function life(world, database, target, targets) {
  const vault = await world.open(database, { name: 'shop' })
  const phases = []
  const backup = await vault.backup({ tags: ['nightly'], onProgress: p => phases.push(p.phase) })
  assert.match(backup.id, /^backup-\d{8}-\d{6}$/)
  assert.equal(backup.database, 'shop')
  assert.equal(backup.rows, 103)
  assert.ok(backup.startedAt instanceof Date && backup.finishedAt >= backup.startedAt)
  assert.equal(typeof backup.storedBytes, 'number')
  assert.equal(phases[0], 'preparing')
  assert.ok(phases.includes('dumping') && phases.includes('committing'), phases.join())

  const [listed] = await vault.list({ limit: 1 })
  assert.equal(listed.id, backup.id)
  assert.deepEqual(listed.tags, ['nightly'])
  assert.equal(listed.verifiedAt, null)

  const verified = await vault.verify(backup.id)
  assert.equal(verified.rawBytes, backup.sourceBytes)
  const drilled = await vault.drill('latest', { queries: ['SELECT count(*) = 3 FROM person'] })
  assert.equal(drilled.queries, 1)
  assert.equal(drilled.rows, 103)

  const shown = await vault.show(backup.id.slice(0, -2))
  assert.ok(shown.verifiedAt instanceof Date && shown.drilledAt instanceof Date)
  assert.ok(shown.point.at instanceof Date)
  assert.deepEqual(shown.proofs.map(p => [p.kind, p.ok, p.at instanceof Date]), [['verify', true, true], ['drill', true, true]])
  assert.deepEqual(shown.tableSummaries.map(t => t.rows).sort((a, b) => a - b), [3, 100])

  const restored = await vault.restore('latest', { target })
  assert.equal(restored.id, backup.id)
  assert.equal(targets(), '3|100')
  await assert.rejects(vault.restore('latest', { target }), { name: 'BackupError', code: 'target_not_empty', kind: 'refused', retryable: false })

  const exported = await vault.export('latest', { folder: world.path('exported') })
  assert.equal(readdirSync(world.path('exported')).length, exported.files)

  const rotated = await vault.rotateKey({ toPassphrase: 'another passphrase of sufficient length and many words', workFactor: 4 })
  assert.ok(rotated.added)
  await assert.rejects(async () => (await world.open(database, { name: 'shop' })).show('latest'), { code: 'wrong_key' })
  await vault.close()
}

test('keys are added, shown, changed and removed', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'), { name: 'shop' })
  const backup = await vault.backup()
  const added = await vault.addKey({ passphrase: 'walnut-harbor-eleven-copper-violet-summit', name: 'safe', workFactor: 4 })
  assert.deepEqual(added, { slot: '1-safe', proven: true })
  const { slots } = await vault.keys()
  assert.deepEqual(slots.map(s => [s.slot, s.kind, s.opensHere, s.backups, s.writtenAt instanceof Date]), [
    ['1-main', 'passphrase', true, 1, true],
    ['1-safe', 'passphrase', false, 1, true],
  ])
  await assert.rejects(vault.removeKey('1-main'), { code: 'key_slot', kind: 'refused' })
  const rotated = await vault.rotateKey({ toPassphrase: 'lantern-pebble-orchard-nineteen-velvet-canoe', newEpoch: true, workFactor: 4 })
  assert.deepEqual([rotated.epoch, rotated.removed, rotated.behind], [2, '1-main', ['1-safe']])
  assert.deepEqual((await vault.keys()).behind.map(b => b.backup), [backup.id])
  assert.equal((await vault.rewrap()).rewrapped, 1)
  const { reencrypted } = await vault.reencrypt()
  assert.deepEqual(reencrypted.map(r => [r.backup, r.removed]), [[backup.id, true]])
  assert.deepEqual((await vault.keys()).behind, [])
  assert.equal((await vault.removeKey('1-safe')).opensWith, '2-main')
  await vault.verify(reencrypted[0].by)
  await vault.close()
})

test('every verb works on SQLite', async () => {
  const world = new World()
  const database = world.sqlite('shop.db')
  await life(world, database, `sqlite:${world.path('copy.db')}`, () => world.rows('copy.db', 'SELECT (SELECT count(*) FROM person), (SELECT count(*) FROM visit)'))
})

test('every verb works on PostgreSQL', { skip: !process.env.LASTGOOD_TEST_POSTGRES_URL && 'skipped: LASTGOOD_TEST_POSTGRES_URL names no server' }, async () => {
  const world = new World()
  const database = postgres(
    'node_shop',
    `CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL, photo bytea);
     INSERT INTO person VALUES (1, 'Zoë', '\\x00ff00'), (2, 'O''Hara', NULL), (3, '', '');
     CREATE TABLE visit (person int REFERENCES person, at text);
     INSERT INTO visit SELECT i % 3 + 1, 'day ' || i FROM generate_series(1, 100) i;`,
  )
  const target = database.beside('node_copy')
  await life(world, database.url, target, () =>
    database.query(`COPY (SELECT concat_ws('|', (SELECT count(*) FROM person), (SELECT count(*) FROM visit))) TO STDOUT`, target).trim(),
  )
})

test('every verb works on MariaDB', { skip: !process.env.LASTGOOD_TEST_MYSQL_URL && 'skipped: LASTGOOD_TEST_MYSQL_URL names no server' }, async () => {
  const world = new World()
  const database = mysql(
    'node_shop',
    `CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL, photo blob);
     INSERT INTO person VALUES (1, 'Zoë', x'00ff00'), (2, 'O''Hara', NULL), (3, '', '');
     CREATE TABLE visit (person int REFERENCES person (id), at text);
     INSERT INTO visit SELECT seq % 3 + 1, concat('day ', seq) FROM seq_1_to_100;`,
  )
  await life(world, database.url, database.beside('node_copy'), () =>
    database.query("SELECT concat_ws('|', (SELECT count(*) FROM person), (SELECT count(*) FROM visit))", 'node_copy').trim(),
  )
})

test('every verb of the core is a method', () => {
  const camel = name => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())
  for (const { name } of api.verbs) assert.equal(typeof Vault.prototype[camel(name)], 'function', name)
})

test('what is not given comes from the environment, and its absence is a clear error', async () => {
  const world = new World()
  const names = ['DATABASE_URL', 'BACKUP_STORE_URL', 'BACKUP_ENCRYPTION_KEY']
  const before = names.map(name => process.env[name])
  try {
    for (const name of names) delete process.env[name]
    await assert.rejects(Vault.fromEnv(), { code: 'missing_setting', message: /store/ })
    process.env.DATABASE_URL = world.sqlite('shop.db')
    process.env.BACKUP_STORE_URL = world.path('store')
    process.env.BACKUP_ENCRYPTION_KEY = KEY
    const vault = await Vault.fromEnv()
    assert.equal((await vault.backup()).rows, 103)
    await vault.close()
  } finally {
    names.forEach((name, i) => (before[i] === undefined ? delete process.env[name] : (process.env[name] = before[i])))
  }
})

test('several vaults at once do not disturb each other', async () => {
  const worlds = Array.from({ length: 4 }, () => new World())
  const reports = await Promise.all(
    worlds.map(async (world, i) => {
      const vault = await world.open(world.sqlite(`shop${i}.db`))
      const report = await vault.backup()
      await vault.close()
      return report
    }),
  )
  assert.deepEqual(reports.map(r => r.database), ['shop0', 'shop1', 'shop2', 'shop3'])
})
