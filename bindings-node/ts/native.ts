/** The native module of this platform. */

import { BackupError } from './error'

/** What the native module tells, as JSON: `{"Progress": …}` any number of times, then once `{"Ok": …}` or `{"Err": …}`. */
export type Tell = (json: string) => void

export interface Running {
  cancel(): void
}

export interface NativeVault {
  open(options: string, tell: Tell): Running
  call(verb: string, options: string, tell: Tell): Running
  schedule(plan: string): NativeSchedule
  close(): void
}

export interface NativeSchedule {
  status(): string
  changed(seen: string | null, tell: Tell): Running
  stop(tell: Tell): Running
  leave(tell: Tell): Running
}

export interface Native {
  Vault: new () => NativeVault
  cli(args: string[], tell: Tell): Running
  onLog(level: string, listener: (json: string) => void): number
  stopLog(id: number): void
}

// Written out, so that bundlers and file tracing see which files belong to a program. A file beside this package is one
// that was built here; otherwise npm installed the package of this platform.
const platforms: Record<string, readonly [() => Native, () => Native]> = {
  'linux-x64-gnu': [() => require('../lastgood.linux-x64-gnu.node'), () => require('lastgood-linux-x64-gnu')],
  'linux-x64-musl': [() => require('../lastgood.linux-x64-musl.node'), () => require('lastgood-linux-x64-musl')],
  'linux-arm64-gnu': [() => require('../lastgood.linux-arm64-gnu.node'), () => require('lastgood-linux-arm64-gnu')],
  'linux-arm64-musl': [() => require('../lastgood.linux-arm64-musl.node'), () => require('lastgood-linux-arm64-musl')],
  'darwin-x64': [() => require('../lastgood.darwin-x64.node'), () => require('lastgood-darwin-x64')],
  'darwin-arm64': [() => require('../lastgood.darwin-arm64.node'), () => require('lastgood-darwin-arm64')],
  'win32-x64': [() => require('../lastgood.win32-x64.node'), () => require('lastgood-win32-x64')],
}

/** The name of this platform, as in the names of the packages that hold native modules. */
export function platform(): string {
  const name = `${process.platform}-${process.arch}`
  if (process.platform !== 'linux') return name
  const report = process.report as typeof process.report & { excludeNetwork?: boolean }
  report.excludeNetwork = true
  const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  return `${name}-${header.glibcVersionRuntime ? 'gnu' : 'musl'}`
}

let loaded: Native | undefined

/** Loads the native module the first time. */
export function native(): Native {
  loaded ??= load()
  return loaded
}

function load(): Native {
  // Of Linux's two C libraries npm installed the package of one. Asking Node which takes longer than to try.
  const systems = `${process.platform}-${process.arch}`
  let broken: Error | undefined
  for (const name of [systems, `${systems}-gnu`, `${systems}-musl`]) {
    for (const attempt of platforms[name] ?? []) {
      try {
        return attempt()
      } catch (error) {
        // A file that is there and does not load says more than one that is not.
        if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') broken = error as Error
      }
    }
  }
  const name = platform()
  const failure = { code: 'not_compiled_in', kind: 'invalid', platform: name } as const
  if (!(name in platforms)) {
    const next = `there are modules for ${Object.keys(platforms).join(', ')}`
    throw new BackupError({ ...failure, message: `there is no native module for ${name}`, next })
  }
  const message = broken ? `the native module for ${name} does not load: ${broken.message}` : `the native module for ${name} is not installed`
  const next = `install lastgood-${name} in the version of lastgood (npm leaves it out with --omit=optional)`
  throw new BackupError({ ...failure, message, next }, undefined, broken)
}
