import { failed } from '@/lib/failure'
import { vault } from '@/lib/vault'

export const dynamic = 'force-dynamic'

/** For Prometheus. Let only your own network reach it. */
export async function GET() {
  try {
    const text = await (await vault()).metrics()
    return new Response(text, { headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' } })
  } catch (error) {
    return failed(error)
  }
}
