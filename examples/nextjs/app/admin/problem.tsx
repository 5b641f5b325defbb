import type { Failure } from '@/lib/failure'

/** What went wrong, its code, and what to do next. */
export function Problem({ code, message, next }: Failure) {
  return (
    <div className="problem" role="alert">
      <p>
        <code>{code}</code> {message}
      </p>
      {next && (
        <p>
          <b>Next:</b> {next}
        </p>
      )}
    </div>
  )
}
