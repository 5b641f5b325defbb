import { fromCore } from './convert'
import type { NativeSchedule } from './native'
import { run } from './run'
import type { ScheduleStatus } from './types'

/** What a vault calls that is closed. @internal */
export const leave = Symbol('leave')

/**
 * A schedule that runs in this process until it is stopped. See {@link Vault.schedule}.
 *
 * It keeps no process alive. Waiting for what it does keeps one, as any waiting:
 *
 *     for await (const { last, error } of job) console.log(last?.ran, error)
 */
export class Schedule {
  readonly #native: NativeSchedule

  /** @internal */
  constructor(schedule: NativeSchedule) {
    this.#native = schedule
  }

  /** How it is now. */
  get status(): ScheduleStatus {
    return read(this.#native.status())
  }

  /** Stops it, and waits until a job that runs has cleaned up. May be called twice. */
  async stop(): Promise<void> {
    await run('schedule', {}, {}, tell => this.#native.stop(tell))
  }

  /** For `await using job = …`: stops. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** How it is each time that something was done or failed, until it is stopped or its vault is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ScheduleStatus, void, undefined> {
    let seen: unknown = null
    while ((seen = await run('schedule', {}, {}, tell => this.#native.changed(seen === null ? null : JSON.stringify(seen), tell)))) {
      yield fromCore(seen, 'ScheduleStatus') as ScheduleStatus
    }
  }

  /** @internal */
  async [leave](): Promise<void> {
    await run('schedule', {}, {}, tell => this.#native.leave(tell))
  }
}

const read = (json: string): ScheduleStatus => fromCore(JSON.parse(json), 'ScheduleStatus') as ScheduleStatus
