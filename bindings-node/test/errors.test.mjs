// Errors: what they carry, where they point, and what they never show.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { BackupError, onLog } from 'lastgood'
import { KEY, World } from './world.mjs'

test('an error has a code, a kind, the next step and the stack of its caller', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  await vault.backup()
  async function theCaller() {
    return await vault.verify('backup-19990101')
  }
  const error = await theCaller().catch(e => e)
  assert.ok(error instanceof BackupError && error instanceof Error)
  assert.equal(error.name, 'BackupError')
  assert.equal(error.code, 'backup_not_found')
  assert.equal(error.kind, 'not_found')
  assert.equal(error.retryable, false)
  assert.equal(error.next, '`list` shows the backups there are')
  assert.deepEqual(error.details, { verb: 'verify' })
  assert.match(error.message, /backup-19990101/)
  const [head, first] = error.stack.split('\n')
  assert.equal(head, error.toString())
  assert.match(first, /theCaller .*errors\.test\.mjs/)
  assert.equal(JSON.parse(JSON.stringify(error)).code, 'backup_not_found')
})

test('what may pass is retryable', async () => {
  const world = new World()
  const error = await world.open('postgres://app:s3cret@127.0.0.1:1/shop').then(v => v.backup()).catch(e => e)
  assert.equal(error.code, 'database_unavailable')
  assert.equal(error.retryable, true)
})

test('a misspelt option is named', async () => {
  const world = new World()
  await assert.rejects(world.open(world.sqlite('shop.db'), { stoer: 'x' }), { code: 'invalid_option', message: /stoer/ })
  const vault = await world.open(world.sqlite('shop.db', 'SELECT 1'))
  await assert.rejects(vault.backup({ tagz: [] }), { code: 'invalid_option', message: /tagz/ })
})

test('a closed vault says so', async () => {
  const world = new World()
  const vault = await world.open(world.sqlite('shop.db'))
  await vault.close()
  await vault.close()
  await assert.rejects(vault.backup(), { code: 'invalid_option', message: /closed/ })
})

test('secrets are in no error, no log and no print', async () => {
  const world = new World()
  const secrets = [KEY, 'canary-password', 'canary-access', 'canary-new-passphrase with many further words', '271828182']
  const texts = []
  const note = value => texts.push(inspect(value, { depth: 9, showHidden: true }), String(value), JSON.stringify(value) ?? '', String(value?.stack))
  const stop = onLog(note, { level: 'trace' })
  const vault = await world.open(world.sqlite('shop.db'))
  note(vault)
  note(await vault.backup())
  note(await vault.show('latest'))
  note(await vault.drill('latest'))
  for (const attempt of [
    () => world.open(`sqlite:${world.path('shop.db')}`, { key: 'canary-new-passphrase with many further words' }).then(v => v.show('latest')),
    () => world.open('postgres://app:canary-password@127.0.0.1:1/shop').then(v => v.backup()),
    () => world.open('postgres://app:canary-password@127.0.0.1:notaport/shop').then(v => v.backup()),
    () => world.open(`sqlite:${world.path('shop.db')}`, { key: 271828182 }),
    () => world.open(`sqlite:${world.path('shop.db')}`, { database: 271828182 }),
    () => world.open(`sqlite:${world.path('shop.db')}`, { store: 's3://b/p', storeOptions: { aws_access_key_id: 'canary-access', aws_secret_access_key: 'canary-access', aws_endpoint: 'http://127.0.0.1:1', aws_allow_http: 'true', aws_region: 'x' } }).then(v => v.list()),
    () => vault.restore('latest', { target: 'postgres://app:canary-password@127.0.0.1:1/shop' }),
    () => vault.rotateKey({ toPassphrase: 271828182 }),
  ]) {
    note(await attempt().then(() => assert.fail(`${attempt} did not fail`), e => e))
  }
  stop()
  const found = secrets.flatMap(secret => texts.filter(text => text.includes(secret)).map(text => `${secret} in ${text}`))
  assert.deepEqual(found, [])
})
