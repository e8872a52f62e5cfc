/** /events over real sockets: what a page gets, who is refused, and readers that do not read. */
import { get as httpGet } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect as tcpConnect } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startHttpServer } from '../../../runtime/http/server.js'
import { eventsRoute } from '../../../runtime/inspect/sse.js'
import type { EventsOptions } from '../../../runtime/inspect/sse.js'
import { feedKit, only, read } from '../../support/inspectKit.js'
import { waitFor } from '../../support/wait.js'

const test = suite('inspection over HTTP')

async function serverKit(options: EventsOptions = {}) {
  const it = feedKit()
  const server = await startHttpServer({
    address: '127.0.0.1:0',
    routes: { '/events': eventsRoute(it.feed, options) },
  })
  return { ...it, server }
}

interface Stream {
  readonly response: IncomingMessage
  /** All that came so far. */
  text(): string
  envelopes(): ReturnType<typeof read>[]
  close(): void
}

function open(port: number, headers: Record<string, string> = {}): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const request = httpGet({ host: '127.0.0.1', port, path: '/events', headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', () => undefined)
      resolve({
        response,
        text: () => text,
        envelopes: () =>
          [...text.matchAll(/^event: inspection\ndata: (.*)$/gm)]
            .map((match) => read(match[1] ?? '')),
        close: () => request.destroy(),
      })
    })
    request.on('error', reject)
  })
}

test('a reader gets the present, then what happens; when it has gone nothing is hooked', async () => {
  const { server, spawn, feed, clock } = await serverKit()
  const actor = spawn('a')
  const stream = await open(server.port)
  assert.is(stream.response.headers['content-type'], 'text/event-stream; charset=utf-8')
  await waitFor('the present', () => stream.envelopes().length === 1)
  assert.equal(stream.envelopes()[0]?.present, { part: 1, parts: 1 })
  actor.send({ type: 'pressed' })
  clock.advance(50)
  await waitFor('the transition', () => stream.envelopes().length === 2)
  assert.is(only(stream.envelopes()[1]?.events ?? [], 'transition')[0]?.reason, 'it was dark')
  stream.close()
  await waitFor('the end of the observation', () => !feed.isOn)
  await server.close()
})

test('pages of other origins and other names of this host are refused', async () => {
  const { server, feed } = await serverKit()
  const own = `127.0.0.1:${server.port}`
  const status = async (headers: Record<string, string>) => {
    const stream = await open(server.port, headers)
    stream.close()
    return stream.response.statusCode
  }
  assert.is(await status({ host: own, origin: `http://${own}` }), 200)
  assert.is(await status({ host: own }), 200)
  assert.is(await status({ host: own, origin: 'http://evil.example' }), 403)
  assert.is(await status({ host: own, origin: 'null' }), 403)
  assert.is(await status({ host: own, origin: `http://127.0.0.1:${server.port + 1}` }), 403)
  assert.is(await status({ host: own, 'sec-fetch-site': 'cross-site' }), 403)
  const rebound = `evil.example:${server.port}`
  assert.is(await status({ host: rebound, origin: `http://${rebound}` }), 403)
  await waitFor('the end of the observation', () => !feed.isOn)
  await server.close()
})

test('a heartbeat shows that the stream lives; too many readers are refused', async () => {
  const { server } = await serverKit({ heartbeatMs: 20, readersMax: 1 })
  const stream = await open(server.port)
  await waitFor('two heartbeats', () => stream.text().split(': alive\n').length > 2)
  const second = await open(server.port)
  assert.is(second.response.statusCode, 503)
  stream.close()
  await server.close()
})

test('a reader that hangs holds nobody up, and is cut off', async () => {
  const { server, spawn, clock, feed } = await serverKit({ stuckMs: 300 })
  const actors = Array.from({ length: 200 }, (_, i) => spawn(`a${i}`))
  const hanging = tcpConnect(server.port, '127.0.0.1')
  hanging.pause()
  let isCut = false
  hanging.on('error', () => undefined).once('close', () => {
    isCut = true
  })
  hanging.write(`GET /events HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`)
  const live = await open(server.port)
  const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed
  let slowestMs = 0
  for (let round = 0; round < 300; round += 1) {
    for (const actor of actors) actor.send({ type: 'pressed' })
    const startedAt = performance.now()
    clock.advance(50)
    slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  const received = () =>
    live.envelopes().reduce((sum, { events }) => sum + only(events, 'transition').length, 0)
  await waitFor('all of it at the other reader', () => received() === 60_000)
  const grown = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before
  // About 20 MB were sent, and are kept here once by the reader that reads.
  assert.ok(grown < 200e6, `${Math.round(grown / 1e6)} MB`)
  assert.ok(slowestMs < 1_000, `a flush took ${slowestMs} ms`)
  // It still reads what was on its way.
  await waitFor('the cut', () => hanging.resume() && isCut)
  live.close()
  await waitFor('the end of the observation', () => !feed.isOn)
  await server.close()
})

test('a reader that was too slow gets the present state when it reads again', async () => {
  const { server, spawn, clock } = await serverKit()
  const actors = Array.from({ length: 200 }, (_, i) => spawn(`a${i}`))
  const stream = await open(server.port)
  await waitFor('the present', () => stream.envelopes().length === 1)
  stream.response.pause()
  for (let round = 0; round < 301; round += 1) {
    for (const actor of actors) actor.send({ type: 'pressed' })
    clock.advance(50)
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  stream.response.resume()
  await waitFor('the present state', () =>
    /^: \d+ events were left out$/m.test(stream.text())
    && stream.envelopes().at(-1)?.present)
  const last = only(stream.envelopes().at(-1)?.events ?? [], 'actor')
  assert.is(last.length, 200)
  assert.ok(last.every(({ state }) => state === 'on'))
  stream.close()
  await server.close()
})

test.run()
