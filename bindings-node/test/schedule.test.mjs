// A schedule in this process, and run_due for hosts that do not stay.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { BackupError, onLog, Schedule } from 'lastgood'
import { World, postgres, script } from './world.mjs'

/** Due now, and not again while a test runs. */
const PLAN = { backup: '0 0 1 1 *', verify: 'off', drill: 'off', prune: 'off' }

/** How a schedule is after something was done. */
const done = async job => (await job[Symbol.asyncIterator]().next()).value

/** When a backup is in the middle of its work. */
const dumping = () =>
  new Promise(resolve => {
    const stop = onLog(({ message, fields }) => message === 'a phase begins' && fields.phase === 'dumping' && resolve(stop()), { level: 'debug' })
  })

async function followed(world, database) {
  const vault = await world.open(database, { name: 'shop' })
  const { backup, ...rest } = PLAN
  const job = vault.schedule(backup, { ...rest, verify: '0 0 1 1 *', timeZone: 'Europe/Berlin', keep: { daily: 7 }, tags: ['nightly'] })
  assert.ok(job instanceof Schedule)
  assert.equal(job.status.running, true)
  const { running, last, next, nextRunAt, error } = await done(job)
  assert.deepEqual([running, error], [true, null])
  assert.deepEqual(last.ran.map(r => [r.job, r.ok, r.attempt, r.endedAt instanceof Date]), [['backup', true, 1, true], ['verify', true, 1, true]])
  assert.deepEqual(next.map(n => [n.job, n.at.toISOString().slice(5, 16), n.retry]), [['backup', '12-31T23:00', false], ['verify', '12-31T23:00', false]])
  const [backupThere] = await vault.list()
  assert.deepEqual([backupThere.id, backupThere.tags, backupThere.verifiedAt !== null], [last.ran[0].backup, ['nightly'], true])
  // The time of the next look is known a moment after what was done.
  assert.ok(nextRunAt === null || nextRunAt > last.at)
  await job.stop()
  await job.stop()
  assert.deepEqual([job.status.running, job.status.nextRunAt], [false, null])
  assert.equal((await vault.list()).length, 1, 'the vault goes on')
  await vault.close()
}

test('a schedule does what is due and says so: SQLite', async () => {
  const world = new World()
  await followed(world, world.sqlite('shop.db'))
})

test('a schedule does what is due and says so: PostgreSQL', { skip: !process.env.LASTGOOD_TEST_POSTGRES_URL && 'skipped: LASTGOOD_TEST_POSTGRES_URL names no server' }, async () => {
  await followed(new World(), postgres('node_scheduled', 'CREATE TABLE t AS SELECT 1 AS id').url)
})

test('what fails reaches whoever follows, with its code', async () => {
  const world = new World()
  const vault = await world.open(`sqlite:${world.path('missing.db')}`)
  const seen = []
  const job = vault.schedule(PLAN)
  for await (const { last } of job) {
    seen.push(last.ran[0])
    await job.stop()
  }
  assert.deepEqual(seen.map(({ ok, error, failures }) => [ok, error.code, failures]), [[false, 'database_not_found', 1]])
  assert.ok(seen[0].retryAt > seen[0].endedAt)
})

for (const [how, end] of [['stopping it', (vault, job) => job.stop()], ['closing the vault', vault => vault.close()], ['leaving the block', (vault, job) => job[Symbol.asyncDispose]()]]) {
  test(`${how} in the middle of a backup leaves nothing of it`, async () => {
    const world = new World()
    const database = world.large('big.db', 20)
    const vault = await world.open(database)
    const runs = dumping()
    const job = vault.schedule(PLAN)
    const follower = done(job)
    await runs
    await end(vault, job)
    assert.equal(job.status.running, false)
    assert.equal(await follower, undefined, 'whoever follows it is told that it is over')
    assert.deepEqual(world.objects().filter(name => /backup-\d/.test(name)), [])
    await vault.close()
    // No lease is left that would keep the next one waiting.
    const another = await world.open(database)
    const { ran, heldBy } = await another.runDue({ plan: PLAN })
    assert.deepEqual([ran.map(r => r.ok), heldBy], [[true], null])
  })
}

test('a hot reload keeps one schedule, and the old vault may be closed', async () => {
  const world = new World()
  const database = world.sqlite('shop.db')
  const before = await world.open(database)
  const first = before.schedule(PLAN)
  const { last } = await done(first)
  const after = await world.open(database)
  const second = after.schedule(PLAN)
  assert.deepEqual(second.status.last, last, 'it is the one that runs')
  await before.close()
  assert.equal(second.status.running, true)
  const other = after.schedule({ ...PLAN, backup: '0 0 2 1 *' })
  // Whoever follows the one before is told that it is over, and that it did nothing more.
  for await (const told of second) assert.deepEqual(told.last, last)
  assert.deepEqual([first.status.running, second.status.running, other.status.running], [false, false, true])
  await after.close()
  assert.equal(other.status.running, false)
  const look = await world.open(database)
  assert.equal((await look.list()).length, 1)
})

test('a plan that cannot be followed is refused where it is given', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  function theCaller() {
    vault.schedule('at noon')
  }
  assert.throws(theCaller, error => error instanceof BackupError && error.code === 'invalid_option' && /theCaller .*schedule\.test/.test(error.stack.split('\n')[1]))
  assert.throws(() => vault.schedule({ bakcup: '0 2 * * *' }), { code: 'invalid_option', message: /bakcup/ })
  assert.throws(() => vault.schedule('0 2 * * *', { timeZone: 'Mars/Olympus' }), { code: 'invalid_option', message: /Mars/ })
  await vault.close()
  assert.throws(() => vault.schedule('0 2 * * *'), { code: 'invalid_option', message: /closed/ })
})

const scheduled = (world, more) => `
  import { Vault } from 'lastgood'
  const vault = await Vault.open(${JSON.stringify(world.options(`sqlite:${world.path('shop.db')}`))})
  const job = vault.schedule(${JSON.stringify(PLAN)})
  ${more}`

test('a schedule keeps no process alive, and whoever waits for it does', async () => {
  const world = new World()
  world.sqlite('shop.db')
  const idle = await script(scheduled(world, `console.log('end')`))
  assert.deepEqual([idle.code, idle.signal, idle.stdout, idle.stderr], [0, null, 'end\n', ''])
  const waits = await script(scheduled(world, `for await (const { last } of job) { console.log(last.ran.length, last.ran[0]?.ok); break }`))
  assert.deepEqual([waits.code, waits.stderr], [0, ''])
  assert.equal(waits.stdout, '1 true\n')
})

test('a worker that is terminated takes its schedule along', async () => {
  const world = new World()
  const options = world.options(world.sqlite('shop.db'))
  const text = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { Vault } = require('lastgood')
    Vault.open(workerData.options).then(async vault => {
      for await (const { last } of vault.schedule(workerData.plan)) parentPort.postMessage(last.ran.length)
    })`
  const worker = new Worker(text, { eval: true, workerData: { options, plan: PLAN } })
  assert.deepEqual(await once(worker, 'message'), [1])
  await worker.terminate()
  const vault = await world.open(options.database)
  const job = vault.schedule(PLAN)
  // Another schedule, which has done nothing yet.
  assert.equal(job.status.last, null)
  await job.stop()
})

test('run_due does each slot once, whatever calls it', async () => {
  const world = new World()
  const vaults = await Promise.all(['a', 'a', 'a'].map(() => world.open(world.sqlite('shop.db', 'CREATE TABLE IF NOT EXISTS t (id)'))))
  const plan = { ...PLAN, drill: '0 0 1 1 *', keep: { last: 3 } }
  await vaults[0].list().catch(() => {})
  const reports = await Promise.all(vaults.map(vault => vault.runDue({ plan, withinSeconds: 300 })))
  const ran = reports.flatMap(report => report.ran)
  assert.deepEqual(ran.map(r => [r.job, r.ok]).sort(), [['backup', true], ['drill', true]])
  assert.ok(reports.every(report => report.at instanceof Date && (report.heldBy !== null || report.next.length === 2)))
  const [backup, ...others] = await vaults[0].list()
  assert.ok(backup.drilledAt instanceof Date && others.length === 0)
})
