// One store, three languages: what each of Node, Python and the Rust command writes, all of them list, show, verify, drill
// and restore.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { KEY, World, dump, postgres, run } from './world.mjs'

const wheel = () => {
  try {
    return readdirSync(process.env.LASTGOOD_WHEELS).filter(name => name.endsWith('.whl')).map(name => join(process.env.LASTGOOD_WHEELS, name))[0]
  } catch {
    return undefined
  }
}
const skip = !wheel() && !process.env.CI && 'skipped: there is no wheel; bindings-python/run-tests makes one'

async function told(program, args, env) {
  const { code, stdout, all } = await run(program, args, { env })
  assert.equal(code, 0, all)
  return JSON.parse(stdout)
}

const PYTHON = `
import json, sys
from lastgood import Vault

place, what, *rest = json.loads(sys.argv[1])
with Vault(**place, work_factor=4) as vault:
    if what == "write":
        answer = vault.backup(tags=["by Python"]).id
    else:
        backup, target = rest
        (listed,) = vault.list()
        answer = [listed.id, list(listed.tags), vault.show(backup).rows, vault.verify(backup).raw_bytes, vault.drill(backup).rows]
        vault.restore(backup, target=target, no_owner=True)
print(json.dumps(answer))
`

describe('stores go back and forth between Node, Python and the command line', { skip }, () => {
  const world = new World()
  before(async () => {
    const made = await run('python3', ['-m', 'venv', world.path('venv')])
    assert.equal(made.code, 0, made.all)
    const installed = await run(world.path('venv/bin/pip'), ['install', '-q', '--disable-pip-version-check', '--no-index', wheel()])
    assert.equal(installed.code, 0, installed.all)
  })

  const python = (place, ...call) => told(world.path('venv/bin/python'), ['-c', PYTHON, JSON.stringify([place, ...call])])
  const rust = ({ database, store, name }, ...args) =>
    told(process.env.LASTGOOD_BIN, [...args, '--json', '--quiet', '--store', store, ...(name ? ['--name', name] : [])], { BACKUP_ENCRYPTION_KEY: KEY, DATABASE_URL: database })

  const languages = {
    Node: {
      async write({ database, ...more }) {
        const vault = await world.open(database, more)
        const { id } = await vault.backup({ tags: ['by Node'] })
        await vault.close()
        return id
      },
      async read({ database, ...more }, backup, target) {
        const vault = await world.open(database, more)
        const [listed, ...others] = await vault.list()
        assert.deepEqual(others, [])
        const answer = [listed.id, listed.tags, (await vault.show(backup)).rows, (await vault.verify(backup)).rawBytes, (await vault.drill(backup)).rows]
        await vault.restore(backup, { target, noOwner: true })
        await vault.close()
        return answer
      },
    },
    Python: {
      write: place => python(place, 'write'),
      read: (place, backup, target) => python(place, 'read', backup, target),
    },
    'the command line': {
      write: async place => (await rust(place, 'backup', '--tag', 'by the command line')).id,
      async read(place, backup, target) {
        const [listed] = await rust(place, 'list')
        const answer = [listed.id, listed.tags, (await rust(place, 'show', backup)).rows, (await rust(place, 'verify', backup)).raw_bytes, (await rust(place, 'drill', backup)).rows]
        await rust(place, 'restore', backup, '--target', target, '--no-owner')
        return answer
      },
    },
  }

  /** `target` makes URLs of databases that are not there yet; `content` is everything that is in one. */
  async function exchanged(database, rows, target, content) {
    for (const [writer, { write }] of Object.entries(languages)) {
      const place = { database, name: 'shop', store: world.path(`${new URL(database).protocol}${writer}`), key: KEY }
      const id = await write(place)
      let bytes
      for (const [reader, { read }] of Object.entries(languages)) {
        const to = target(`${writer} ${reader}`.replace(/\W/g, '_').toLowerCase())
        const [listed, tags, shown, raw, drilled] = await read(place, id, to)
        assert.deepEqual([listed, tags, shown, drilled], [id, [`by ${writer}`], rows, rows], `${writer} → ${reader}`)
        assert.equal(raw, (bytes ??= raw))
        assert.equal(content(to), content(database), `${writer} → ${reader}`)
      }
      // Proofs of one count in the others.
      const { proofs } = await rust(place, 'show', id)
      assert.deepEqual(proofs.map(p => [p.kind, p.ok]), Array(3).fill([['verify', true], ['drill', true]]).flat())
    }
  }

  test('a SQLite database', () => exchanged(world.sqlite('shop.db'), 103, name => `sqlite:${world.path(name)}.db`, url => dump(url.slice('sqlite:'.length))))

  test('a PostgreSQL database', { skip: !process.env.LASTGOOD_TEST_POSTGRES_URL && 'skipped: LASTGOOD_TEST_POSTGRES_URL names no server' }, () => {
    const database = postgres('exchange', `CREATE TABLE person AS SELECT i, 'name ' || i AS name, decode(md5(i::text), 'hex') AS photo FROM generate_series(1, 100) i`)
    return exchanged(database.url, 100, name => database.beside(name), url => database.query('COPY (SELECT * FROM person ORDER BY i) TO STDOUT', url))
  })
})
