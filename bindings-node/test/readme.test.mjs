// The quick start runs as it is printed, in a folder that has nothing but the package, on a machine that has nothing else.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { KEY, World, run } from './world.mjs'

for (const file of ['README.md', 'bindings-node/README.md']) {
  test(`the quick start of ${file} runs as printed`, async () => {
    const snippet = readFileSync(join(process.env.LASTGOOD_SOURCE, file), 'utf8').match(/```js\n([^]*?)```/)[1]
    const world = new World()
    world.sqlite('shop.db')
    writeFileSync(world.path('package.json'), '{ "private": true }')
    writeFileSync(world.path('quickstart.mjs'), snippet)
    // Nothing of this environment, the repository least of all.
    const bare = [`PATH=${process.env.PATH}`, `HOME=${world.folder}`, `BACKUP_ENCRYPTION_KEY=${KEY}`, 'npm_config_loglevel=error', 'npm_config_update_notifier=false']
    const alone = (...command) => run('env', ['-i', ...bare, ...command], { cwd: world.folder })
    const installed = await alone('npm', 'install', '--no-audit', '--no-fund', process.env.LASTGOOD_TARBALL)
    assert.equal(installed.code, 0, installed.all)

    const { code, stdout, stderr } = await alone('node', 'quickstart.mjs')
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /dumping \d+ \d+/)
    const [id] = stdout.match(/backup-\d{8}-\d{6}/)
    assert.equal(world.rows('copy.db', 'SELECT count(*) FROM visit'), '100')

    const listed = await alone('npx', 'lastgood', 'list', '--store', 'backups', '--json')
    assert.deepEqual([listed.code, JSON.parse(listed.stdout).map(b => b.id)], [0, [id]], listed.stderr)
    assert.equal((await alone('npx', 'lastgood', 'verify', 'latest', '--store', './backups', '--name', 'shop')).code, 0)
  })
}
