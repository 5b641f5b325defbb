// What calling through Node costs: the same backup and the same verification by the Rust command and by this package, in
// turns, in one run.
//
//   cargo build --release -p lastgood --features cli && node scripts/build.mjs --release
//   node bench.mjs DATABASE_URL [ROUNDS] [PATH OF THE RUST COMMAND]
//
// For the Rust command it counts what the command itself measured, without the start of its process; for Node the time of
// the awaited call, so everything that the binding adds is in it.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Vault } from 'lastgood'

const [database, rounds = '5', command = join(import.meta.dirname, '../target/release/lastgood')] = process.argv.slice(2)
if (!database) throw new Error('usage: node bench.mjs DATABASE_URL [ROUNDS] [PATH OF THE RUST COMMAND]')
const key = 'a passphrase of eleven words that nobody but this bench knows'
const folder = mkdtempSync(join(tmpdir(), 'lastgood-bench-'))
const median = values => values.toSorted((a, b) => a - b)[values.length >> 1]
const times = { backup: { rust: [], node: [] }, verify: { rust: [], node: [] } }

function rust(store, ...args) {
  const env = { ...process.env, DATABASE_URL: database, BACKUP_STORE_URL: store, BACKUP_ENCRYPTION_KEY: key }
  return JSON.parse(execFileSync(command, [...args, '--json', '--quiet'], { env, stdio: ['ignore', 'pipe', 'inherit'] }))
}

async function timed(list, work) {
  const began = performance.now()
  const report = await work()
  list.push(performance.now() - began)
  return report
}

try {
  const stores = [join(folder, 'rust'), join(folder, 'node')]
  const vault = await Vault.open({ database, store: stores[1], key })
  // The first run makes the store and warms the caches.
  const { sourceBytes, storedBytes } = await vault.backup()
  rust(stores[0], 'backup')
  for (let round = 0; round < Number(rounds); round++) {
    const native = rust(stores[0], 'backup')
    times.backup.rust.push(native.duration_ms)
    const { id } = await timed(times.backup.node, () => vault.backup({ onProgress: () => {} }))
    times.verify.rust.push(rust(stores[0], 'verify', native.id).duration_ms)
    await timed(times.verify.node, () => vault.verify(id, { onProgress: () => {} }))
  }
  await vault.close()
  console.log(`${(sourceBytes / 1e6).toFixed(0)} MB, stored as ${(storedBytes / 1e6).toFixed(0)} MB; medians of ${rounds}`)
  for (const [verb, { rust, node }] of Object.entries(times)) {
    const [a, b] = [median(rust), median(node)]
    console.log(`${verb}: Rust ${a.toFixed(0)} ms, Node ${b.toFixed(0)} ms: ${(100 * (b / a - 1)).toFixed(1)} % more`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
