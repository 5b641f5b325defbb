// MongoDB, whose documents a driver of its own writes and counts.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { MongoClient } from 'mongodb'
import { World } from './world.mjs'

const server = process.env.LASTGOOD_TEST_MONGODB_URL

test('a MongoDB database is backed up, verified, drilled, restored and exported', { skip: !server && 'skipped: LASTGOOD_TEST_MONGODB_URL names no server' }, async () => {
  const world = new World()
  const client = await new MongoClient(server).connect()
  const [shop, copy] = ['node_shop', 'node_copy'].map(name => client.db(`${name}_${process.pid}`))
  const url = ({ databaseName }) => Object.assign(new URL(server), { pathname: `/${databaseName}` }).href
  try {
    await shop.collection('person').insertMany(['Zoë', "O'Hara", ''].map((name, i) => ({ _id: i, name, photo: Buffer.from([0, 255, i]) })))
    await shop.collection('visit').insertMany(Array.from({ length: 100 }, (_, i) => ({ person: i % 3, at: `day ${i}` })))
    await shop.collection('visit').createIndex({ person: 1, at: -1 }, { name: 'whose', unique: true })

    const vault = await world.open(url(shop), { name: 'shop' })
    const backup = await vault.backup()
    assert.deepEqual([backup.rows, backup.warnings], [103, []])
    assert.equal((await vault.verify('latest')).rawBytes, backup.sourceBytes)
    assert.equal((await vault.drill('latest', { queries: ['{"count": "person"}'] })).rows, 103)
    await vault.restore('latest', { target: url(copy) })
    for (const name of ['person', 'visit']) assert.deepEqual(await copy.collection(name).find().sort({ _id: 1 }).toArray(), await shop.collection(name).find().sort({ _id: 1 }).toArray())
    assert.deepEqual((await copy.collection('visit').indexes()).map(index => index.name).sort(), ['_id_', 'whose'])
    await assert.rejects(vault.restore('latest', { target: url(copy) }), { name: 'BackupError', code: 'target_not_empty' })
    await vault.export('latest', { folder: world.path('dump') })
    assert.deepEqual(readdirSync(world.path(`dump/${shop.databaseName}`)).map(name => name.replace(/\.zst$/, '')).sort(), ['person.bson', 'person.metadata.json', 'visit.bson', 'visit.metadata.json'])
    assert.equal((await vault.databaseStats()).engine, 'mongodb')
    await vault.close()
  } finally {
    await Promise.all([shop.dropDatabase(), copy.dropDatabase()])
    await client.close()
  }
})
