import { join } from 'node:path'

import { fromCore, toCore } from './convert'
import { BackupError, type Failure } from './error'
import { guarded } from './log'
import { native, type NativeVault, type Running, type Tell } from './native'
import type { Progress, RunOptions, VaultOptions } from './types'
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

  /** Cancels what still runs, waits until it has cleaned up behind itself, and lets go of everything. May be called twice. */
  async close(): Promise<void> {
    this.#native.close()
    await Promise.allSettled(this.#running)
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

/** Starts native work, and makes a promise of what it tells. */
function run(verb: string, here: { stack?: string }, { signal, onProgress }: RunOptions, start: (tell: Tell) => Running): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (failure: Failure) => reject(new BackupError({ ...failure, verb }, here, failure.code === 'cancelled' ? signal?.reason : undefined))
    if (signal?.aborted) return fail({ code: 'cancelled', kind: 'cancelled', message: 'the operation was cancelled' })
    const tellProgress = onProgress && guarded(onProgress, 'onProgress')
    const running = start(json => {
      const told = JSON.parse(json) as { Progress: unknown } | { Ok: unknown } | { Err: Failure }
      if ('Progress' in told) return tellProgress?.(fromCore(told.Progress, 'Progress') as Progress)
      signal?.removeEventListener('abort', cancel)
      if ('Ok' in told) resolve(told.Ok)
      else fail(told.Err)
    })
    const cancel = () => running.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
  })
}

/** The stack of whoever called this function. */
function caller(of: Function): { stack?: string } {
  const here = {}
  Error.captureStackTrace(here, of)
  return here
}

/**
 * Two copies of SQLite in one process do not see each other's locks: SQLite files are read by a command of our own, so
 * that this package goes together with better-sqlite3 and node:sqlite.
 */
function withCommand(options: VaultOptions): VaultOptions {
  const command = [process.execPath, join(__dirname, '../bin/lastgood.js')]
  return { ...options, settings: { command, ...options.settings } }
}
