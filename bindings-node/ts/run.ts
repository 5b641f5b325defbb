/** How work of the native module becomes promises and errors of this language. */

import { fromCore } from './convert'
import { BackupError, type Failure } from './error'
import { guarded } from './log'
import type { Running, Tell } from './native'
import type { Progress, RunOptions } from './types'

/** Starts native work, and makes a promise of what it tells. */
export function run(verb: string, here: { stack?: string }, { signal, onProgress }: RunOptions, start: (tell: Tell) => Running): Promise<unknown> {
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

/** Runs native code that answers at once, and throws what it throws as an error of this language. */
export function told<Answer>(here: { stack?: string }, verb: string, ask: () => Answer): Answer {
  try {
    return ask()
  } catch (error) {
    throw new BackupError({ ...(JSON.parse((error as Error).message) as Failure), verb }, here)
  }
}

/** The stack of whoever called this function. */
export function caller(of: Function): { stack?: string } {
  const here = {}
  Error.captureStackTrace(here, of)
  return here
}
