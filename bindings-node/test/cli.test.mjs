// `npx lastgood` is the same command line, and stores go back and forth between languages.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { KEY, World, run } from './world.mjs'

const installed = join(import.meta.dirname, '../node_modules/.bin/lastgood')
const environment = world => ({ env: { BACKUP_STORE_URL: world.path('store'), BACKUP_ENCRYPTION_KEY: KEY, DATABASE_URL: `sqlite:${world.path('shop.db')}` } })

test('the installed command is the command line, with its exit codes', async () => {
  const world = new World()
  world.sqlite('shop.db')
  const lastgood = (...args) => run(installed, args, environment(world))
  const made = await lastgood('backup', '--tag', 'nightly', '--json')
  assert.equal(made.code, 0, made.stderr)
  assert.equal(JSON.parse(made.stdout).rows, 103)
  assert.match((await lastgood('list')).stdout, /sqlite .* 103/)
  assert.equal((await lastgood('drill', 'latest')).code, 0)
  assert.match((await lastgood('--help')).stdout, /Usage: lastgood/)
  assert.match((await lastgood('--version')).stdout, /^lastgood \d/)
  const codes = []
  for (const args of [['show', 'backup-19990101'], ['nonsense'], ['restore', 'latest', '--target', `sqlite:${world.path('shop.db')}`]]) codes.push((await lastgood(...args)).code)
  assert.deepEqual(codes, [6, 2, 3])
  for (const args of [['--help'], ['show', 'nope']]) {
    const native = await run(process.env.LASTGOOD_BIN, args, environment(world))
    const { code, stdout, stderr } = await lastgood(...args)
    assert.deepEqual({ code, stdout, stderr }, { code: native.code, stdout: native.stdout, stderr: native.stderr })
  }
})

test('Ctrl-C cancels the command and leaves nothing', async () => {
  const world = new World()
  world.large('shop.db', 80)
  const { code, stderr } = await run(installed, ['backup', '--json'], {
    ...environment(world),
    started: child => child.stderr.on('data', text => text.includes('"dumping"') && child.kill('SIGINT')),
  })
  assert.equal(code, 130, stderr)
  assert.match(stderr, /cancelled/)
  assert.deepEqual(world.objects().filter(name => /backup-\d/.test(name)), [])
})

test('what the Rust command wrote, Node reads; what Node wrote, the Rust command reads', async () => {
  const world = new World()
  const database = world.sqlite('shop.db')
  const native = (...args) => run(process.env.LASTGOOD_BIN, args, environment(world))
  const first = JSON.parse((await native('backup', '--json')).stdout)
  const vault = await world.open(database)
  assert.equal((await vault.show('latest')).id, first.id)
  assert.equal((await vault.verify(first.id)).rawBytes, first.source_bytes)
  await vault.restore(first.id, { target: `sqlite:${world.path('by-node.db')}` })
  assert.equal(world.rows('by-node.db', 'SELECT count(*) FROM visit'), '100')

  const second = await vault.backup()
  assert.equal((await native('verify', second.id)).code, 0)
  assert.equal((await native('drill', second.id)).code, 0)
  assert.equal((await native('restore', second.id, '--target', `sqlite:${world.path('by-rust.db')}`)).code, 0)
  assert.equal(world.rows('by-rust.db', 'SELECT count(*) FROM visit'), '100')
  // Proofs count in both languages.
  assert.ok((await vault.list()).every(b => b.verifiedAt || b.id === first.id))
  assert.equal(JSON.parse((await native('list', '--json')).stdout).find(b => b.id === first.id).verified_at !== null, true)
})
