import type { Progress, RunOptions } from 'lastgood'
import { failure, type Failure } from './failure'

/** One line of a streamed answer. */
export type Line = { progress: Progress } | { report: unknown } | { error: Failure }

/** Runs an operation and streams what it tells, a line of JSON each. It is cancelled when the browser goes away. */
export function streamed(request: Request, work: (options: RunOptions) => Promise<unknown>): Response {
  const gone = new AbortController()
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const say = (line: Line) => {
        if (!signal.aborted) controller.enqueue(encoder.encode(`${JSON.stringify(line)}\n`))
      }
      const signal = AbortSignal.any([request.signal, gone.signal])
      void work({ signal, onProgress: progress => say({ progress }) })
        .then(report => say({ report }), error => say({ error: failure(error) }))
        .then(() => signal.aborted || controller.close())
    },
    cancel: () => gone.abort(),
  })
  // Proxies are told not to collect the lines.
  return new Response(body, { headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store', 'x-accel-buffering': 'no' } })
}
