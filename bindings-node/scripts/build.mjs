// Builds the package: the native module for this machine (`--release` for an optimized one, `--types` for none), and the
// TypeScript half. The file that Cargo made is copied beside package.json under its platform's name.

import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('..', import.meta.url))
const require = createRequire(import.meta.url)
const release = process.argv.includes('--release')
const run = (program, args) => execFileSync(program, args, { cwd: here, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 1 << 30 })

rmSync(join(here, 'dist'), { recursive: true, force: true })
try {
  run(process.execPath, [require.resolve('typescript/bin/tsc'), '--pretty', 'false'])
} catch (error) {
  console.error(error.stdout)
  process.exit(1)
}
// ES modules get the same objects: two copies of a class would fail `instanceof`.
for (const name of ['index', 'edge']) {
  const names = [...readFileSync(join(here, `dist/${name}.js`), 'utf8').matchAll(/^(?:Object\.defineProperty\(exports, "(\w+)"|exports\.(\w+) = (?!void 0))/gm)].map(m => m[1] ?? m[2])
  const list = [...new Set(names)].filter(name => name !== '__esModule').join(', ')
  writeFileSync(join(here, `dist/${name}.mjs`), `import all from './${name}.js'\nexport const { ${list} } = all\n`)
}
writeFileSync(join(here, 'dist/index.d.mts'), "export * from './index.js'\n")

if (!process.argv.includes('--types')) {
  const messages = run('cargo', ['build', '-p', 'lastgood-node', '--message-format=json-render-diagnostics', ...(release ? ['--release'] : [])])
  const artifact = messages.split('\n').filter(Boolean).map(JSON.parse).findLast(m => m.reason === 'compiler-artifact' && m.target.name === 'lastgood_node')
  const { platform } = require('../dist/native.js')
  const to = join(here, `lastgood.${platform()}.node`)
  // A file that some process has loaded must not change under it.
  rmSync(to, { force: true })
  copyFileSync(artifact.filenames.find(name => /\.(so|dylib|dll)$/.test(name)), to)
  console.log(to)
}
