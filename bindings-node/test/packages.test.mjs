// What is published: the main package without a native module, and one package a platform.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { World, run } from './world.mjs'

const source = join(process.env.LASTGOOD_SOURCE, 'bindings-node')
const { platform } = createRequire(import.meta.url)('../node_modules/lastgood/dist/native.js')

test('the package of this platform and the main package work together, and without it the error says what to install', async () => {
  const world = new World()
  const prepared = await run(process.execPath, [join(source, 'scripts/platforms.mjs'), source, world.path('npm')])
  assert.equal(prepared.code, 0, prepared.all)
  const name = `lastgood-${platform()}`
  const main = JSON.parse(readFileSync(world.path('npm/lastgood/package.json')))
  assert.deepEqual(main.optionalDependencies, { [name]: main.version })
  const tarballs = []
  for (const folder of ['lastgood', name]) {
    const packed = await run('npm', ['pack', '--silent', '--pack-destination', world.folder], { cwd: world.path(`npm/${folder}`) })
    tarballs.push(world.path(packed.stdout.trim()))
  }
  writeFileSync(world.path('package.json'), '{ "private": true }')
  const install = (...files) => run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...files], { cwd: world.folder })
  const open = () => run(process.execPath, ['-e', `require('lastgood').Vault.open({ store: 'ftp://x' }).catch(e => console.log(e.code, e.message, e.next))`], { cwd: world.folder })

  const both = await install(...tarballs)
  assert.equal(both.code, 0, both.all)
  assert.deepEqual(readdirSync(world.path('node_modules')).filter(n => !n.startsWith('.')).sort(), ['lastgood', name])
  assert.match((await open()).stdout, /^invalid_url/)

  // As --omit=optional leaves it.
  rmSync(world.path(`node_modules/${name}`), { recursive: true })
  const { stdout } = await open()
  assert.match(stdout, new RegExp(`^not_compiled_in .*${platform()}.*install ${name}`))
})
