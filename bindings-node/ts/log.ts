import { native } from './native'

/** How grave a record is. The names are those of pino's and console's methods. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace'

/** One thing that happened. */
export interface LogRecord {
  readonly level: LogLevel
  readonly time: Date
  /** Where it comes from: a module of the core. */
  readonly target: string
  readonly message: string
  /** What it is about, by the names that the core gives. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** Stops the records; also with `using`. */
export interface LogSubscription extends Disposable {
  (): void
}

const listeners = new Set<(record: LogRecord) => void>()

/**
 * Calls the listener with each log record of this process's vaults, from this level up, until the answer is called.
 *
 * Nothing is logged anywhere before somebody asks for it. A listener does not keep the process alive.
 *
 *     onLog(record => pino[record.level](record.fields, record.message))
 */
export function onLog(listener: (record: LogRecord) => void, { level = 'info' }: { level?: LogLevel } = {}): LogSubscription {
  const safe = guarded(listener, 'onLog')
  const id = native().onLog(level, json => {
    const { level, time, target, message, fields } = JSON.parse(json) as LogRecord
    safe({ level, time: new Date(time), target, message, fields })
  })
  listeners.add(safe)
  const stop = () => {
    if (listeners.delete(safe)) native().stopLog(id)
  }
  return Object.assign(stop, { [Symbol.dispose]: stop })
}

/** What a callback throws must neither reach the event loop, where it would end the process, nor be lost. */
export function guarded<T>(callback: (value: T) => unknown, name: string): (value: T) => void {
  let told = false
  const failed = (error: unknown) => {
    if (!told) tell(name, error)
    told = true
  }
  return value => {
    try {
      const result = callback(value)
      // An async function throws later.
      if (result instanceof Promise) result.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}

function tell(callback: string, error: unknown): void {
  const message = `${callback} threw`
  if (listeners.size === 0 || callback === 'onLog') console.warn(`lastgood: ${message}:`, error)
  else for (const listener of listeners) listener({ level: 'warn', time: new Date(), target: 'lastgood::node', message, fields: { error } })
}
