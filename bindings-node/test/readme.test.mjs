// The quick start runs as it is printed, in a folder that has nothing but the package.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { KEY, World, run } from './world.mjs'

for (const file of ['bindings-node/README.md', 'README.md']) {
  const text = readFileSync(join(process.env.LASTGOOD_SOURCE, file), 'utf8')
  const snippet = text.match(/```js\n([^]*?)```/)?.[1]
  // The project's README may show it or not.
  if (!snippet && file === 'README.md') continue
  test(`the quick start of ${file} runs as printed`, async () => {
    const world = new World()
    world.sqlite('shop.db')
    writeFileSync(world.path('package.json'), '{ "private": true }')
    writeFileSync(world.path('quickstart.mjs'), snippet)
    const options = { cwd: world.folder, env: { BACKUP_ENCRYPTION_KEY: KEY, npm_config_loglevel: 'error' } }
    const installed = await run('npm', ['install', '--no-audit', '--no-fund', process.env.LASTGOOD_TARBALL], options)
    assert.equal(installed.code, 0, installed.all)
    const { code, stdout, stderr } = await run(process.execPath, ['quickstart.mjs'], options)
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /dumping \d+ \d+/)
    assert.match(stdout, /backup-\d{8}-\d{6}/)
    assert.equal(world.rows('copy.db', 'SELECT count(*) FROM visit'), '100')
  })
}
