export const dynamic = 'force-dynamic'

/** Liveness: the process answers. It touches neither database nor store, or an outage of theirs would restart us. */
export function GET() {
  return Response.json({ status: 'ok' }, { headers: { 'cache-control': 'no-store' } })
}
