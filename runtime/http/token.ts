/**
 * The token of a server that is reachable from outside this machine. `/?token=…` puts it into a
 * cookie, which no script can read and no other site can make a browser send; programs send it as
 * `Authorization: Bearer …`. Health and metrics are open: probes and scrapers have no token, and
 * these show nothing of what is stored.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { isLoopback, parseAddress, text } from './server.js'
import type { Page } from './server.js'

const open: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics'])
const lengthMin = 16

/** The file cannot be used; the message has cause and remedy. */
export class TokenFileError extends Error {
  readonly code = 'TOKEN_FILE'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'TokenFileError'
  }
}

/**
 * The token that an address requires: none on loopback unless a file is given; the file's first
 * line; or a new one.
 * @throws TokenFileError
 */
export function tokenFor(address: string, file: string | undefined): string | null {
  if (file !== undefined) return tokenIn(file)
  return isLoopback(parseAddress(address).host) ? null : randomBytes(24).toString('base64url')
}

function tokenIn(file: string): string {
  let token: string
  try {
    token = readFileSync(file, 'utf8').split('\n')[0]?.trim() ?? ''
  } catch (error) {
    throw new TokenFileError(
      `--http-token-file ${file} cannot be read: ${(error as Error).message}`,
      error,
    )
  }
  if (/^[A-Za-z0-9_.~-]+$/.test(token) && token.length >= lengthMin) return token
  throw new TokenFileError(`--http-token-file ${file}: its first line must be a token of at least `
    + `${lengthMin} letters, digits or _.~-; make one with: openssl rand -hex 24`)
}

/** For `guard` of the server: refuses requests without the token. */
export function tokenGuard(
  token: string,
  port: () => number,
): (request: IncomingMessage, path: string) => Page | null {
  // Cookies ignore ports: two nodes of one machine must not overwrite each other's.
  const cookie = (): string => `engram_${port()}`
  return (request, path) => {
    if (open.has(path)) return null
    if (path === '/' && isEqual(queryOf(request), token)) return taken(`${cookie()}=${token}`)
    const isShown = isEqual(cookieOf(request, cookie()), token)
      || isEqual(bearerOf(request), token)
    return isShown ? null : asked()
  }
}

/** Redirects, so that the token leaves the address bar and the history's latest entry. */
function taken(cookie: string): Page {
  return {
    ...text(303, 'the token is accepted'),
    headers: {
      'Set-Cookie': `${cookie}; HttpOnly; SameSite=Strict; Path=/`,
      Location: '/',
      'Referrer-Policy': 'no-referrer',
    },
  }
}

function asked(): Page {
  return {
    ...text(401, 'a token is required: open /?token=… as printed at the start, or send it as '
      + 'Authorization: Bearer …'),
    headers: { 'WWW-Authenticate': 'Bearer' },
  }
}

function queryOf({ url = '' }: IncomingMessage): string {
  return new URLSearchParams(url.split('?')[1] ?? '').get('token') ?? ''
}

/** Link for a person: a server that listens on all addresses gets the local name. */
export function pageLink(url: string, token: string | null): string {
  const link = new URL(url)
  if (['0.0.0.0', '[::]'].includes(link.hostname)) link.hostname = '127.0.0.1'
  if (token !== null) link.searchParams.set('token', token)
  return link.href
}

function cookieOf({ headers }: IncomingMessage, name: string): string {
  const found = (headers.cookie ?? '').split(';').map((part) => part.trim())
    .find((part) => part.startsWith(`${name}=`))
  return found?.slice(name.length + 1) ?? ''
}

function bearerOf({ headers }: IncomingMessage): string {
  return /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1] ?? ''
}

function isEqual(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)]
  return a.length === b.length && timingSafeEqual(a, b)
}
