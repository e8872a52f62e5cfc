/** Serves the files of the built page (`dist/page/`). */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { text } from '../../http/server.js'
import type { Page, Route } from '../../http/server.js'

/** Directory of the built page, relative to the built server. */
export const builtPage = fileURLToPath(new URL('../../../page/', import.meta.url))

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.webmanifest': 'application/manifest+json',
  '.txt': 'text/plain; charset=utf-8',
}

/**
 * Allows only this server's own files and connections: no inline script, no other host. Browsers do
 * not count styles that scripts set on elements as inline styles.
 */
export const contentSecurityPolicy = [
  'default-src \'none\'',
  'script-src \'self\'',
  'style-src \'self\'',
  'img-src \'self\' data:',
  'font-src \'self\'',
  'connect-src \'self\'',
  'worker-src \'self\'',
  'manifest-src \'self\'',
  'base-uri \'none\'',
  'form-action \'none\'',
  'frame-ancestors \'none\'',
].join('; ')

const headers = {
  'Content-Security-Policy': contentSecurityPolicy,
  // The address may have contained the token.
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const

/** Names with a hash of the content, which never changes. */
const hashed = /-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/
const named = /^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/

interface Kept {
  readonly mtimeMs: number
  readonly etag: string
  readonly page: Page
}

/** Serves `/` as index.html and other files by name. 404 for others. */
export function pageFiles(directory: string, others: readonly string[]): Route {
  const kept = new Map<string, Kept>()
  return async (request, response) => {
    const asked = (request.url ?? '/').split('?')[0] ?? '/'
    const name = asked === '/' ? '/index.html' : asked
    const found = named.test(name) ? await load(directory, name, kept) : null
    if (found === null) return name === '/index.html' ? notBuilt(others) : nothing(others)
    if (request.headers['if-none-match'] !== found.etag) return found.page
    response.writeHead(304, { ...headers, ...found.page.headers }).end()
    return null
  }
}

async function load(
  directory: string,
  name: string,
  kept: Map<string, Kept>,
): Promise<Kept | null> {
  const file = join(directory, name)
  const known = await stat(file).catch(() => null)
  if (!known?.isFile()) return null
  const { mtimeMs } = known
  const before = kept.get(name)
  if (before?.mtimeMs === mtimeMs) return before
  const body = await readFile(file)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  const page: Page = {
    status: 200,
    type: types[extname(name)] ?? 'application/octet-stream',
    body,
    headers: {
      ...headers,
      ETag: etag,
      'Cache-Control': hashed.test(name) ? 'max-age=31536000, immutable' : 'no-cache',
    },
  }
  const now = { mtimeMs, etag, page }
  kept.set(name, now)
  return now
}

function notBuilt(others: readonly string[]): Page {
  return text(503, 'The page is not built. Run `npm run build` in the project, then reload it.\n'
    + `Available without it: ${others.join(', ')}.`)
}

function nothing(others: readonly string[]): Page {
  return text(404, `not found; available: /, ${others.join(', ')}`)
}
