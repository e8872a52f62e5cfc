/** The files of the page, and the token of a server that others can reach. */
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startHttpServer, text } from '../../../runtime/http/server.js'
import { pageLink, tokenFor, TokenFileError, tokenGuard } from '../../../runtime/http/token.js'
import { pageFiles } from '../../../runtime/page/server/files.js'
import { removeTemporary, temporaryDirectory } from '../../support/environment.js'
import { ask } from '../../support/page.js'

const test = suite('page serving')
const directory = temporaryDirectory('page')
test.after(() => removeTemporary(directory))

async function serve(token: string | null = null, address = '127.0.0.1:0') {
  const server = await startHttpServer({
    address,
    routes: {
      '/healthz': () => text(200, 'ok'),
      '/readyz': () => text(200, 'ready'),
      '/metrics': () => text(200, 'm 1'),
      '/status': () => text(200, 'secret'),
    },
    posts: { '/api/orders': () => text(200, 'done') },
    fallback: pageFiles(directory, ['/healthz', '/status']),
    ...(token === null ? {} : { guard: tokenGuard(token, () => server.port) }),
  })
  return server
}

function build(index = '<!doctype html><title>Engram</title>'): void {
  mkdirSync(join(directory, 'assets'), { recursive: true })
  writeFileSync(join(directory, 'index.html'), index)
  writeFileSync(join(directory, 'assets', 'index-BqD3x_9a.js'), 'export {}')
  writeFileSync(join(directory, 'favicon.svg'), '<svg/>')
}

test('a page that was not built says how to build it, and what there is', async () => {
  const server = await serve()
  const { status, body, headers } = await ask(server.url, '/')
  assert.is(status, 503)
  assert.match(body, /npm run build/)
  assert.match(body, /\/status/)
  assert.match(String(headers['content-type']), /^text\/plain/)
  await server.close()
})

test('index, hashed assets, types; nothing but the files there', async () => {
  build()
  const server = await serve()
  const index = await ask(server.url, '/?view=lag#now')
  assert.is(index.status, 200)
  assert.is(index.headers['content-type'], 'text/html; charset=utf-8')
  assert.is(index.headers['cache-control'], 'no-cache')
  const asset = await ask(server.url, '/assets/index-BqD3x_9a.js')
  assert.is(asset.headers['content-type'], 'text/javascript; charset=utf-8')
  assert.is(asset.headers['cache-control'], 'max-age=31536000, immutable')
  assert.is((await ask(server.url, '/favicon.svg')).headers['content-type'], 'image/svg+xml')
  const beside = join(directory, '..', 'secret-of-a-neighbour.txt')
  writeFileSync(beside, 'secret')
  for (const path of ['/nothing.js', '/assets', '/../secret-of-a-neighbour.txt', '/.hidden',
    '/assets/../../secret-of-a-neighbour.txt', '/%2e%2e/secret-of-a-neighbour.txt', '//etc/passwd',
    '/assets\\..\\index.html'])
  {
    assert.is((await ask(server.url, path)).status, 404, path)
  }
  rmSync(beside)
  await server.close()
})

test('a browser may run and load what this server serves, and nothing else', async () => {
  const server = await serve()
  const { headers } = await ask(server.url, '/')
  const policy = String(headers['content-security-policy'])
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /script-src 'self'(;|$)/)
  assert.match(policy, /frame-ancestors 'none'/)
  assert.not.match(policy, /unsafe|https?:|\*/)
  assert.is(headers['x-content-type-options'], 'nosniff')
  assert.is(headers['referrer-policy'], 'no-referrer')
  await server.close()
})

test('a file that a browser has is not sent again, until it changes', async () => {
  const server = await serve()
  const { headers: { etag } } = await ask(server.url, '/')
  const again = { headers: { 'If-None-Match': String(etag) } }
  const same = await ask(server.url, '/', again)
  assert.equal([same.status, same.body], [304, ''])
  build('<!doctype html><title>Another</title>')
  utimesSync(join(directory, 'index.html'), new Date(), new Date(Date.now() + 5_000))
  const other = await ask(server.url, '/', again)
  assert.is(other.status, 200)
  assert.match(other.body, /Another/)
  await server.close()
})

test('GET and POST are distinguished, and nothing answers the question of another origin', async () => {
  const server = await serve()
  assert.is((await ask(server.url, '/api/orders')).status, 405)
  assert.is((await ask(server.url, '/status', { method: 'POST' })).status, 405)
  assert.is((await ask(server.url, '/nothing', { method: 'POST' })).status, 405)
  const preflight = await ask(server.url, '/api/orders', {
    method: 'OPTIONS',
    headers: { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' },
  })
  assert.is(preflight.status, 405)
  assert.is(preflight.headers['access-control-allow-origin'], undefined)
  await server.close()
})

test('with a token: health and metrics are open, all else asks for it', async () => {
  const token = 'a-token-of-24-characters'
  const server = await serve(token)
  const { url } = server
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    assert.is((await ask(url, path)).status, 200, path)
  }
  for (const path of ['/', '/status', '/favicon.svg', '/?token=wrong', '/status?token=' + token]) {
    const { status, body } = await ask(url, path)
    assert.is(status, 401, path)
    assert.match(body, /token=/)
    assert.not.match(body, new RegExp(token))
  }
  assert.is((await ask(url, '/api/orders', { method: 'POST' })).status, 401)
  const bearer = (value: string) => ({ headers: { Authorization: `Bearer ${value}` } })
  assert.is((await ask(url, '/status', bearer(token))).body, 'secret\n')
  assert.is((await ask(url, '/status', bearer(`${token}x`))).status, 401)

  const taken = await ask(url, `/?token=${token}`)
  assert.is(taken.status, 303)
  assert.is(taken.headers.location, '/')
  assert.is(taken.headers['referrer-policy'], 'no-referrer')
  const cookie = String(taken.headers['set-cookie']?.[0])
  assert.match(cookie, /; HttpOnly; SameSite=Strict; Path=\/$/)
  const [pair = ''] = cookie.split(';')
  assert.match(pair, new RegExp(`^engram_${server.port}=`), 'cookies know no ports')
  assert.is((await ask(url, '/', { headers: { Cookie: `x=1; ${pair}` } })).status, 200)
  assert.is((await ask(url, '/', { headers: { Cookie: `${pair}x` } })).status, 401)
  await server.close()
})

test('a token is needed beyond loopback, and where a file is given', () => {
  assert.is(tokenFor('127.0.0.1:7432', undefined), null)
  assert.is(tokenFor('[::1]:7432', undefined), null)
  const [one, other] = [tokenFor('0.0.0.0:1', undefined), tokenFor('0.0.0.0:1', undefined)]
  assert.match(one ?? '', /^[\w-]{32}$/)
  assert.is.not(one, other)
  const file = join(directory, 'token')
  writeFileSync(file, '0123456789abcdef\n')
  assert.is(tokenFor('127.0.0.1:1', file), '0123456789abcdef')
  for (const bad of ['short', 'with a blank in it all', '']) {
    writeFileSync(file, bad)
    assert.throws(() => tokenFor('0.0.0.0:1', file), (error: Error) =>
      error instanceof TokenFileError && /openssl/.test(error.message))
  }
  assert.throws(() => tokenFor('0.0.0.0:1', join(directory, 'none')), /cannot be read/)
  assert.is(pageLink('http://0.0.0.0:7432', 'abc'), 'http://127.0.0.1:7432/?token=abc')
  assert.is(pageLink('http://127.0.0.1:7432', null), 'http://127.0.0.1:7432/')
})

test.run()
