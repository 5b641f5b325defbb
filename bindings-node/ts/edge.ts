/** What runtimes without Node get (edge functions, workers, browsers): every use says what to do instead. */

import { BackupError } from './error'

export { BackupError } from './error'

function refuse(): never {
  throw new BackupError({
    code: 'not_compiled_in',
    kind: 'invalid',
    message: 'lastgood needs Node.js: this runtime has neither files nor sockets',
    next: "call it on a server; in Next.js write `export const runtime = 'nodejs'` in the route",
  })
}

export class Vault {
  static async open(): Promise<never> {
    return refuse()
  }
  static async fromEnv(): Promise<never> {
    return refuse()
  }
}

export class Schedule {
  constructor() {
    refuse()
  }
}

export function onLog(): never {
  return refuse()
}
