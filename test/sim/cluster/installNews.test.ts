/** What is seen of installs: status here and at the primary, notices, the alert of a stalled one. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { stalledMs } from '../../../actors/install/installWatch.js'
import { sentenceOf } from '../../../runtime/inspect/sentences.js'
import { maxPayload, preparedInstall, stateOf } from '../../support/preparedInstall.js'
import type { PreparedInstall } from '../../support/preparedInstall.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'

const test = suite('cluster: news of installs')

const kinds = /^install/

interface Told {
  readonly kind: string
  readonly text: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** Notices and alerts of installs that the member has recorded in this life. */
function toldBy({ one }: PreparedInstall): Told[] {
  const { texts } = one.life!.events.page({ before: null, lengthMax: 1_000_000 })
  return texts.map((text) => JSON.parse(text)).filter(({ kind }) => kinds.test(kind ?? ''))
    .map((event) => ({ kind: event.kind, text: sentenceOf(event).text, detail: event.detail }))
}

const kindsOf = (it: PreparedInstall): string[] => toldBy(it).map(({ kind }) => kind)

/** Requests for chunks that node gets are lost while `isLost` says so. */
function loseChunks({ cluster: { broker } }: PreparedInstall,
  isLost: (to: string) => boolean): void
{
  const route = broker.route.bind(broker)
  broker.route = (envelope, from) => {
    const [, to] = /^engram\.v1\.checkpoint\.teams\.(\w+)$/.exec(envelope.subject) ?? []
    if (to && isLost(to) && Buffer.from(envelope.data).includes('chunk')) return
    route(envelope, from)
  }
}

const statusOf = ({ one }: PreparedInstall) =>
  one.life?.actor.spaces.get('teams')?.installation.status ?? null

function viewOf({ cluster, one }: PreparedInstall) {
  return cluster.primary()?.space().primaryRole?.followers.status()[one.id]
}

test('status: phase, source, bytes and rate, at the member and at its primary', async () => {
  const it = await preparedInstall()
  const { cluster, one, source } = it
  const status = () => statusOf(it)
  assert.is(viewOf(it)?.install, undefined)
  cluster.weather = (from, to) => (from === source.id && to === one.id ? 800 : 0.2)
  one.start()
  const phases: string[] = []
  const seen = () => {
    const phase = status()?.phase
    if (phase && phases.at(-1) !== phase) phases.push(phase)
    assert.is(phase ?? null, /^installing\.(\w+)$/.exec(stateOf(one) ?? '')?.[1] ?? null)
  }
  await cluster.until('it has some', () => {
    seen()
    return (status()?.doneBytes ?? 0) > 2 * maxPayload && viewOf(it)?.install?.phase === 'pulling'
      && viewOf(it)!.install!.doneBytes > 0
  })
  const now = status()!
  assert.is(now.source, source.id)
  assert.ok(now.totalBytes > now.doneBytes)
  assert.is(now.minimum, cluster.primary()!.space().member.log.base)
  assert.ok(now.bytesPerSecond! > 1000, `${now.bytesPerSecond}`)
  const left = (now.totalBytes - now.doneBytes) / now.bytesPerSecond! * 1000
  assert.ok(Math.abs(now.etaMs! - left) <= 1, `${now.etaMs}, not ${left}`)
  const { doneBytes, ...said } = viewOf(it)!.install!
  assert.equal(said, { phase: 'pulling', source: source.id, totalBytes: now.totalBytes,
    minimum: now.minimum })
  assert.ok(doneBytes <= now.doneBytes)
  await cluster.until('it follows', () => {
    seen()
    return stateOf(one) === 'streaming'
  }, 30_000)
  // It is verified within no time here.
  assert.equal(phases.filter((phase) => phase !== 'verifying'), ['asking', 'pulling', 'switching'])
  assert.is(status(), null)
  assert.is(viewOf(it)?.install, undefined)
})

test('an install has a beginning and an end, in sentences', async () => {
  const it = await preparedInstall()
  const { cluster, one, source } = it
  const primary = cluster.primary()!
  const from = primary.space().member.log.base + 1
  one.start()
  await cluster.until('it follows', () => stateOf(one) === 'streaming', 30_000)
  const [begun, installed, ...others] = toldBy(it)
  assert.equal(others, [])
  assert.is(begun!.text, `teams: ${one.id} is installed from ${source.id}: its log is empty, `
    + `${primary.id} keeps entries from ${from} on`)
  const { sequence } = installed!.detail['position'] as { sequence: number }
  assert.is(installed!.text,
    `teams: ${one.id} has the state as of ${sequence} and follows from there`)
  // The next one is told, too.
  one.space().member.damaged('a bad record')
  await cluster.until('it is installed again', () => kindsOf(it).length === 4, 30_000)
  assert.match(toldBy(it)[2]!.text, /is installed from n\d: its log is damaged$/)
})

test('the source dies: the next one is told, with the reason', async () => {
  const it = await preparedInstall()
  const { cluster, one, source } = it
  const primary = cluster.primary()!
  cluster.weather = (from, to) => (from === source.id && to === one.id ? 40 : 0.2)
  one.start()
  await cluster.until('it pulls', () => stateOf(one) === 'installing.pulling')
  source.kill()
  await cluster.until('it is installed', () => stateOf(one) === 'streaming', 30_000)
  assert.equal(kindsOf(it), ['installBegun', 'installSourceChanged', 'installed'])
  const { text } = toldBy(it)[1]!
  assert.match(text, new RegExp(`^teams: ${one.id} is installed from ${primary.id} instead of `
    + `${source.id}, with the state as of \\d+: ${source.id} `))
})

test('a source that gives nothing: an alert after five minutes, once, until it is installed', async () => {
  const it = await preparedInstall()
  const { cluster, one } = it
  let isStuck = true
  loseChunks(it, () => isStuck)
  one.start()
  await cluster.run(stalledMs - 10_000)
  assert.is(kindsOf(it).filter((kind) => kind.startsWith('installStalled')).length, 0)
  await cluster.run(20_000)
  const alert = toldBy(it).find(({ kind }) => kind === 'installStalled')
  assert.match(alert?.text ?? '',
    new RegExp(`^ALERT installStalled: teams: the install of ${one.id} `
      + 'does not get on: nothing of a state has come for 5 min: .*n\\d'))
  await cluster.run(400_000)
  assert.is(kindsOf(it).filter((kind) => kind === 'installStalled').length, 1)
  assert.ok(kindsOf(it).length < 20, 'sources that change are told once a minute at most')
  isStuck = false
  await cluster.until('it is installed', () => stateOf(one) === 'streaming', 60_000)
  assert.equal(kindsOf(it).slice(-2), ['installed', 'installStalledCleared'])
  const counted = one.log.filter(({ fields }) =>
    (fields as { kind?: string }).kind === 'installStalled'
  )
  assert.equal(counted.map(({ level }) => level), ['warn'])
})

test('one that gets on slowly is not stalled', async () => {
  const it = await preparedInstall()
  const { cluster, one } = it
  let passed = 0
  loseChunks(it, () => (passed += 1) % 6 !== 0)
  one.start()
  const ms = await cluster.until('it is installed', () => stateOf(one) === 'streaming', 900_000)
  assert.ok(ms > stalledMs, `${ms}`)
  assert.is(kindsOf(it).includes('installStalled'), false)
})

test('nobody has a state: it says so when it begins, and the alert says why', async () => {
  const it = await preparedInstall()
  const { cluster, one } = it
  const restore: (() => void)[] = []
  for (const node of cluster.running) {
    const { checkpoints } = node.actor.context!.ports
    const { find, write } = checkpoints
    restore.push(() => Object.assign(checkpoints, { find, write }))
    const full = Object.assign(new Error('no room'), { code: 'ENOSPC' })
    Object.assign(checkpoints, { find: () => null, write: () => Promise.reject(full) })
  }
  one.start()
  await cluster.run(stalledMs + 10_000)
  const [begun, stalled, ...others] = toldBy(it)
  assert.equal(others, [])
  assert.match(begun!.text, new RegExp(`^teams: ${one.id} has to be installed: its log is empty, `
    + 'n\\d keeps entries from \\d+ on; it waits: n\\d'))
  assert.is(stalled!.kind, 'installStalled')
  assert.is(stalled!.detail['source'], null)
  for (const again of restore) again()
  await cluster.until('it is installed', () => kindsOf(it).length === 5, 60_000)
  assert.equal(kindsOf(it).slice(2), ['installSourceChanged', 'installed', 'installStalledCleared'])
  assert.match(toldBy(it)[2]!.text,
    new RegExp(`^teams: ${one.id} is installed from n\\d, with the state as of \\d+$`))
})

test('overtaken twice in a row: the alert has both rates', async () => {
  const it = await preparedInstall()
  const { cluster, one, source } = it
  const primary = cluster.primary()!
  const { log, store } = primary.space().member
  let { base } = log
  // As if it had given that up, whatever it keeps for the install.
  Object.defineProperty(log, 'base', { get: () => base })
  cluster.weather = (from,
    to) => (to === one.id && [source.id, primary.id].includes(from) ? 250 : 0.2)
  one.start()
  for (let times = 0; times < 2; times += 1) {
    const isPulling = () => {
      const { phase, doneBytes = 0, minimum = 0 } = statusOf(it) ?? {}
      return phase === 'pulling' && doneBytes > 0 && minimum === base
    }
    await cluster.until('it pulls', isPulling, 20_000)
    assert.is(kindsOf(it).includes('installStalled'), false)
    await cluster.writes(20, 'committed')
    await cluster.until('it is applied', () => store.applied.sequence === log.end.sequence)
    const { position } = await takeCheckpoint(cluster, primary)
    base = position.sequence
  }
  await cluster.until('it says so', () => kindsOf(it).includes('installStalled'), 40_000)
  const alert = toldBy(it).find(({ kind }) => kind === 'installStalled')!
  assert.match(alert.text, /: 2 states in a row were of no use, the last one since its log goes on/)
  assert.match(alert.text, /: a state as of \d+ or later is needed, not \d+ \(reported by/)
  assert.ok(Number(alert.detail['bytesPerSecond']) > 0)
  assert.ok(Number(alert.detail['entriesPerSecond']) > 0)
  await cluster.until('it is installed', () => stateOf(one) === 'streaming', 40_000)
  assert.is(kindsOf(it).at(-1), 'installStalledCleared')
})

test('a primary that cannot install it: it waits, and says so', async () => {
  const it = await preparedInstall()
  const { cluster, one } = it
  const { followers } = cluster.primary()!.space().primaryRole!
  const join = followers.join.bind(followers)
  followers.join = (request) => join({ ...request, reads: 0 })
  one.start()
  await cluster.until('it waits', () => stateOf(one) === 'installing.waiting')
  assert.equal(statusOf(it), { phase: 'waiting', source: null, doneBytes: 0, totalBytes: 0,
    bytesPerSecond: null, etaMs: null, minimum: null })
  assert.is(viewOf(it)?.install, undefined)
  await cluster.run(stalledMs + 2000)
  assert.equal(kindsOf(it), ['installBegun', 'installStalled'])
  for (const { text } of toldBy(it)) assert.match(text, /: its primary cannot install it/)
})

test('a member that does not have to be installed any more: the alert ends', async () => {
  const it = await preparedInstall()
  const { cluster, one, source } = it
  loseChunks(it, () => true)
  one.start()
  await cluster.run(stalledMs + 10_000)
  assert.ok(kindsOf(it).includes('installStalled'))
  // It has the whole log.
  await cluster.command(source.id, { type: 'promote', space: 'teams', to: source.id })
  await cluster.until('it follows', () => stateOf(one) === 'streaming', 30_000)
  assert.is(kindsOf(it).at(-1), 'installStalledCleared')
  assert.match(toldBy(it).at(-1)!.text, 'does not have to be installed any more')
})

test.run()
