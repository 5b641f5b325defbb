import { same } from '@/lib/auth'
import { failed } from '@/lib/failure'
import { vault } from '@/lib/vault'

export const dynamic = 'force-dynamic'
export const maxDuration = 300

/** The nightly backup, called by a scheduler with `Authorization: Bearer $CRON_SECRET`; `?drill` restores it for proof too. */
export async function GET(request: Request) {
  const secret = process.env.CRON_SECRET
  if (!secret || !same(request.headers.get('authorization') ?? '', `Bearer ${secret}`)) {
    return new Response('Unauthorized\n', { status: 401 })
  }
  try {
    const lastgood = await vault()
    const backup = await lastgood.backup({ tags: ['cron'], signal: request.signal })
    const drill = new URL(request.url).searchParams.has('drill') ? await lastgood.drill(backup.id, { signal: request.signal }) : null
    return Response.json({ backup, drill })
  } catch (error) {
    return failed(error)
  }
}

export const POST = GET
