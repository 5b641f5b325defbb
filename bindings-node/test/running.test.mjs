// While an operation runs: progress, cancellation, logs, and other users of the process.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { getEventListeners } from 'node:events'
import { mock, test } from 'node:test'
import { promisify } from 'node:util'
import { onLog, Vault } from 'lastgood'
import { KEY, World, postgres, script } from './world.mjs'

/** Cancels once data flows, and looks at what is left. */
async function cancelInTheMiddle(world, database) {
  const vault = await world.open(database, { name: 'big' })
  const controller = new AbortController()
  const reason = new Error('changed my mind')
  let cancelledAt
  const error = await vault
    .backup({
      signal: controller.signal,
      onProgress: p => {
        if (p.phase === 'dumping' && p.bytesDone > 0 && !cancelledAt) {
          cancelledAt = p.bytesDone
          controller.abort(reason)
        }
      },
    })
    .catch(e => e)
  assert.equal(error.code, 'cancelled')
  assert.equal(error.kind, 'cancelled')
  assert.equal(error.cause, reason)
  assert.ok(cancelledAt > 0)
  assert.deepEqual(await vault.list(), [])
  assert.deepEqual(world.objects().filter(name => /backup-\d/.test(name)), [], 'no reservation, no volume')
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  // The store is as good as new.
  const { id } = await vault.backup()
  assert.equal((await vault.list())[0].id, id)
  await vault.close()
}

test('a backup of SQLite that is cancelled in the middle leaves nothing', async () => {
  const world = new World()
  await cancelInTheMiddle(world, world.large('big.db', 60))
})

test('a backup of PostgreSQL that is cancelled in the middle leaves nothing', { skip: !process.env.LASTGOOD_TEST_POSTGRES_URL && 'skipped: LASTGOOD_TEST_POSTGRES_URL names no server' }, async () => {
  const database = postgres('node_big', `CREATE TABLE noise AS SELECT i, (SELECT string_agg(md5(random()::text || i || j), '') FROM generate_series(1, 100) j) t FROM generate_series(1, 8000) i`)
  await cancelInTheMiddle(new World(), database.url)
})

test('a signal that was aborted before begins nothing', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  const error = await vault.backup({ signal: AbortSignal.abort('too late') }).catch(e => e)
  assert.equal(error.code, 'cancelled')
  assert.equal(error.cause, 'too late')
  assert.deepEqual(world.objects(), [])
})

test('a signal may have a handler of its own, and is let go of afterwards', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  const controller = new AbortController()
  const handler = mock.fn()
  controller.signal.onabort = handler
  await vault.backup({ signal: controller.signal })
  await vault.list({ signal: controller.signal })
  controller.abort()
  assert.equal(handler.mock.callCount(), 1)
  assert.ok(getEventListeners(controller.signal, 'abort').length <= 1)
  assert.equal((await vault.list()).length, 1)
})

test('close cancels what runs and waits for it', async () => {
  const world = new World()
  const vault = await world.open(world.large('big.db', 60))
  let backup
  await new Promise(resolve => {
    backup = vault.backup({ onProgress: p => p.bytesDone > 0 && resolve() }).catch(e => e)
  })
  await vault[Symbol.asyncDispose]()
  assert.equal((await backup).code, 'cancelled')
  assert.deepEqual(world.objects().filter(name => /backup-\d/.test(name)), [])
})

test('a progress callback that throws is told once and breaks nothing', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  const warn = mock.method(console, 'warn', () => {})
  let calls = 0
  const report = await vault.backup({
    onProgress: () => {
      calls += 1
      throw new Error('a bug of the caller')
    },
  })
  assert.equal(report.rows, 103)
  assert.ok(calls > 1)
  assert.equal(warn.mock.callCount(), 1)
  assert.match(String(warn.mock.calls[0].arguments), /onProgress threw.*a bug of the caller/)
  await vault.verify('latest', { onProgress: async () => Promise.reject(new Error('later')) })
  assert.equal(warn.mock.callCount(), 2)
  warn.mock.restore()

  const records = []
  const stop = onLog(r => records.push(r), { level: 'error' })
  await vault.verify('latest', { onProgress: () => assert.fail('again') })
  stop()
  assert.deepEqual(records.map(r => [r.level, r.message, r.fields.error.message]), [['warn', 'onProgress threw', 'again']])
})

test('progress comes in order, and all of it before the report', async () => {
  const world = new World()
  const vault = await world.open(world.large('big.db', 30))
  const events = []
  await vault.backup({ onProgress: p => events.push(p) }).then(() => events.push('report'))
  assert.equal(events.at(-1), 'report')
  const dumping = events.filter(p => p.phase === 'dumping')
  assert.deepEqual(dumping.map(p => p.bytesDone), dumping.map(p => p.bytesDone).toSorted((a, b) => a - b))
  assert.equal(dumping.at(-1).bytesDone, dumping.at(-1).bytesTotal)
})

test('log records reach each listener by its level, and nobody after it stopped', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  const [info, debug] = [[], []]
  const stops = [onLog(r => info.push(r)), onLog(r => debug.push(r), { level: 'debug' })]
  const { id } = await vault.backup()
  const committed = info.find(r => r.message === 'backup committed')
  assert.equal(committed.level, 'info')
  assert.equal(committed.target, 'lastgood::ops::backup')
  assert.equal(committed.fields.backup_id, id)
  assert.ok(committed.time instanceof Date && Math.abs(committed.time - Date.now()) < 3_600_000)
  assert.ok(debug.length > info.length && !info.some(r => r.level === 'debug'))
  for (const stop of stops) stop()
  const before = debug.length
  await vault.verify('latest')
  assert.equal(debug.length, before)
})

test('without a listener nothing is printed, and a listener that throws breaks nothing', async () => {
  const world = new World()
  world.sqlite('shop.db')
  const text = `import { Vault, onLog } from 'lastgood'
    const vault = await Vault.open(${JSON.stringify(world.options(`sqlite:${world.path('shop.db')}`))})
    await vault.backup()
    onLog(() => { throw new Error('a bug of the listener') })
    await vault.backup()
    await vault.backup()`
  const { code, stdout, stderr } = await script(text)
  assert.equal(code, 0, stderr)
  assert.equal(stdout, '')
  assert.equal(stderr.match(/onLog threw/g).length, 1)
})

test('child processes of the host and ours end as they should', async () => {
  const world = new World()
  const spawn = promisify(execFile)
  const vault = await world.open(world.sqlite('shop.db'))
  for (let round = 0; round < 3; round++) {
    const [report, ...children] = await Promise.all([vault.backup(), ...Array.from({ length: 5 }, (_, i) => spawn(process.execPath, ['-p', i]))])
    assert.equal(report.rows, 103)
    assert.deepEqual(children.map(c => c.stdout.trim()), ['0', '1', '2', '3', '4'])
  }
})

test('live SQLite files are opened in a process of their own', async () => {
  const world = new World()
  const database = world.sqlite('shop.db')
  const error = await world.open(database, { settings: { command: ['/nonexistent/lastgood'] } }).then(v => v.backup()).catch(e => e)
  assert.match(error.message, /nonexistent/, 'the command of the caller is heeded')
  const vault = await Vault.open({ database, store: world.path('store'), key: KEY, workFactor: 4 })
  assert.equal((await vault.backup()).rows, 103)
})
