/** /api/stream over real sockets: what viewers get, who is refused, and who does not read. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startHttpServer } from '../../../runtime/http/server.js'
import { PageHub } from '../../../runtime/page/server/hub.js'
import type { HubOptions } from '../../../runtime/page/server/hub.js'
import { pageRoutes } from '../../../runtime/page/server/routes.js'
import type { FrameFeed } from '../../../runtime/page/server/frameFeed.js'
import { view } from '../../support/page.js'
import { envelope, transition } from '../../support/pageKit.js'
import { waitFor } from '../../support/wait.js'

const test = suite('page hub')

async function kit(over: Partial<HubOptions> = {}) {
  const links: { feed: FrameFeed; isStopped: boolean }[] = []
  const hub = new PageHub({
    start: {
      source: 'up',
      node: null,
      playground: true,
      payloads: false,
      thresholds: { lagAlertMs: 5_000, lagAlertBytes: 1_000 },
      times: { heartbeatMs: 100, grantMs: 2_000 },
    },
    link: (feed) => {
      const link = { feed, isStopped: false }
      links.push(link)
      return {
        stop: () => {
          link.isStopped = true
          return Promise.resolve()
        },
      }
    },
    ...over,
  })
  const server = await startHttpServer({
    address: '127.0.0.1:0',
    ...pageRoutes({ hub, perform: null, payloads: false, routes: {} }),
  })
  const close = async (): Promise<void> => {
    await hub.close()
    await server.close()
  }
  return { hub, server, links, close, url: server.url }
}

test('a viewer gets start, charts and the present, then what happens', async () => {
  const { url, links, close } = await kit()
  const first = await view(url)
  await waitFor('the beginning', () => first.frames.length === 2)
  assert.equal(first.frames.map(({ kind }) => kind), ['start', 'charts'])
  const [start] = first.of('start')
  assert.is(start?.playground, true)
  assert.is(start?.format, 1)
  const charts = first.of('charts')[0]?.charts ?? {}
  assert.equal(Object.keys(charts).toSorted(), ['failureDetector', 'lagMonitor', 'node', 'primary',
    'promotion', 'reconciliation', 'replica', 'space', 'stream'])
  const { feed } = links[0]!
  feed.onBroker('connected', 'connected to n')
  feed.onEnvelope(envelope('n1', 1, ['node', 'space.demo']))
  feed.onEnvelope(transition('n1', 2, 'node', 'draining'))
  await waitFor('what happened', () => first.frames.length === 5)
  assert.is(first.response.headers['content-type'], 'text/event-stream; charset=utf-8')

  const second = await view(url)
  await waitFor('the present', () => second.frames.length === 4)
  assert.equal(second.frames.map(({ kind }) => kind), ['start', 'charts', 'broker', 'inspection'])
  const { envelope: shown } = second.of('inspection')[0]!
  assert.equal([shown.node, shown.number, shown.present], ['n1', 2, { part: 1, parts: 1 }])
  assert.equal(shown.events.map((event) => event.type === 'actor' && [event.actor, event.state]), [[
    'node',
    'draining',
  ], ['space.demo', 'running']])
  assert.is(links.length, 1, 'one link for all')
  await close()
})

test('the link is held while somebody looks, a moment longer, and then let go', async () => {
  const { hub, url, links, close } = await kit({ lingerMs: 150 })
  assert.is(links.length, 0, 'nobody looks: nothing is asked of the cluster')
  const first = await view(url)
  assert.is(hub.idleMs, 0)
  first.close()
  await waitFor('its end to be seen', () => hub.idleMs > 0)
  const reloaded = await view(url)
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal(links.map(({ isStopped }) => isStopped), [false], 'one that reloads finds it')
  reloaded.close()
  await waitFor('the end of the link', () => links[0]?.isStopped)
  await view(url)
  assert.is(links.length, 2)
  await close()
})

test('other origins and names are refused; so is one viewer too many', async () => {
  const { url, links, close } = await kit({ viewersMax: 1 })
  const host = new URL(url).host
  const status = async (headers: Record<string, string>) => {
    const viewer = await view(url, headers)
    viewer.close()
    return viewer.response.statusCode
  }
  assert.is(await status({ origin: 'http://evil.example' }), 403)
  assert.is(await status({ origin: 'null' }), 403)
  assert.is(await status({ 'sec-fetch-site': 'cross-site' }), 403)
  assert.is(await status({ host: 'evil.example', origin: 'http://evil.example' }), 403, 'rebinding')
  assert.is(links.length, 0)
  const welcome = await view(url, { host, origin: `http://${host}` })
  assert.is(welcome.response.statusCode, 200)
  assert.is(await status({}), 503)
  welcome.close()
  await close()
})

test('a heartbeat shows that the stream lives', async () => {
  const { url, close } = await kit({ heartbeatMs: 20 })
  const viewer = await view(url)
  await waitFor('two heartbeats', () => viewer.text().split(': alive\n').length > 2)
  await close()
})

test('a viewer that hangs loses frames alone, is notified, and gets the present again', async () => {
  const { hub, url, links, close } = await kit()
  const [live, hanging] = [await view(url), await view(url)]
  const { feed } = links[0]!
  feed.onEnvelope(envelope('n1', 1, ['node']))
  await waitFor('both', () => hanging.frames.length === 3)
  hanging.pause()
  const long = 'x'.repeat(10_000)
  let number = 1
  // The buffers of the sockets and of the reader are unknown: until something is left out.
  while (hub.skipped === 0 || number < 500) {
    number += 1
    feed.onEnvelope(transition('n1', number, 'node', number % 2 ? 'running' : 'draining', long))
    if (number % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
    assert.ok(number < 20_000, 'a viewer that does not read is not held in memory without end')
  }
  await waitFor('all of it at the other', () => live.of('inspection').length === number)
  assert.is(live.of('gap').length, 0)
  hanging.resume()
  const gap = await waitFor('the gap', () => hanging.of('gap')[0])
  assert.is(gap.frames, hub.skipped)
  const after = await waitFor('the present', () => {
    const at = hanging.frames.indexOf(gap)
    return hanging.frames[at + 1]
  })
  assert.ok(after.kind === 'inspection' && after.envelope.present !== null)
  assert.is(after.envelope.number, number)
  feed.onEnvelope(transition('n1', number + 1, 'node', 'stopped'))
  await waitFor('what happens next', () =>
    hanging.of('inspection').at(-1)?.envelope.number
      === number + 1)
  await close()
})

test('a present state larger than what may wait is sent once, and nothing is left out', async () => {
  const { hub, url, links, close } = await kit()
  const first = await view(url)
  const { feed } = links[0]!
  for (let number = 1; number <= 40; number += 1) {
    feed.onEnvelope(envelope(`n${number}`, 1, ['node']))
    feed.onEnvelope(transition(`n${number}`, 2, 'node', 'running', 'x'.repeat(100_000)))
    await waitFor('it', () => first.of('inspection').length === number * 2)
  }
  const second = await view(url)
  second.pause()
  for (let number = 3; number < 50; number += 1) {
    feed.onEnvelope(transition('n1', number, 'node', 'running'))
  }
  second.resume()
  await waitFor('all', () => second.of('inspection').length === 40 + 47)
  assert.equal([hub.skipped, second.of('gap').length], [0, 0])
  await close()
})

test('a viewer that takes nothing for long is cut off', async () => {
  const { hub, url, links, close } = await kit({ stuckMs: 200 })
  const hanging = await view(url)
  hanging.pause()
  let isCut = false
  hanging.response.once('close', () => {
    isCut = true
  })
  const long = 'x'.repeat(10_000)
  for (let number = 1; hub.skipped === 0; number += 1) {
    links[0]!.feed.onEnvelope(transition('n1', number, 'node', 'running', long))
    if (number % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await waitFor('the hub to let it go', () => hub.idleMs > 0)
  hanging.resume()
  await waitFor('the cut', () => isCut)
  await close()
})

test.run()
