import { same } from '@/lib/auth'
import { failed } from '@/lib/failure'
import { vault } from '@/lib/vault'

export const dynamic = 'force-dynamic'
export const maxDuration = 300

/**
 * Does what is due, called by a scheduler with `Authorization: Bearer $CRON_SECRET`: backups, verifications, drills and
 * prunes, each slot once, however often this is called and from however many hosts. What failed is due again.
 */
export async function GET(request: Request) {
  const secret = process.env.CRON_SECRET
  if (!secret || !same(request.headers.get('authorization') ?? '', `Bearer ${secret}`)) {
    return new Response('Unauthorized\n', { status: 401 })
  }
  try {
    const lastgood = await vault()
    // BACKUP_SCHEDULE and BACKUP_RETENTION say what the plan leaves open. The platform ends a request without a word.
    const report = await lastgood.runDue({ plan: { tags: ['cron'] }, withinSeconds: maxDuration - 30, signal: request.signal })
    return Response.json(report, { status: report.ran.every(job => job.ok) ? 200 : 500, headers: { 'cache-control': 'no-store' } })
  } catch (error) {
    return failed(error)
  }
}

export const POST = GET
