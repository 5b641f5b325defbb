import { streamed } from '@/lib/stream'
import { vault } from '@/lib/vault'

export const dynamic = 'force-dynamic'

/** Verifies or drills one backup and streams the progress. */
export async function POST(request: Request, { params }: { params: Promise<{ id: string; verb: string }> }) {
  const { id, verb } = await params
  if (verb !== 'verify' && verb !== 'drill') return new Response('Not found\n', { status: 404 })
  return streamed(request, async options => (await vault())[verb](id, options))
}
