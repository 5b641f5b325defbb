import { failed } from '@/lib/failure'
import { vault } from '@/lib/vault'

export const dynamic = 'force-dynamic'

/** Readiness: whether the database, the store and the backups are as they should be. */
export async function GET() {
  try {
    const report = await (await vault()).health()
    return Response.json(report, { status: report.httpStatus, headers: { 'cache-control': 'no-store' } })
  } catch (error) {
    return failed(error)
  }
}
