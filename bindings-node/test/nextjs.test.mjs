// The example application: built from the packed tarball, served as `standalone`, and driven in a browser.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { chromium } from 'playwright-core'
import { KEY, World, postgres, run } from './world.mjs'

const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const skip = !browserPath && !process.env.CI && 'skipped: Chromium is not installed'
const artifacts = join(process.env.LASTGOOD_ARTIFACTS, 'screenshots')
const app = join(import.meta.dirname, '../nextjs')
const secrets = { ADMIN_PASSWORD: 'open sesame', CRON_SECRET: 'every night' }
const quiet = { NEXT_TELEMETRY_DISABLED: '1', npm_config_loglevel: 'error' }

async function command(program, args, options = {}) {
  const result = await run(program, args, { cwd: app, ...options, env: { ...quiet, ...options.env } })
  assert.equal(result.code, 0, result.all)
  return result
}

/** A port that nobody listens on. */
const freePort = () => new Promise(resolve => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

/** Starts a server of the application and waits until it answers. */
async function serve(args, env) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = spawn(process.execPath, args(port), { cwd: app, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...quiet, ...env, PORT: port, HOSTNAME: '127.0.0.1' } })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', text => (output += text))
  const ended = new Promise(resolve => child.on('exit', resolve))
  const stop = async () => (child.kill(), await ended)
  after(stop)
  for (;;) {
    if (child.exitCode !== null) assert.fail(output)
    try {
      if ((await fetch(`${url}/api/health/live`)).ok) return { url, stop }
    } catch {
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

const standalone = env => serve(() => ['.next/standalone/server.js'], { BACKUP_ENCRYPTION_KEY: KEY, ...secrets, ...env })

describe('the Next.js example', { skip }, () => {
  const world = new World()
  const store = world.path('store')
  const database = `sqlite:${join(app, 'shop.db')}`

  before(async () => {
    cpSync(join(process.env.LASTGOOD_SOURCE, 'examples/nextjs'), app, { recursive: true, filter: path => !/node_modules|\.next(\/|$)|shop\.db|package-lock/.test(path) })
    mkdirSync(artifacts, { recursive: true })
    await command('npm', ['install', '--no-audit', '--no-fund', process.env.LASTGOOD_TARBALL])
    await command('npm', ['run', 'seed', '40000'])
    await command('npm', ['run', 'build'])
  })

  test('standalone output brings what is loaded at run time', () => {
    const inside = join(app, '.next/standalone/node_modules/lastgood')
    assert.ok(existsSync(join(inside, 'bin/lastgood.js')))
    assert.ok(existsSync(join(inside, 'dist/index.js')))
    assert.ok(/\.node\n/.test(execFileSync('ls', [inside], { encoding: 'utf8' })))
  })

  test('health, metrics and the cron route', async () => {
    const { url, stop } = await standalone({ DATABASE_URL: database, BACKUP_STORE_URL: world.path('cron') })
    assert.deepEqual(await (await fetch(`${url}/api/health/live`)).json(), { status: 'ok' })
    const { status } = await (await fetch(`${url}/api/health`)).json()
    assert.equal(status, 'degraded', 'there is no backup yet')

    const cron = `${url}/api/cron/backup`
    for (const headers of [{}, { authorization: 'Bearer' }, { authorization: 'Bearer every night?' }, { authorization: 'every night' }]) {
      assert.equal((await fetch(cron, { headers })).status, 401)
    }
    // Several callers at once, as when a scheduler loses patience: each slot is done once.
    const call = () => fetch(cron, { method: 'POST', headers: { authorization: 'Bearer every night' } })
    const answers = await Promise.all([call(), call(), call()])
    assert.deepEqual(answers.map(a => a.status), [200, 200, 200])
    const reports = await Promise.all(answers.map(a => a.json()))
    assert.deepEqual(reports.flatMap(r => r.ran).map(r => [r.job, r.ok]), ['backup', 'verify', 'drill', 'prune'].map(job => [job, true]))
    assert.ok(reports.every(r => r.ran.length > 0 || r.heldBy || r.next.length === 4), JSON.stringify(reports))
    const again = await (await call()).json()
    assert.deepEqual([again.ran, again.heldBy], [[], null], 'nothing is due any more')
    assert.deepEqual(again.next.map(n => n.job).sort(), ['backup', 'drill', 'prune', 'verify'])

    const metrics = await fetch(`${url}/api/metrics`)
    assert.match(metrics.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
    let text = await metrics.text()
    // What the store holds is remembered for some seconds.
    while (!/^lastgood_backup_last_success_timestamp_seconds\{.*\} \d/m.test(text)) text = await (await fetch(`${url}/api/metrics`)).text()
    assert.match(text, /^lastgood_operations_total\{op="run_due",outcome="ok"\} \d$/m)
    assert.match(text, /^lastgood_drill_last_success_timestamp_seconds\{.*\} \d/m)

    assert.equal((await fetch(`${url}/admin`)).status, 401)
    assert.equal((await fetch(`${url}/api/backups`, { method: 'POST' })).status, 401)
    const authorization = `Basic ${Buffer.from('admin:open sesame').toString('base64')}`
    assert.equal((await fetch(`${url}/api/backups`, { method: 'POST', headers: { authorization, 'sec-fetch-site': 'cross-site' } })).status, 403)
    await stop()
  })

  test('the cron route follows the plan of the environment, and says what failed', async () => {
    const env = { BACKUP_STORE_URL: world.path('cron-fails'), BACKUP_SCHEDULE: '0 3 * * *; verify=off; drill=off; prune=off' }
    const broken = await standalone({ ...env, DATABASE_URL: `sqlite:${world.path('missing.db')}` })
    const cron = ({ url }) => fetch(`${url}/api/cron/backup`, { headers: { authorization: 'Bearer every night' } })
    const failed = await cron(broken)
    const { ran } = await failed.json()
    assert.equal(failed.status, 500)
    assert.deepEqual(ran.map(r => [r.job, r.ok, r.error.code]), [['backup', false, 'database_not_found']])
    await broken.stop()
    const nonsense = await standalone({ ...env, DATABASE_URL: database, BACKUP_SCHEDULE: 'at noon' })
    const refused = await cron(nonsense)
    assert.deepEqual([refused.status, (await refused.json()).error.code], [400, 'invalid_option'])
    await nonsense.stop()
  })

  test('PostgreSQL by environment', { skip: !process.env.LASTGOOD_TEST_POSTGRES_URL && 'skipped: LASTGOOD_TEST_POSTGRES_URL names no server' }, async () => {
    const { url: DATABASE_URL } = postgres('node_next', 'CREATE TABLE orders AS SELECT * FROM generate_series(1, 1000) id')
    const { url, stop } = await standalone({ DATABASE_URL, BACKUP_STORE_URL: world.path('postgres') })
    const answer = await (await fetch(`${url}/api/cron/backup`, { headers: { authorization: 'Bearer every night' } })).json()
    assert.deepEqual(answer.ran?.map(r => [r.job, r.ok]), ['backup', 'verify', 'drill', 'prune'].map(job => [job, true]), JSON.stringify(answer))
    assert.equal((await (await fetch(`${url}/api/health`)).json()).database, 'connected')
    await stop()
  })

  test('an administrator makes a backup, watches it, drills it and sees the proof', async () => {
    await history(join(app, 'shop.db'), store)
    const { url, stop } = await standalone({ DATABASE_URL: database, BACKUP_STORE_URL: store })
    const browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'] })
    after(() => browser.close())
    const page = await browser.newPage({ viewport: { width: 1120, height: 960 }, deviceScaleFactor: 1, httpCredentials: { username: 'admin', password: 'open sesame' } })
    const problems = []
    page.on('pageerror', e => problems.push(String(e)))
    page.on('console', m => m.type() === 'error' && problems.push(m.text()))
    const shot = name => page.screenshot({ path: join(artifacts, `${name}.png`) })

    await page.goto(`${url}/admin`)
    const rows = page.locator('tbody tr')
    const atFirst = await rows.count()
    assert.ok(atFirst > 1)
    for (const chart of [/^Stored size of \d+ backups, from .* to .*; the newest/, /^Duration of \d+ backups, from .* to .*; the newest/]) await page.getByRole('img', { name: chart }).waitFor()

    // By keyboard alone: the first thing that Tab reaches is the button.
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Back up now')
    // The bar is there for as long as the backup runs, which may be too short to be met: what it showed is kept.
    await page.evaluate(() => {
      window.shown = []
      const look = () => {
        const value = document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow')
        if (value != null) window.shown.push(Number(value))
      }
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true })
    })
    await page.keyboard.press('Enter')
    await page.getByText(/holds 44,000 rows/).waitFor()
    const shown = await page.evaluate(() => window.shown)
    assert.ok(shown.length > 0, 'a progress bar was shown')
    await page.waitForFunction(n => document.querySelectorAll('tbody tr').length === n, atFirst + 1)
    assert.match(await rows.first().textContent(), /just now.*by hand.*Unproven/)

    await rows.first().getByRole('button', { name: /^Verify backup-/ }).click()
    await page.getByText(/Every byte of .* is as it was written/).waitFor()
    await rows.first().getByText(/Verified just now/).waitFor()

    await rows.first().getByRole('button', { name: /^Drill backup-/ }).click()
    await page.getByText(/is proven: restored in .*44,000 rows/).waitFor()
    await rows.first().getByText(/Drilled just now/).waitFor()
    await shot('admin')
    await page.emulateMedia({ colorScheme: 'dark' })
    await shot('admin-dark')
    await page.emulateMedia({ colorScheme: 'light' })
    await page.setViewportSize({ width: 390, height: 844 })
    await shot('admin-phone')
    await page.setViewportSize({ width: 1120, height: 960 })

    await page.addScriptTag({ path: createRequire(import.meta.url).resolve('axe-core/axe.min.js') })
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme })
      const { violations } = await page.evaluate(() => axe.run())
      assert.deepEqual(violations.map(v => `${colorScheme}: ${v.id}: ${v.nodes.map(n => n.html).join(' ')}`), [])
    }
    await page.emulateMedia({ colorScheme: 'light' })

    // A backup that is cancelled is not there.
    await page.getByRole('button', { name: 'Back up now' }).click()
    await page.waitForFunction(() => Number(document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow')) > 5)
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByText('Cancelled.').waitFor()
    await page.reload()
    assert.equal(await rows.count(), atFirst + 1)
    assert.deepEqual(problems, [])

    // What fails is shown with its code and the next step, and leaves a page that works.
    renameSync(join(app, 'shop.db'), join(app, 'moved.db'))
    await page.getByRole('button', { name: 'Back up now' }).click()
    const alert = page.getByRole('alert').filter({ hasText: 'Next:' })
    await alert.waitFor()
    assert.match(await alert.textContent(), /^database_not_found .*Next:/)
    await shot('problem')
    renameSync(join(app, 'moved.db'), join(app, 'shop.db'))
    await page.getByRole('button', { name: 'Back up now' }).click()
    await page.getByText(/holds 44,000 rows/).waitFor().catch(async e => { throw new Error(`${await page.evaluate(() => document.body.innerText)}\n${problems}`, { cause: e }) })
    await browser.close()
    await stop()
  })

  test('a hot reload keeps one vault, and one that did not open is tried again', async () => {
    const probe = join(app, 'app/api/probe/route.ts')
    mkdirSync(join(app, 'app/api/probe'))
    const source = mark => `import { vault } from '@/lib/vault'
      export const dynamic = 'force-dynamic'
      export async function GET(request: Request) {
        const holder = globalThis as unknown as { lastgoodVault?: Promise<unknown> }
        let failed = ''
        if (new URL(request.url).searchParams.has('break')) {
          const store = process.env.BACKUP_STORE_URL
          delete holder.lastgoodVault
          process.env.BACKUP_STORE_URL = 'ftp://nowhere'
          failed = await vault().then(() => 'opened', e => e.code)
          process.env.BACKUP_STORE_URL = store
        }
        const opened = (await vault()) as unknown as { probe?: string }
        opened.probe ??= crypto.randomUUID()
        return Response.json({ vault: opened.probe, mark: ${mark}, failed })
      }`
    writeFileSync(probe, source(1))
    const { url, stop } = await serve(port => ['node_modules/next/dist/bin/next', 'dev', '--port', port], { DATABASE_URL: database, BACKUP_STORE_URL: store, BACKUP_ENCRYPTION_KEY: KEY })
    const ask = async (query = '') => (await fetch(`${url}/api/probe${query}`)).json()
    const first = await ask()
    appendFileSync(join(app, 'lib/vault.ts'), '\nexport const changed = true\n')
    writeFileSync(probe, source(2))
    let second
    do second = await ask().catch(() => ({}))
    while (second.mark !== 2)
    assert.equal(second.vault, first.vault)
    const third = await ask('?break')
    assert.equal(third.failed, 'invalid_url')
    assert.notEqual(third.vault, first.vault)
    await stop()
  })
})

/** Ten days of backups of a shop that grows, where `faketime` can set the clock; otherwise a few of today. */
async function history(file, store) {
  const env = { DATABASE_URL: `sqlite:${file}`, BACKUP_STORE_URL: store, BACKUP_ENCRYPTION_KEY: KEY }
  const lastgood = process.env.LASTGOOD_BIN
  const clock = existsSync('/usr/bin/faketime')
  const days = clock ? 10 : 3
  const small = join(store, '../shop.db')
  writeFileSync(small, readFileSync(file))
  for (let day = days; day >= 1; day--) {
    const kept = Math.round(40_000 * (1 - day * 0.035 - (day % 3) * 0.012))
    execFileSync('sqlite3', [small, `DELETE FROM orders WHERE id > ${kept}; VACUUM`])
    const at = new Date(Date.now() - day * 86_400_000)
    at.setUTCHours(2, 0, 4, 0)
    const dated = (...args) => (clock ? run('/usr/bin/faketime', [at.toISOString().slice(0, 19).replace('T', ' '), lastgood, ...args], { env: { ...env, TZ: 'UTC', DATABASE_URL: `sqlite:${small}` } }) : run(lastgood, args, { env }))
    const { id } = JSON.parse((await dated('backup', '--tag', 'nightly', '--json')).stdout)
    if (day % 3 === 1) assert.equal((await dated('drill', id)).code, 0)
    else if (day % 3 === 2) assert.equal((await dated('verify', id)).code, 0)
    writeFileSync(small, readFileSync(file))
  }
}
