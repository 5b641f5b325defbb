// The contender in Node of `benches/overhead`: does what a line of standard input tells it, and answers the seconds that
// the awaited call took.

import { createInterface } from 'node:readline'
import { Vault } from 'lastgood'

const [database, store] = process.argv.slice(2)
const vault = await Vault.open({ database, store })
const verbs = {
  backup: () => vault.backup({ onProgress: () => {} }),
  verify: () => vault.verify('latest', { onProgress: () => {} }),
}
for await (const verb of createInterface({ input: process.stdin })) {
  const began = performance.now()
  await verbs[verb]()
  console.log((performance.now() - began) / 1000)
}
await vault.close()
