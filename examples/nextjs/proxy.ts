import { NextResponse, type NextRequest } from 'next/server'
import { same } from './lib/auth'

export const config = { matcher: ['/admin/:path*', '/api/backups/:path*'] }

/** The admin page and what its buttons call: behind ADMIN_PASSWORD, and only from this site. */
export function proxy(request: NextRequest) {
  const password = process.env.ADMIN_PASSWORD
  if (!password) {
    if (process.env.NODE_ENV !== 'production') return NextResponse.next()
    return new NextResponse('Set ADMIN_PASSWORD to use this page.\n', { status: 503 })
  }
  const [scheme, credentials = ''] = (request.headers.get('authorization') ?? '').split(' ')
  const given = scheme === 'Basic' ? Buffer.from(credentials, 'base64').toString().replace(/^[^:]*:/, '') : ''
  if (!same(given, password)) {
    return new NextResponse('Who are you?\n', { status: 401, headers: { 'www-authenticate': 'Basic realm="Backups", charset="UTF-8"' } })
  }
  // Browsers send the password along with requests that other sites make.
  const site = request.headers.get('sec-fetch-site')
  if (request.method !== 'GET' && site !== null && site !== 'same-origin') return new NextResponse('Not from here.\n', { status: 403 })
  return NextResponse.next()
}
