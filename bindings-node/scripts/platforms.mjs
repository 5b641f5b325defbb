// Prepares what is published: one package a platform with its native module, of which npm installs the one that fits, and
// the main package that names them as optional dependencies.
//
//   node scripts/platforms.mjs MODULES [OUT]   MODULES: folder with lastgood.<platform>.node files; OUT: default npm/

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('..', import.meta.url))
const [modules, out = join(here, 'npm')] = process.argv.slice(2)
if (!modules) throw new Error('usage: node scripts/platforms.mjs MODULES [OUT]')
const main = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'))
const known = [...readFileSync(join(here, 'ts/native.ts'), 'utf8').matchAll(/'\.\.\/lastgood\.([\w-]+)\.node'/g)].map(m => m[1])
const save = (folder, manifest) => writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)

rmSync(out, { recursive: true, force: true })
const found = readdirSync(resolve(modules)).filter(name => name.endsWith('.node'))
const platforms = found.map(name => name.replace(/^lastgood\.|\.node$/g, ''))
for (const platform of platforms) {
  if (!known.includes(platform)) throw new Error(`ts/native.ts does not load ${platform}`)
  const [os, cpu, libc] = platform.split('-')
  const folder = join(out, `lastgood-${platform}`)
  const file = `lastgood.${platform}.node`
  mkdirSync(folder, { recursive: true })
  cpSync(join(modules, file), join(folder, file))
  writeFileSync(join(folder, 'README.md'), `The native module of [lastgood](https://www.npmjs.com/package/lastgood) for ${platform}. Install \`lastgood\`.\n`)
  save(folder, {
    name: `lastgood-${platform}`,
    version: main.version,
    description: `The native module of lastgood for ${platform}`,
    license: main.license,
    repository: main.repository,
    engines: main.engines,
    os: [os],
    cpu: [cpu],
    ...(libc ? { libc: [libc === 'gnu' ? 'glibc' : libc] } : {}),
    main: file,
    files: [file],
  })
}

const missing = known.filter(platform => !platforms.includes(platform))
if (missing.length > 0) console.error(`no module for ${missing.join(', ')}`)
const folder = join(out, 'lastgood')
mkdirSync(folder)
for (const part of ['dist', 'bin', 'README.md']) if (existsSync(join(here, part))) cpSync(join(here, part), join(folder, part), { recursive: true })
const { devDependencies: _, scripts: __, ...published } = main
for (const license of ['LICENSE-APACHE', 'LICENSE-MIT']) cpSync(join(here, '..', license), join(folder, license))
save(folder, { ...published, files: ['dist', 'bin', 'LICENSE-*'], optionalDependencies: Object.fromEntries(platforms.map(platform => [`lastgood-${platform}`, main.version])) })
console.log(`${out}: lastgood ${main.version} and ${platforms.join(', ')}`)
