// The types: what the core says, strict for those who use them, and what crosses at run time.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from './world.mjs'

const require = createRequire(import.meta.url)
const { fromCore, toCore } = require('../node_modules/lastgood/dist/convert.js')

test('the types are those that the core describes', async () => {
  const { code, all } = await run(process.execPath, [join(process.env.LASTGOOD_SOURCE, 'bindings-node/scripts/generate.mjs'), '--check'])
  assert.equal(code, 0, all)
})

test('names and dates are converted by the schema, and keys of maps are left alone', () => {
  assert.deepEqual(toCore({ keyFile: 'f', storeOptions: { aws_access_key_id: 'a', camelCase: 'b' }, settings: { partBytes: 1 }, trustedSigners: ['aB'] }, 'VaultOptions'), {
    key_file: 'f',
    store_options: { aws_access_key_id: 'a', camelCase: 'b' },
    settings: { part_bytes: 1 },
    trusted_signers: ['aB'],
  })
  const [summary] = fromCore([{ id: 'backup-1', finished_at: '2026-11-21T02:00:01.123456789Z', tags: ['a_b'], brand_new: 1 }], ['BackupSummary'])
  assert.deepEqual(summary.finishedAt, new Date('2026-11-21T02:00:01.123Z'))
  assert.deepEqual([summary.tags, summary.verifiedAt, summary.brandNew], [['a_b'], null, 1])
  assert.equal(Object.keys(summary)[0], 'id')
})

const consumer = `
import { BackupError, onLog, type Schedule, Vault, type BackupReport, type BackupSummary, type ErrorCode, type Progress, type VaultOptions } from 'lastgood'

const options: VaultOptions = { database: process.env['DATABASE_URL'], store: 's3://b/p', settings: { jobs: 4, readBack: 'content' } }

export async function nightly(signal: AbortSignal): Promise<BackupReport> {
  await using vault = await Vault.open(options)
  const report = await vault.backup({ tags: ['nightly'], signal, onProgress: (p: Progress) => void p.bytesTotal?.toFixed() })
  const at: number = report.finishedAt.getTime()
  const all: readonly BackupSummary[] = await vault.list({ limit: 10 })
  const proven: Date | null | undefined = all[0]?.drilledAt
  await vault.restore(report.id, { target: process.env['SCRATCH_URL'] })
  void [at, proven]
  return report
}

export async function stay(vault: Vault): Promise<Date | null> {
  await using job: Schedule = vault.schedule('0 2 * * *', { timeZone: 'UTC', keep: { daily: 7 } })
  for await (const { last, error, running } of job) {
    const codes: readonly (string | undefined)[] = last?.ran.map(({ job, ok, error }) => (ok ? job : error?.code)) ?? []
    void [codes, error?.message, running]
  }
  return vault.schedule({ backup: '0 2 * * *', drill: 'off' }).status.nextRunAt
}

export function explain(error: unknown): ErrorCode | undefined {
  if (!(error instanceof BackupError)) return undefined
  const code: ErrorCode = error.code
  switch (error.code) {
    case 'wrong_key':
      return code
    // @ts-expect-error there is no such code
    case 'wrong_kye':
      return undefined
    default:
      return error.retryable ? error.code : undefined
  }
}

const stop = onLog(record => console[record.level](record.message, record.fields), { level: 'debug' })
stop()

// @ts-expect-error there is no such option
void Vault.open({ databse: 'x' })
// @ts-expect-error the backup has to be named
void Vault.fromEnv().then(v => v.verify())
// @ts-expect-error the cron expression was given
void Vault.fromEnv().then(v => v.schedule('0 2 * * *', { backup: '0 3 * * *' }))
// @ts-expect-error there is no such level
onLog(() => {}, { level: 'loud' })
`

for (const [name, module, file] of [['ES modules', 'node16', 'consumer.mts'], ['CommonJS', 'node16', 'consumer.cts'], ['bundlers', 'bundler', 'bundled.ts']]) {
  test(`a strict consumer compiles: ${name}`, async () => {
    const folder = join(import.meta.dirname, '..')
    writeFileSync(join(folder, file), consumer)
    const resolution = module === 'bundler' ? ['--module', 'esnext', '--moduleResolution', 'bundler'] : ['--module', module]
    const args = ['--strict', '--noEmit', '--exactOptionalPropertyTypes', '--noPropertyAccessFromIndexSignature', '--target', 'es2022', '--lib', 'es2022,esnext.disposable', '--types', 'node', ...resolution, file]
    const { code, all } = await run(process.execPath, [join(folder, 'node_modules/typescript/bin/tsc'), ...args], { cwd: folder })
    assert.equal(code, 0, all)
  })
}

test('CommonJS and ES modules get the same classes', async () => {
  const esm = await import('lastgood')
  const cjs = require('lastgood')
  assert.deepEqual(Object.keys(esm).sort(), Object.keys(cjs).sort())
  assert.equal(esm.BackupError, cjs.BackupError)
})

for (const condition of ['edge-light', 'workerd', 'browser']) {
  test(`without Node it is refused clearly: ${condition}`, async () => {
    const text = `import * as all from 'lastgood'
      const { Vault, BackupError, onLog } = all
      const error = await Vault.open({}).catch(e => e)
      let log; try { onLog(() => {}) } catch (e) { log = e }
      console.log(error instanceof BackupError, log.code, String(error), Object.keys(all).sort())`
    const { stdout, stderr } = await run(process.execPath, ['--conditions', condition, '--input-type=module', '-'], { cwd: import.meta.dirname, input: text })
    assert.match(stdout, /^true not_compiled_in BackupError \[not_compiled_in\]: lastgood needs Node\.js.*runtime = 'nodejs'.*\[ 'BackupError', 'Schedule', 'Vault', 'onLog' \]/, stderr)
    assert.deepEqual(Object.keys(await import('lastgood')).sort(), ['BackupError', 'Schedule', 'Vault', 'onLog'])
  })
}
