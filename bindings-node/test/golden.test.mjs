// Golden stores, which every version and every language reads, and damaged copies of them, which all refuse by the same name.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { Vault } from 'lastgood'
import { World, dump } from './world.mjs'

const vectors = join(process.env.LASTGOOD_SOURCE, 'tests/vectors')
const camel = name => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())

/** A copy of a golden store, since proofs are written beside backups. */
function golden(folder) {
  const world = new World()
  const told = JSON.parse(readFileSync(join(folder, 'store.json')))
  cpSync(join(folder, 'store'), world.path('store'), { recursive: true })
  const given = Object.entries(told.options).map(([name, value]) => [camel(name), name.endsWith('_file') ? join(folder, value) : value])
  return { ...told, world, options: { ...Object.fromEntries(given), name: told.name, store: world.path('store') } }
}

const stores = execFileSync('find', [vectors, '-name', 'store.json'], { encoding: 'utf8' }).trim().split('\n').map(dirname).sort()

for (const folder of stores) {
  test(`a golden store is read, verified, drilled and restored: ${folder.slice(vectors.length + 1)}`, async () => {
    const { world, options, backups, rows } = golden(folder)
    const vault = await Vault.open(options)
    assert.deepEqual((await vault.list()).map(b => b.id).reverse(), backups)
    for (const backup of backups) {
      assert.equal((await vault.show(backup)).rows, rows)
      await vault.verify(backup)
      await vault.drill(backup, { target: `sqlite:${world.path(`${backup}.drilled.db`)}`, queries: ['SELECT 4 FROM person'] })
      await vault.restore(backup, { target: `sqlite:${world.path(`${backup}.db`)}` })
      assert.equal(dump(world.path(`${backup}.db`)), dump(join(folder, '../shop.db')))
    }
    await vault.close()
  })
}

const damages = JSON.parse(readFileSync(join(vectors, 'damaged.json')))

test('every damaged golden store is refused by its name', async () => {
  assert.ok(damages.length > 10)
  for (const damage of damages) {
    const folder = join(vectors, '0.1.0', damage.store)
    const { world, options, backups } = golden(folder)
    const object = name => backups.reduce((text, backup, place) => text.replace(`{${place}}`, backup), name)
    const path = world.path(join('store', object(damage.object)))
    const before = readFileSync(path)
    let content = Buffer.from(before)
    if ('flip' in damage) content[damage.flip] ^= 1
    if ('truncate' in damage) content = content.subarray(0, -damage.truncate)
    if ('keep' in damage) content = content.subarray(0, damage.keep)
    if ('replace' in damage) content = Buffer.from(content.toString('latin1').replaceAll(...damage.replace), 'latin1')
    if ('from' in damage) content = readFileSync(join(folder, 'store', object(damage.from)))
    rmSync(path)
    if (!('remove' in damage)) {
      assert.notDeepEqual(content, before, damage.name)
      writeFileSync(path, content)
    }
    const verified = Vault.open(options).then(vault => vault.verify(backups[damage.backup ?? 0]))
    await assert.rejects(verified, { code: damage.code }, damage.name)
  }
})
