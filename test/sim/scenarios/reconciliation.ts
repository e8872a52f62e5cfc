/** Forks that are reconciled: whole, resent by clients, from several epochs, or not at all. */
import * as assert from 'uvu/assert'
import { activate, Forks, keyed, link, originOf, store } from './forkKit.js'
import { lost, several } from './network.js'
import type { Scenario } from './scenario.js'

const comesHome: Scenario = {
  name: 'fork-reconciled',
  title: 'A primary answers three writes that it cannot ship, and is killed; it comes back to '
    + 'another epoch.',
  lesson: 'The first entry of the next epoch opens a report on the one that ended. What that one '
    + 'had alone becomes entries of the present log, each with where it was logged first; when '
    + 'they are committed the salvage goes, and the report is closed.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const { old } = await forks.leaveBehind([
      store('a', { content: 'left behind', activation: 0.1 }),
      activate('a', 0.9),
      link('a', 'b', 0.5),
    ])
    assert.is(forks.report(1).outcome, null)
    assert.equal(await forks.places(), ['nowhere', 'nowhere', 'nowhere'])
    stage.start(old)
    await forks.closed()
    assert.equal(await forks.places(), ['merged', 'merged', 'merged'])
    const { outcome, merged, lost: gone } = forks.report(1)
    assert.equal([outcome, merged, gone], ['reconciled', 3, 0])
    assert.equal(await forks.salvages(old), [])
    const node = await forks.node('a')
    assert.equal([node?.content, node?.activation], ['left behind', 0.9])
    assert.is((await forks.edge('a', 'b'))?.weight, 0.5)
    const [first] = forks.left
    const entries = await stage.cluster.entries(stage.primary)
    const { reconciliation } = entries.find((one) => one.reconciliation !== undefined)!
    assert.equal(reconciliation!.origin, { epoch: 1, sequence: first!.sequence, node: old })
  },
}

const sentAgain: Scenario = {
  name: 'fork-sent-again-by-its-client',
  title: 'Clients send writes of a fork again before its salvage comes: one says where it was '
    + 'logged first, one has its key only, one waits until it is there.',
  lesson: 'A write is one by its origin or by its key, whoever brings it and in which order: it '
    + 'takes effect once.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const { old, answers } = await forks.leaveBehind(
      [store('a'), store('b'), store('c'), store('d')],
      ['ka', 'kb', 'kc', 'kd'],
    )
    const [a, b, c, d] = answers
    const answer = await forks.write(store('a'), { ...keyed('ka'), ...originOf(a!) })
    assert.is(answer.duplicate, false)
    const withoutOrigin = await forks.write(store('b'), keyed('kb'))
    assert.is(withoutOrigin.duplicate, false)
    stage.start(old)
    await forks.closed()
    assert.equal(await forks.places(), ['merged', 'resent', 'merged', 'merged'],
      'I7: what had come by its key came again')
    const { outcome, merged, resent } = forks.report(1)
    assert.equal([outcome, merged, resent], ['reconciled', 2, 2])
    const late = await forks.write(store('c'), { ...keyed('kc'), ...originOf(c!) })
    assert.is(late.duplicate, true, 'I7: c took effect twice')
    // Its key is not given this time: the origin alone says that it is there.
    const unkeyed = await forks.write(store('d'), originOf(d!))
    assert.is(unkeyed.duplicate, true, 'I7: d took effect twice')
    const again = await forks.write(store('b'), { ...keyed('kb'), ...originOf(b!) })
    assert.is(again.duplicate, true, 'I7: b took effect twice')
    await forks.level()
    await forks.places()
  },
}

const uponWhatCameHome: Scenario = {
  name: 'fork-upon-reconciled-writes',
  title: 'A write is reconciled; a later one of the same node knows it, and is left behind in a '
    + 'second fork.',
  lesson:
    'All that was in the log of an epoch when it wrote is in its past, wherever it was logged '
    + 'first: no conflict.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const first = await forks.leaveBehind([store('a', { confidence: 0.9, content: 'first' })])
    stage.start(first.old)
    await forks.closed()
    const second = await forks.leaveBehind([store('a', { confidence: 0.1, content: 'second' })])
    stage.start(second.old)
    await forks.closed()
    assert.equal(await forks.places(), ['merged', 'merged'],
      'forks: what a write was based on is in its past')
    assert.is((await forks.node('a'))?.content, 'second')
    assert.equal(await forks.quarantine(), [])
  },
}

const inTwoForks: Scenario = {
  name: 'one-write-in-two-forks',
  title: 'A client sends writes of a fork again to an epoch that is lost with them, too; both '
    + 'salvages are reconciled.',
  lesson: 'A write that was reconciled in a fork is reconciled again as what it was first, so two '
    + 'salvages with one write bring it once.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const first = await forks.leaveBehind([store('a'), store('b')], ['ka', 'kb'])
    const [a] = first.answers
    const second = stage.primary
    stage.say('they are sent again, and reach nobody but the present primary')
    stage.network.faults = lost(second, null)
    await forks.write(store('a'), { ...keyed('ka'), ...originOf(a!) })
    // Without its origin: to that epoch it is a write of its own.
    forks.left.push(await forks.write(store('b'), keyed('kb')))
    forks.left.push(await forks.write(store('c')))
    stage.kill(second)
    stage.network.faults = () => undefined
    stage.start(first.old)
    await stage.until('a third is primary', () =>
      stage.isPrimary(stage.primary, 3)
      && stage.primary !== second, 5000)
    stage.start(second)
    await forks.closed()
    const places = await forks.places()
    assert.is(places[0], 'merged')
    assert.equal(places.slice(1, 3).toSorted(), ['merged', 'resent'])
    assert.is(places[3], 'merged')
    const entries = await stage.cluster.entries(stage.primary)
    const ids = entries.flatMap((
      { operation },
    ) => (operation.type === 'StoreNode' && operation.node.id.length === 1
      ? [operation.node.id]
      : [])
    )
    assert.equal(ids.toSorted(), ['a', 'b', 'c'], 'I7: a write is in the log twice')
    for (const node of [first.old, second]) assert.equal(await forks.salvages(node), [])
  },
}

const overtaken: Scenario = {
  name: 'overtaken-epoch',
  title: 'Epoch 2 begins on a member that lacks entries of epoch 1, and is lost whole; epoch 3 '
    + 'begins on one that has them. Both are reconciled.',
  lesson: 'The start of each epoch decides which log holds which entry. What epoch 3 has of '
    + 'epoch 1 is no fork, though epoch 2 had to do without; and what epoch 2 wrote is '
    + 'concurrent with it.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    await forks.write([store('known', { content: 'first' })], { 'Engram-Ack': 'committed' })
    const start = stage.end('n1').sequence
    stage.say('frames of n1 to n2 are lost')
    stage.network.faults = lost('n1', 'n2', 'wal')
    const shared = await forks.write(store('x', { confidence: 0.9, content: 'epoch 1' }))
    await forks.write(store('filler'))
    await stage.until('n3 has them', () => stage.durable('n3').sequence >= shared.sequence + 1)
    const [tail] = await forks.alone([store('tail')])
    stage.say('n3 doubts itself (tilt) and is no candidate; n2 and n3 do not hear each other')
    stage.setForward('n3', 600)
    stage.network.faults = deaf('n2', 'n3')
    stage.kill('n1')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2) && stage.at('n2').serves)
    const weak = await forks.write(store('x', { confidence: 0.5, content: 'epoch 2' }))
    const based = await forks.write(store('known', { content: 'second', confidence: 0.1 }))
    forks.left.push(weak, based)
    assert.is(weak.sequence, start + 2, 'epoch 2 began below what n3 has')
    stage.kill('n2')
    stage.network.faults = () => undefined
    await stage.until('n3 is primary',
      () => stage.isPrimary('n3', 3) && forks.reports().length === 2)
    const [one, two] = [forks.report(1), forks.report(2)]
    assert.equal([one.forkPoint, one.start.epoch], [{ epoch: 1, sequence: shared.sequence + 1 }, 0])
    assert.equal([two.forkPoint, two.start], [{ epoch: 1, sequence: start }, { epoch: 1,
      sequence: start }])
    stage.start('n1', 'n2')
    await forks.closed()
    assert.equal(await forks.places([shared, tail!, weak, based]), ['present', 'merged',
      'quarantined', 'merged'],
      'forks: what stood in the log of a write is in its past, and nothing else')
    assert.is((await forks.node('x'))?.content, 'epoch 1')
    assert.is((await forks.node('known'))?.content, 'second')
    assert.equal((await forks.quarantine()).map(({ origin, by }) => [origin, by]), [[
      { epoch: 2, sequence: weak.sequence },
      { epoch: 1, sequence: shared.sequence },
    ]])
  },
}

/** Neither learns the other's position, or joins; heartbeats and grants pass. */
function deaf(one: string, other: string) {
  const kinds = ['survey', 'ack', 'wal', 'answer'] as const
  return several(lost(one, other, ...kinds), lost(other, one, ...kinds))
}

const twoFailovers: Scenario = {
  name: 'report-over-two-failovers',
  title: 'The epoch that opens a report dies before its first entry is on any other node, and so '
    + 'does the next but one.',
  lesson: 'The record at the arbiter lists epochs that ended until a report of each is committed: '
    + 'the outcome does not depend on which member took over in between.',
  run: async (begin) => {
    const forks = new Forks(await begin({ nodes: ['n1', 'n2', 'n3', 'n4'], replicas: 3 }))
    const { stage } = forks
    const [left] = await forks.alone([store('a')])
    const dead: string[] = []
    for (let turn = 0; turn < 3; turn += 1) {
      const { epoch } = stage.record
      const { primary } = stage
      stage.kill(primary)
      dead.push(primary)
      // The next primary opens its epoch, and nobody gets its first entry.
      stage.network.faults = turn < 2 ? lost(null, null, 'wal') : () => undefined
      await stage.until('another is primary', () =>
        stage.isPrimary(stage.primary, epoch + 1)
        && stage.primary !== primary && stage.cluster.primary() !== null, 5000)
    }
    await stage.until('the report is applied', () => forks.reports().length > 0, 3000)
    const listed = forks.reports().map(({ epoch, node, outcome }) =>
      `${epoch} of ${node}: ${outcome}`
    )
    assert.equal(listed, dead.map((node, index) => `${index + 1} of ${node}: null`),
      'forks: each epoch that ended has a report')
    assert.is((await forks.fate(left!)).fate, 'unknown')
    stage.start(...dead)
    await forks.closed()
    assert.equal(await forks.places(), ['merged'])
    assert.equal(forks.reports().map(({ outcome }) => outcome), ['reconciled', 'level', 'level'])
  },
}

const lostDisk: Scenario = {
  name: 'fork-lost-with-its-disk',
  title: 'A primary dies with writes that others had only heard of, and comes back with an empty '
    + 'disk.',
  lesson: 'A write that was heard of and is nowhere counts as lost: the report is closed when the '
    + 'node is back and its disk is another one.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    await stage.writes(1, 'committed')
    stage.say('frames of n1 are lost, but for the second one: it shows how far the log goes')
    const frames = { n2: 0, n3: 0 }
    stage.network.faults = ({ from, to, kind, data }) => {
      if (from !== 'n1' || kind !== 'wal' || data.length < noticeBytesMax) return undefined
      frames[to as 'n2' | 'n3'] += 1
      return frames[to as 'n2' | 'n3'] === 2 ? undefined : 'lost'
    }
    forks.left.push(await forks.write(store('a')), await forks.write(store('b')))
    await stage.run(2)
    stage.kill('n1')
    stage.network.faults = () => undefined
    await stage.until('another is primary', () =>
      stage.cluster.primary() !== null
      && forks.reports().length > 0)
    const report = forks.report(1)
    assert.is(report.lastKnown - report.forkPoint.sequence, 2, 'they were heard of')
    stage.replaceDisk('n1')
    // On an empty disk incarnations count from the present second.
    await stage.run(2000)
    stage.start('n1')
    await forks.closed()
    assert.equal([forks.report(1).outcome, forks.report(1).lost], ['lost', 2],
      'forks: what is nowhere is counted as lost')
    assert.equal(await forks.places(), ['nowhere', 'nowhere'])
    assert.is((await forks.fate(forks.left[0]!)).fate, 'lost')
  },
}

/** A notice has no frame. */
const noticeBytesMax = 120

const handedOver: Scenario = {
  name: 'handover-leaves-no-report',
  title: 'An epoch is handed over; another one is taken up again by its own holder.',
  lesson: 'A report is opened for what may have been left behind: a handover leaves nothing, and '
    + 'neither does a node that is primary again with the log that it had.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    await stage.handOver('n2')
    await stage.writes(2, 'committed')
    assert.equal(forks.reports(), [], 'forks: a handover opens no report')
    for (const node of ['n1', 'n2', 'n3']) stage.kill(node)
    stage.say('n2 alone comes back: the epoch that is over is its own')
    stage.start('n2')
    await stage.until('n2 is primary again',
      () => stage.isPrimary('n2', 3) && stage.at('n2').serves, 8000)
    await stage.calm()
    await stage.cluster.converged()
    assert.equal(forks.reports(), [], 'forks: who goes on with its own log left nothing behind')
    assert.is(stage.record.epoch >= 3, true)
  },
}

export const reconciliationScenarios: readonly Scenario[] = [
  comesHome,
  sentAgain,
  uponWhatCameHome,
  inTwoForks,
  overtaken,
  twoFailovers,
  lostDisk,
  handedOver,
]
