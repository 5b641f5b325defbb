import { join } from 'node:path'

import { fromCore, toCore } from './convert'
import { native, type NativeVault } from './native'
import { caller, run, told } from './run'
import { leave, Schedule } from './schedule'
import type { Plan, RunOptions, VaultOptions } from './types'
import { Verbs, verbs } from './verbs'

/**
 * One database and the store that its backups lie in.
 *
 *     const vault = await Vault.open({ database: 'sqlite:shop.db', store: '/var/backups', key: process.env.BACKUP_KEY })
 *     const backup = await vault.backup({ tags: ['nightly'] })
 *     await vault.drill(backup.id)
 *     await vault.close()
 */
export class Vault extends Verbs {
  readonly #native: NativeVault
  readonly #running = new Set<Promise<unknown>>()
  readonly #schedules = new Set<Schedule>()

  private constructor(vault: NativeVault) {
    super()
    this.#native = vault
  }

  /** Opens a vault. What the options leave open is taken from the environment: `DATABASE_URL`, `BACKUP_STORE_URL`, `BACKUP_ENCRYPTION_KEY` … */
  static async open(options: VaultOptions = {}): Promise<Vault> {
    const here = caller(Vault.open)
    const vault = new (native().Vault)()
    await run('open', here, {}, tell => vault.open(JSON.stringify(toCore(withCommand(options), 'VaultOptions')), tell))
    return new Vault(vault)
  }

  /** Opens the vault that the environment describes. */
  static fromEnv(): Promise<Vault> {
    return Vault.open()
  }

  /**
   * Starts a schedule in this process: a cron expression of the backups, or a whole plan. It does at once what is due.
   *
   * A database and its store have one schedule in a process. Started again with the same plan it is the one that runs
   * already, as after a hot reload; with another plan, it takes its place. `runDue` is for hosts that do not stay.
   *
   *     const job = vault.schedule('0 2 * * *', { timeZone: 'Europe/Berlin', keep: { daily: 7, weekly: 4, monthly: 12 } })
   */
  schedule(backup: string, plan?: Omit<Plan, 'backup'>): Schedule
  schedule(plan?: Plan): Schedule
  schedule(given: string | Plan = {}, more: Plan = {}): Schedule {
    const plan = typeof given === 'string' ? { ...more, backup: given } : given
    const started = told(caller(this.schedule), 'schedule', () => this.#native.schedule(JSON.stringify(toCore(plan, 'Plan'))))
    const schedule = new Schedule(started)
    this.#schedules.add(schedule)
    return schedule
  }

  /**
   * Cancels what still runs, waits until it has cleaned up behind itself, and lets go of everything. Its schedules are
   * stopped, but for those that another vault has started as well. May be called twice.
   */
  async close(): Promise<void> {
    this.#native.close()
    await Promise.allSettled([...this.#running, ...[...this.#schedules].map(schedule => schedule[leave]())])
    this.#schedules.clear()
  }

  /** For `await using vault = …`: closes. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  protected override async call<Report>(verb: keyof typeof verbs, options: object, method: Function): Promise<Report> {
    const { signal, onProgress, ...own } = options as RunOptions
    const { options: type, report } = verbs[verb]
    const json = JSON.stringify(toCore(own, type))
    const work = run(verb, caller(method), { signal, onProgress }, tell => this.#native.call(verb, json, tell))
    this.#running.add(work)
    try {
      return fromCore(await work, report) as Report
    } finally {
      this.#running.delete(work)
    }
  }
}

/**
 * Two copies of SQLite in one process do not see each other's locks: SQLite files are read by a command of our own, so
 * that this package goes together with better-sqlite3 and node:sqlite.
 */
function withCommand(options: VaultOptions): VaultOptions {
  const command = [process.execPath, join(__dirname, '../bin/lastgood.js')]
  return { ...options, settings: { command, ...options.settings } }
}
