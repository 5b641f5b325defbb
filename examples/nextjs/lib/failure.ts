import { BackupError } from 'lastgood'

/** An error as pages and routes show it. */
export interface Failure {
  code: string
  message: string
  next: string | null
}

export function failure(error: unknown): Failure {
  if (error instanceof BackupError) return { code: error.code, message: error.message, next: error.next }
  console.error(error)
  return { code: 'internal', message: 'something unexpected went wrong', next: 'look into the log of the server' }
}

const statuses: Record<string, number> = { invalid: 400, denied: 403, not_found: 404, refused: 409, busy: 409, unavailable: 503 }

/** The error as an answer to a program. */
export function failed(error: unknown): Response {
  const status = error instanceof BackupError ? (statuses[error.kind] ?? 500) : 500
  return Response.json({ error: failure(error) }, { status, headers: { 'cache-control': 'no-store' } })
}
