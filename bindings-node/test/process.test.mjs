// What a long-lived process can rely on: nothing leaks, nothing keeps it alive, threads and children work.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { World, script } from './world.mjs'

const opened = (world, more = '') => `
  import { Vault } from 'lastgood'
  const options = ${JSON.stringify(world.options(`sqlite:${world.path('shop.db')}`))}
  ${more}`

function shop() {
  const world = new World()
  world.sqlite('shop.db')
  return world
}

test('a thousand vaults opened and closed leak neither memory nor handles', async () => {
  const text = opened(
    shop(),
    `import { readdirSync } from 'node:fs'
     import { setImmediate } from 'node:timers/promises'
     await (await Vault.open(options)).backup()
     const round = async () => { const vault = await Vault.open(options); await vault.list(); await vault.close() }
     const measure = async () => {
       for (let i = 0; i < 5; i++) { globalThis.gc(); await setImmediate() }
       return { handles: process._getActiveHandles().length, files: readdirSync('/proc/self/fd').length, threads: readdirSync('/proc/self/task').length, rss: process.memoryUsage.rss() }
     }
     for (let i = 0; i < 200; i++) await round()
     const first = await measure()
     // Allocators and pools of threads grow for a while; what leaks goes on growing.
     let before, after = first
     for (let rounds = 0; rounds < 4 || (rounds < 8 && after.rss - before.rss >= 3 << 20); rounds++) {
       before = after
       for (let i = 0; i < 250; i++) await round()
       after = await measure()
     }
     console.log(JSON.stringify({ first, before, after }))`,
  )
  const { code, stdout, stderr } = await script(text, { env: { NODE_OPTIONS: '--expose-gc' } })
  assert.equal(code, 0, stderr)
  const { first, before, after } = JSON.parse(stdout)
  assert.equal(after.handles, first.handles, stdout)
  assert.ok(after.files <= first.files, stdout)
  assert.ok(after.rss - before.rss < 3 << 20, stdout)
})

test('a process ends by itself, with vaults and listeners open', async () => {
  const { code, stdout, stderr } = await script(opened(shop(), `import { onLog } from 'lastgood'; onLog(() => {}); const vault = await Vault.open(options); console.log((await vault.backup()).rows)`))
  assert.deepEqual([code, stdout.trim(), stderr], [0, '103', ''])
})

test('a process that waits for a backup stays for it', async () => {
  const { stdout } = await script(opened(shop(), `const vault = await Vault.open(options); vault.backup().then(report => console.log(report.rows))`))
  assert.equal(stdout.trim(), '103')
})

test('a process may exit in the middle of a backup', async () => {
  const world = new World()
  world.large('shop.db', 40)
  const text = opened(world, `const vault = await Vault.open(options); await vault.backup({ onProgress: p => { if (p.bytesDone > 0) process.exit(7) } })`)
  const { code, signal } = await script(text)
  assert.deepEqual([code, signal], [7, null])
  const vault = await world.open(`sqlite:${world.path('shop.db')}`)
  assert.deepEqual(await vault.list(), [])
})

const worker = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { Vault, onLog } = require('lastgood')
  onLog(() => {}, { level: 'debug' })
  Vault.open(workerData).then(async vault => {
    await vault.backup({ onProgress: p => parentPort.postMessage(p.phase) })
    parentPort.postMessage((await vault.list()).length)
  })`

test('worker threads have vaults of their own, also when no other thread loaded the module', async () => {
  const text = `
    import { Worker } from 'node:worker_threads'
    import { once } from 'node:events'
    for (let round = 0; round < 3; round++) {
      await Promise.all(${JSON.stringify([shop(), shop()].map(world => world.options(`sqlite:${world.path('shop.db')}`)))}.map(async options => {
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true, execArgv: [], workerData: options })
        const messages = []
        worker.on('message', m => messages.push(m))
        const [code] = await once(worker, 'exit')
        console.log(code, messages.at(-1))
      }))
    }`
  const { code, stdout, stderr } = await script(text)
  assert.deepEqual([code, stdout.trim().split('\n').sort()], [0, ['0 1', '0 1', '0 2', '0 2', '0 3', '0 3']], stderr)
})

test('a worker that is terminated in the middle cancels its backup', async () => {
  const world = new World()
  const database = world.large('big.db', 60)
  const thread = new Worker(worker, { eval: true, workerData: world.options(database) })
  thread.on('message', phase => phase === 'dumping' && thread.terminate())
  await once(thread, 'exit')
  const vault = await world.open(database)
  // The cancelled run cleans up on threads that outlive the worker: it ends by itself, and the next one succeeds.
  const { id } = await vault.backup()
  assert.deepEqual((await vault.list()).map(b => b.id), [id])
})

test('a process forked after use works', async () => {
  const world = shop()
  const vault = await world.open(`sqlite:${world.path('shop.db')}`)
  await vault.backup()
  const file = join(import.meta.dirname, `forked-${process.pid}.mjs`)
  writeFileSync(file, opened(world, `const vault = await Vault.open(options); await vault.backup(); process.send((await vault.list()).length); process.disconnect()`))
  const child = fork(file)
  const [count] = await once(child, 'message')
  const [code] = await once(child, 'exit')
  assert.deepEqual([count, code], [2, 0])
  assert.equal((await vault.list()).length, 2)
})
