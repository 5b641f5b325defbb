import { streamed } from '@/lib/stream'
import { vault } from '@/lib/vault'

export const dynamic = 'force-dynamic'

/** Makes a backup and streams its progress. */
export function POST(request: Request) {
  return streamed(request, async options => (await vault()).backup({ ...options, tags: ['by hand'] }))
}
