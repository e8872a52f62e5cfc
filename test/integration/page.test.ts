/** The page's server on real clusters: what a browser receives, and what it may request. */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { CommandAnswer } from '../../runtime/page/protocol.js'
import { Child, processesNaming } from '../support/child.js'
import { cliFile, removeTemporary, temporaryDirectory } from '../support/environment.js'
import { ask, order, view } from '../support/page.js'
import type { Viewer } from '../support/page.js'
import { note, scenario, shared, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { lasting, notYet, waitFor } from '../support/wait.js'

const pageSuite = suite('integration: page')

interface Ready {
  readonly http: string
  readonly page: string
  readonly nodes: readonly { readonly id: string; readonly http: string }[]
}

async function up(stage: Stage, ...more: string[]): Promise<Ready> {
  const data = temporaryDirectory('page-up')
  const files = temporaryDirectory('page-up-files')
  const child = new Child({
    label: 'engram up',
    command: process.execPath,
    group: true,
    logFile: join(files, 'up.log'),
    args: [cliFile, 'up', '--json', '--data', data, '--nats-port', '0', '--http', '127.0.0.1:0',
      ...more],
  })
  stage.onEnd(() => {
    // Their command lines name the directory that is this test's own.
    for (const line of processesNaming(data)) process.kill(Number.parseInt(line, 10), 'SIGKILL')
    removeTemporary(data)
    removeTemporary(files)
  })
  stage.child(child)
  return await child.firstLine((line) => JSON.parse(line) as Ready, 40)
}

/** Closed at the end of the test's stage. */
async function viewer(
  stage: Stage,
  base: string,
  headers: Record<string, string> = {},
): Promise<Viewer> {
  const opened = await view(base, headers)
  stage.onEnd(() => opened.close())
  return opened
}

const status = (seen: Viewer) => seen.of('status').at(-1)?.status ?? null
const demo = (seen: Viewer) => status(seen)?.spaces.find(({ id }) => id === 'demo')
const story = (seen: Viewer) => seen.of('story').map(({ line }) => line)

/** The primary, once it has been primary for a moment with all members in sync. */
function settled(seen: Viewer): Promise<{ primary: string; epoch: number }> {
  return waitFor('a primary and all in sync', () => {
    const space = demo(seen)
    if (!space?.primary || space.inSync.length < 3) return notYet(JSON.stringify(space ?? null))
    return { primary: space.primary, epoch: space.epoch }
  })
}

function done({ answer }: { answer: CommandAnswer }): string {
  assert.ok(answer.ok, answer.message)
  return answer.message
}

const test = shared(pageSuite, 'a playground', async (stage) => {
  const ready = await up(stage, '--playground', '--auth', '--restart')
  return { ...ready, seen: await viewer(stage, ready.http) }
})

test('the stream: charts, the present of every node, status, and rates of what is written',
  async ({ http, page, seen }) => {
    assert.is(page, `${http}/`)
    const [start, charts] = seen.frames
    assert.ok(start?.kind === 'start' && start.source === 'up' && start.playground)
    assert.ok(charts?.kind === 'charts' && charts.charts['promotion']?.root.states.length)
    await waitFor('the present of all nodes',
      () =>
        ['n1', 'n2', 'n3'].every((id) =>
          seen.of('inspection').some(({ envelope: { node, present, events } }) =>
            node === id && present !== null && events.length > 3
          )
        ))
    const { primary } = await settled(seen)
    const space = demo(seen)
    assert.ok(space?.leaseLeftMs && space.leaseLeftMs <= 2_000, `${space?.leaseLeftMs}`)
    assert.is(Object.keys(space?.grants ?? {}).length, 2)

    const secret = 'a content that only its space may know'
    const message = done(
      await order(http, { type: 'write', space: 'demo', id: 'a', content: secret }),
    )
    assert.match(message, new RegExp(`durable at ${primary}`))
    done(await order(http, { type: 'steady', space: 'demo', perSecond: 100 }))
    const flow = await waitFor('the rate',
      () => seen.of('flow').find(({ writesPerSecond }) => writesPerSecond > 80))
    assert.is(flow.node, primary)
    assert.ok(flow.ackMs && flow.ackMs.p50 > 0 && flow.ackMs.p99 >= flow.ackMs.p50)
    assert.ok(
      seen.of('inspection').some(({ envelope }) =>
        envelope.events.some((event) =>
          event.type === 'messages' && event.kind === 'wal' && envelope.node === primary
        )
      ),
    )
    done(await order(http, { type: 'steady', space: 'demo', perSecond: 0 }))
    await waitFor('its end', () => seen.of('flow').at(-1)?.writesPerSecond === 0)
    assert.is(seen.text().includes(secret), false, 'no content is in the stream')
    assert.equal(seen.of('order').map(({ order: what }) => what.type), ['write', 'steady',
      'steady'])
  })

test('a node is killed: a promotion step by step within 5 s, and it stays down until started',
  async ({ http, seen }) => {
    const old = await settled(seen)
    const [before, orderedMs] = [story(seen).length, performance.now()]
    done(await order(http, { type: 'killNode', node: old.primary }))
    const begun = await waitFor('the next epoch',
      () =>
        story(seen).slice(before).find((line) =>
          line.kind === 'epoch' && (line.epoch ?? 0) > old.epoch
        ), { seconds: 5 })
    const tookMs = performance.now() - orderedMs
    note(`order to the sentence of the next epoch: ${Math.round(tookMs)} ms`)
    assert.ok(tookMs < 5_000)
    const next = begun.node ?? ''
    assert.is.not(next, old.primary)
    const steps = story(seen).slice(before)
      .filter(({ kind, node }) => kind === 'promotion' && node === next).map(({ state }) => state)
    // The winner may have stood by for another one first, and surveyed again.
    const decided = steps.filter((step, n) => step !== 'standingBy' && steps.indexOf(step) === n)
    assert.equal(decided, ['promoting', 'surveying', 'awaitingVacancy', 'claiming', 'opening',
      'confirming', 'won'], `each step, in order: ${steps.join()}`)
    const claiming = seen.of('inspection').flatMap(({ envelope }) => envelope.events)
      .findLast((event) => event.type === 'transition' && event.state === 'claiming')
    assert.ok(claiming?.type === 'transition')
    const answers = claiming.summary['answers'] as { node: string; position: object }[]
    assert.ok(answers.every(({ position }) => 'sequence' in position), 'who answered what')
    await waitFor('the dead node in the status', () =>
      status(seen)?.nodes
        .some(({ id, state }) => id === old.primary && state === 'dead'))
    await waitFor('it to be shown without actors', () =>
      seen.of('inspection').some(
        ({ envelope: { node, present, events } }) =>
          node === old.primary && present !== null && events.length === 0,
      ))
    await lasting(1_000)
    assert.is(status(seen)?.nodes.find(({ id }) => id === old.primary)?.state, 'dead',
      'in spite of --restart')
    const again = await order(http, { type: 'killNode', node: old.primary })
    assert.equal([again.status, again.answer.ok], [409, false])
    const at = seen.frames.length
    done(await order(http, { type: 'startNode', node: old.primary }))
    await settled(seen)
    await waitFor('its actors',
      () =>
        seen.frames.slice(at).some((frame) =>
          frame.kind === 'inspection' && frame.envelope.node === old.primary
          && frame.envelope.events.some((event) => event.type === 'actor')
        ))
  }, 45)

test('an actor is killed, and an epoch handed over', async ({ http, seen }) => {
  const old = await settled(seen)
  const [replica = ''] = ['n1', 'n2', 'n3'].filter((id) => id !== old.primary)
  done(await order(http, { type: 'killActor', node: replica, actor: 'space.demo.replica' }))
  await waitFor('it in the story',
    () =>
      story(seen).find(({ kind, node, actor }) =>
        kind === 'actor' && node === replica && actor === 'space.demo.replica'
      ))
  const none = await order(http, { type: 'killActor', node: replica, actor: 'nobody' })
  assert.equal([none.status, none.answer.ok], [409, false])
  await settled(seen)
  const message = done(await order(http, { type: 'handOver', space: 'demo', to: replica }))
  assert.match(message, new RegExp(`^${replica} is the primary of demo`))
  await waitFor('the handover in the story',
    () =>
      story(seen).find(({ kind, text }) =>
        kind === 'handover' && text.includes(`handed over to ${replica}`)
      ))
})

test('pages of other sites neither see nor order', async ({ http }) => {
  const { host } = new URL(http)
  const evil = { Origin: 'http://evil.example' }
  assert.is((await view(http, evil)).response.statusCode, 403)
  assert.is((await ask(http, '/status', { headers: { Host: `evil.example:${host}` } })).status, 403)
  const kill = { type: 'killNode', node: 'n1' }
  assert.is((await order(http, kill, evil)).status, 403)
  assert.is((await order(http, kill, { 'Content-Type': 'text/plain' })).status, 415)
})

test('a node has a page of its own, and takes no orders', async ({ nodes }, stage) => {
  const { id, http } = nodes[1]!
  const seen = await viewer(stage, http)
  const [start] = await waitFor('the start', () => seen.of('start').length > 0 && seen.of('start'))
  assert.equal([start?.source, start?.node, start?.playground], ['node', id, false])
  await settled(seen)
  const { status: code, answer } = await order(http, { type: 'killNode', node: 'n1' })
  assert.is(code, 403)
  assert.match(answer.message, /--playground/)
  assert.is((await ask(http, '/metrics')).status, 200)
  seen.close()
})

scenario(pageSuite, 'the broker is killed and comes back: the same stream reports both',
  async (stage) => {
    const cluster = await stage.cluster()
    const { node } = await cluster.report('n1')
    const seen = await viewer(stage, node.http ?? '')
    const old = await settled(seen)
    // Anybody on NATS may answer for a node: what is not understood harms no page.
    const garbage = cluster.nc.subscribe('engram.v1.status._all', {
      callback: (_, message) => message.respond('{"format":1,"node":{"id":"n9"},"spaces":[null]}'),
    })
    await lasting(1_500)
    garbage.unsubscribe()
    const looks = seen.of('status').length
    await waitFor('the status again', () => seen.of('status').length > looks)
    const count = (state: string) =>
      seen.of('broker').filter((frame) => frame.state === state).length
    assert.is(count('connected'), 1)
    const before = count('disconnected')
    await cluster.broker.kill()
    await waitFor('the loss', () => count('disconnected') > before, { seconds: 5 })
    const at = seen.frames.length
    await cluster.broker.start()
    await waitFor('its return', () => count('connected') === 2)
    await waitFor('the present of all nodes again',
      () =>
        ['n1', 'n2', 'n3'].every((id) =>
          seen.frames.slice(at).some((frame) =>
            frame.kind === 'inspection'
            && frame.envelope.node === id && frame.envelope.present !== null
            && frame.envelope.events.length > 0
          )
        ))
    await waitFor('a primary again', () => {
      const { primary, epoch } = demo(seen) ?? {}
      return primary && (epoch ?? 0) >= old.epoch
    })
  })

scenario(pageSuite, 'past this machine a token is asked for, and printed', async (stage) => {
  const cluster = await stage.cluster({ nodes: 1, replicas: 0 })
  const node = cluster.node('n1')
  await node.stop()
  await node.start({ http: '0.0.0.0:0' })
  const line = node.child?.stdout.at(-1) ?? ''
  const link = /http:\/\/\S+\/\?token=[\w-]+/.exec(line)?.[0]
  assert.ok(link, line)
  const { origin, searchParams } = new URL(link)
  await waitFor('it to be ready, without a token', async () => {
    const { status, body } = await ask(origin, '/readyz')
    return status === 200 || notYet(body)
  })
  assert.match((await ask(origin, '/metrics')).body, /engram_/)
  for (const path of ['/status', '/events', '/api/stream', '/']) {
    assert.is((await ask(origin, path)).status, 401, path)
  }
  const taken = await ask(origin, `/?token=${searchParams.get('token')}`)
  assert.is(taken.status, 303)
  const cookie = String(taken.headers['set-cookie']).split(';')[0] ?? ''
  const seen = await viewer(stage, origin, { Cookie: cookie })
  await waitFor('the node', () => status(seen)?.nodes.some(({ id }) => id === 'n1'))
})

scenario(pageSuite, 'a viewer that hangs, and one that looks, hold no writer up', async (stage) => {
  const cluster = await stage.cluster()
  const { node } = await cluster.report('n1')
  const [hanging, live] = [
    await viewer(stage, node.http ?? ''),
    await viewer(stage, node.http ?? ''),
  ]
  await settled(live)
  hanging.pause()
  const writer = await stage.writer(cluster)
  await writer.taken(3_000)
  const history = await writer.stop()
  assert.ok(history.longestGapMs() < 2_000, `${history.longestGapMs()} ms without an answer`)
  const at = live.frames.length
  await waitFor('the live one to go on', () => live.frames.length > at + 10)
})

pageSuite.run()
