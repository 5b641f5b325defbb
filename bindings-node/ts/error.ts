import type { ErrorCode, ErrorKind } from './types'

/** An error as the core describes it. */
export interface Failure {
  readonly code: ErrorCode
  readonly kind: ErrorKind
  readonly message: string
  readonly next?: string | null
  readonly retryable?: boolean
  readonly [detail: string]: unknown
}

/** Why an operation failed: a stable code, a message that names the thing, and the next step. */
export class BackupError extends Error {
  /** The stable code. */
  readonly code: ErrorCode
  /** What a caller can do about it. */
  readonly kind: ErrorKind
  /** Whether the same call may succeed later without any change. */
  readonly retryable: boolean
  /** What to do next, where there is something to say. */
  readonly next: string | null
  /** What else is known: the `verb` that failed, and what the core adds. */
  readonly details: Readonly<Record<string, unknown>>

  /** `here` was made where the operation was called: its stack shows the caller. */
  constructor(failure: Failure, here?: { stack?: string }, cause?: unknown) {
    const { code, kind, message, next = null, retryable = false, ...details } = failure
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.kind = kind
    this.retryable = retryable
    this.next = next
    this.details = details
    const frames = (here?.stack ?? this.stack ?? '').split('\n').filter(line => /^\s+at /.test(line))
    Object.defineProperty(this, 'stack', { value: [this.toString(), ...frames].join('\n'), configurable: true, writable: true })
  }

  /** The code, the message and the next step in one line. */
  override toString(): string {
    return `BackupError [${this.code}]: ${this.message}${this.next === null ? '' : `; ${this.next}`}`
  }
}
Object.defineProperty(BackupError.prototype, 'name', { value: 'BackupError' })
