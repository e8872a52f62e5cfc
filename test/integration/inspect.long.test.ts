/** The inspection stream of real processes: the official receiver, the story, /events. */
import { join } from 'node:path'
import { createWebSocketReceiver } from '@statelyai/inspect'
import type { StatelyInspectionEvent } from '@statelyai/inspect'
import * as assert from 'uvu/assert'
import { createMachine } from 'xstate'
import type { PromotionReport } from '../../machines/protocol/events.js'
import type { EventLine } from '../../runtime/inspect/eventLine.js'
import { readEnvelope } from '../../runtime/inspect/schema.js'
import { assertAllTaken } from '../support/audit.js'
import { Child } from '../support/child.js'
import type { Cluster } from '../support/cluster.js'
import { cliFile } from '../support/environment.js'
import { scenario, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { lasting, waitFor } from '../support/wait.js'

const inspect = suite('integration: inspect')

function engram(stage: Stage, cluster: Cluster, label: string, args: readonly string[]): Child {
  return stage.child(new Child({
    label,
    command: process.execPath,
    args: [cliFile, ...args, '--nats', cluster.broker.url],
    logFile: join(cluster.directory, 'logs', `${label}.log`),
  }))
}

interface Ready {
  readonly url: string
  readonly webSocket: string
}

async function bridge(stage: Stage, cluster: Cluster, args: readonly string[] = []) {
  const child = engram(stage, cluster, 'inspect', ['inspect', '--port', '0', '--json', ...args])
  const line = await child.firstLine((text) => text)
  const ready = JSON.parse(line) as Ready
  const seen: StatelyInspectionEvent[] = []
  createWebSocketReceiver({ server: ready.webSocket }).subscribe((event) => seen.push(event))
  /** The latest snapshot of each session: what the inspector's page shows. */
  const shown = () => {
    const sessions = new Map<string, { status?: string; value?: unknown }>()
    for (const event of seen) {
      if (event.type !== '@xstate.event') sessions.set(event.sessionId, event.snapshot)
    }
    return sessions
  }
  return { child, ready, seen, shown }
}

/** Messages of the inspection stream from now on. */
function listen(cluster: Cluster): { count: () => number } {
  let count = 0
  cluster.nc.subscribe('engram.v1.inspect.*', {
    callback: () => {
      count += 1
    },
  })
  return { count: () => count }
}

function story(child: Child): EventLine[] {
  return child.stdout.map((line) => JSON.parse(line) as EventLine)
}

scenario(inspect, 'engram inspect: charts, a failover, and silence afterwards', async (stage) => {
  const cluster = await stage.cluster()
  const stream = listen(cluster)
  await cluster.nc.flush()
  await lasting(700)
  assert.is(stream.count(), 0, 'nobody inspects, nothing is published')
  const old = await cluster.primary()
  const { child, seen, shown } = await bridge(stage, cluster)
  await waitFor('all actors of the space', () =>
    ['n1', 'n2', 'n3'].every((node) => {
      const role = node === old.node ? 'primary' : 'replica'
      return shown().has(`${node}/node`) && shown().has(`${node}/space.demo.${role}`)
    }))
  const primary = seen.find((event) =>
    event.type === '@xstate.actor'
    && event.sessionId === `${old.node}/space.demo.primary`
  )
  assert.ok(primary?.type === '@xstate.actor')
  const chart = createMachine(JSON.parse(primary.definition ?? '') as object)
  const { serving } = primary.snapshot.value as { serving: object }
  assert.equal(Object.keys(serving).toSorted(),
    Object.keys(chart.states['serving']?.states ?? {}).toSorted(), 'the state is one of the chart')

  const writer = await stage.writer(cluster)
  await writer.taken(200)
  await waitFor('WAL batches between the actors',
    () =>
      seen.some((event) =>
        event.type === '@xstate.event' && event.event.type === 'engram.wal'
        && event.sourceId === `${old.node}/space.demo.primary`
      ))
  await cluster.node(old.node).kill()
  await writer.takenAbove(old.epoch)
  const next = await cluster.primary({ above: old.epoch })
  await waitFor('the steps of the promotion', () => {
    const steps = seen.flatMap((event) =>
      event.type === '@xstate.snapshot'
        && event.sessionId === `${next.node}/space.demo.promotion`
        ? [JSON.stringify((event.snapshot as { value?: unknown }).value)]
        : []
    )
    return ['claiming', 'opening', 'confirming', 'won'].every((step) =>
      steps.some((value) => value?.includes(step))
    )
  })
  await waitFor('the new primary', () => shown().has(`${next.node}/space.demo.primary`))
  await waitFor('the dead node to be shown as stopped',
    () => shown().get(`${old.node}/node`)?.status === 'stopped')
  await cluster.node(old.node).start()
  await waitFor('its return', () =>
    shown().get(`${old.node}/space.demo.replica`)?.value
      === 'streaming')
  assertAllTaken(await writer.stop())
  // The end of the writer's contents.
  assert.not.match(JSON.stringify(seen), /\.{40}/)

  child.signal('SIGTERM')
  assert.is((await child.exited).code, 0)
  await lasting(500)
  const before = stream.count()
  await lasting(1_500)
  assert.is(stream.count(), before, 'the lease was given back')
})

/** Late readers get the same, also from a node that was started again meanwhile. */
async function sentLate(
  stage: Stage,
  cluster: Cluster,
  heard: readonly EventLine[],
): Promise<void> {
  const ids = (lines: readonly EventLine[]) =>
    lines.map(({ id }) => id).filter((id) => id !== undefined)
  const late = engram(stage, cluster, 'late', ['events', '--json', '--last', '1000', 'demo'])
  assert.is((await late.exited).code, 0)
  const sent = story(late)
  const missing = ids(heard).filter((id) => !ids(sent).includes(id))
  assert.equal(missing, [])
  const asked = engram(stage, cluster, 'history', ['history', 'demo', '--json'])
  assert.is((await asked.exited).code, 0)
  const { promotions } = JSON.parse(asked.stdout[0] ?? '') as { promotions: PromotionReport[] }
  assert.equal(promotions.map(({ epoch }) => epoch),
    heard.flatMap(({ promotion }) => promotion?.epoch ?? []), 'each once, in order')
  for (const { ms, atRisk } of promotions) assert.ok(ms >= 0 && atRisk !== undefined)
}

scenario(inspect, 'engram events --follow shows a failover and a handover', async (stage) => {
  const cluster = await stage.cluster()
  const old = await cluster.primary()
  const child = engram(stage, cluster, 'events', ['events', '--follow', '--json', 'demo'])
  const lines = () => story(child)
  await waitFor('the situation',
    () =>
      lines().some(({ kind, node, epoch }) =>
        kind === 'situation' && node === old.node && epoch === old.epoch
      ))
  await cluster.node(old.node).kill()
  const next = await cluster.primary({ above: old.epoch })
  const epochLine = await waitFor('the epoch',
    () => lines().find(({ kind, epoch }) => kind === 'epoch' && epoch === next.epoch))
  assert.is(epochLine.node, next.node)
  const lost = lines().filter(({ kind, state }) => kind === 'node' && state === 'dead')
  assert.equal(lost.map(({ peer }) => peer), [old.node], 'two witnesses, one sentence')
  assert.match(lost[0]?.reason ?? '', /503/)
  const steps = lines().filter(({ kind, node }) => kind === 'promotion' && node === next.node)
    .map(({ state }) => state)
  for (const step of ['promoting', 'awaitingVacancy', 'claiming', 'opening', 'confirming']) {
    assert.ok(steps.includes(step), `${step} in ${steps.join(', ')}`)
  }
  const texts = lines().map(({ text }) => text)
  assert.ok(texts.findIndex((text) => text.includes(`${old.node} is gone`))
    < texts.findIndex((text) => text.includes(`is the primary of demo, in epoch ${next.epoch}`)))

  await cluster.node(old.node).start()
  await cluster.inSync(3)
  await waitFor('the return',
    () =>
      lines().some(({ kind, peer, state }) =>
        kind === 'node' && peer === old.node && state === 'alive'
      ))
  await waitFor('the in-sync set',
    () => lines().some(({ kind, alert }) => kind === 'inSync' && alert === 'inSyncGrown'))
  await cluster.admin(next.node, { type: 'promote', space: 'demo', to: old.node })
  await waitFor('the handover',
    () =>
      lines().some(({ kind, node, text }) =>
        kind === 'handover' && node === next.node && text.includes(`handed over to ${old.node}`)
      ))
  await waitFor('the next epoch',
    () => lines().some(({ kind, epoch }) => kind === 'epoch' && epoch === next.epoch + 1))
  await sentLate(stage, cluster, lines().filter(({ id }) => id !== undefined))
  child.signal('SIGINT')
  assert.is((await child.exited).code, 0)
})

scenario(inspect, 'an inspector that hangs slows nobody, and its lease runs out', async (stage) => {
  const cluster = await stage.cluster()
  const stream = listen(cluster)
  const { child } = await bridge(stage, cluster)
  await waitFor('the stream', () => stream.count() > 5)
  const writer = await stage.writer(cluster)
  await writer.taken(200)
  child.signal('SIGSTOP')
  await writer.taken(2_000)
  await lasting(7_000)
  const before = stream.count()
  await writer.taken(200)
  await lasting(1_500)
  assert.is(stream.count(), before, 'nobody renews: nothing is published')
  const history = await writer.stop()
  assertAllTaken(history)
  assert.ok(history.longestGapMs() < 2_000, `${history.longestGapMs()} ms without an answer`)
  child.signal('SIGCONT')
  await waitFor('the stream again', () => stream.count() > before)
})

scenario(inspect, '/events of a node: its stream as server-sent events', async (stage) => {
  const cluster = await stage.cluster()
  const { node } = await cluster.primary()
  const { node: report } = await cluster.report(node)
  const abort = new AbortController()
  stage.onEnd(() => abort.abort())
  const response = await fetch(`${report.http}/events`, { signal: abort.signal })
  assert.is(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const foreign = await fetch(`${report.http}/events`, { headers: { origin: 'http://evil.test' } })
  assert.is(foreign.status, 403)
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    const data = /^data: (.*)$/m.exec(text)?.[1]
    if (data === undefined || !text.includes('\n\n', text.indexOf(data))) continue
    const envelope = readEnvelope(data)
    if (typeof envelope === 'string') throw new Error(envelope)
    assert.is(envelope.node, node)
    assert.is(envelope.incarnation, report.incarnation)
    const actors = envelope.events.flatMap((event) => event.type === 'actor' ? [event.actor] : [])
    assert.ok(actors.includes('space.demo.primary'), actors.join(', '))
    break
  }
})

inspect.run()
