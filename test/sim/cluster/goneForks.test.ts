/** Forks of which a member no longer keeps all entries, when an epoch was forced without them. */
import { extname } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FateValue } from '../../../actors/ports/clientApi.js'
import type { ForkReport } from '../../../machines/log/forkNotes.js'
import { giveUpCovered } from '../../support/giveUp.js'
import { assertSameTables } from '../../support/sameTables.js'
import { SimCluster } from '../../support/simCluster.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: gone forks')

interface Ahead {
  readonly cluster: SimCluster
  /** The member without the entries, and the others; the first one of these was the primary. */
  readonly short: SimNode
  readonly others: readonly [SimNode, SimNode]
  /** End of what all have. */
  readonly common: number
}

/** One member misses what the others have committed since. */
async function ahead(writes: number): Promise<Ahead> {
  const cluster = await SimCluster.serving({ writes: 5, segmentBytes: 4096 })
  const primary = cluster.primary()!
  const [short, other] = cluster.running.filter((node) => node !== primary)
  cluster.weather = (from, to) => ([from, to].includes(short!.id) ? 'lost' : 0.2)
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(short!.id))
  const all = { cluster, short: short!, others: [primary, other!] as const,
    common: short!.space().member.log.end.sequence }
  await more(all, writes)
  return all
}

async function more({ cluster, others }: Ahead, writes: number): Promise<void> {
  for (let n = 0; n < writes; n += 1) await cluster.writes(1, 'committed')
  await cluster.until('they have applied it', () =>
    others.every((node) => {
      const { store, log } = node.space().member
      return store.applied.sequence === log.end.sequence
        && log.end.sequence === others[0].space().member.log.end.sequence
    }))
}

/** The short member serves, and the others are dead. */
async function force({ cluster, short, others }: Ahead): Promise<void> {
  for (const node of others) node.kill()
  cluster.weather = () => 0.2
  const answer = await cluster.command(short.id, { type: 'promote', space: 'teams', to: short.id,
    force: true })
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await cluster.until('it serves', () => cluster.primary() === short)
  await cluster.writes(2, 'durable')
  await cluster.until('it has applied all', () => {
    const { store, log } = short.space().member
    return store.applied.sequence === log.end.sequence
  })
  await takeCheckpoint(cluster, short)
}

function reports(cluster: SimCluster): readonly ForkReport[] {
  return cluster.primary()?.space().member.store.reports() ?? []
}

async function returned(cluster: SimCluster, ...nodes: SimNode[]): Promise<void> {
  for (const node of nodes) node.start()
  await cluster.until('they are in sync',
    () => nodes.every((node) => cluster.record()!.inSync.includes(node.id)), 30_000)
}

async function closed(cluster: SimCluster): Promise<void> {
  await cluster.until('reports are closed', () =>
    reports(cluster).length > 0
    && reports(cluster).every(({ outcome }) => outcome !== null), 30_000)
}

function kept(node: SimNode): string[] {
  return node.disk.paths('/data/salvage').filter((path) => path.endsWith('.checkpoint'))
}

/** I6: each answered write is safe, or lost if it is one of those; the members are equal. */
async function balanced(
  cluster: SimCluster,
  isLost: (place: { epoch: number; sequence: number }) => boolean,
): Promise<void> {
  await cluster.writes(2, 'committed')
  await cluster.converged()
  let lost = 0
  for (const { answer: { space, epoch, sequence } } of cluster.acknowledged) {
    if (space !== 'teams') continue
    const fate = await cluster.read({ type: 'GetFate', epoch, sequence })
    assert.ok(fate.ok, JSON.stringify(fate))
    const { fate: said, reason } = fate.value as FateValue
    assert.is(said, isLost({ epoch, sequence }) ? 'lost' : 'safe',
      `(${epoch}, ${sequence}) ${reason}`)
    if (said === 'lost') lost += 1
  }
  assert.is(lost, reports(cluster).reduce((sum, report) => sum + report.lost, 0))
  assertSameTables(cluster)
}

test('what nobody keeps is counted as lost, the rest is reconciled, a checkpoint is kept', async () => {
  const all = await ahead(60)
  const { cluster, short, others, common } = all
  const { epoch } = cluster.record()!
  const bases: number[] = []
  for (const node of others) bases.push(await giveUpCovered(cluster, node))
  const base = Math.min(...bases)
  assert.ok(base > common + 10, `${bases.join()} of more than ${common}`)
  const { end } = others[0].space().member.log
  await more(all, 5)
  await force(all)
  await returned(cluster, ...others)
  await closed(cluster)
  const [report] = reports(cluster)
  assert.equal([report!.epoch, report!.outcome, report!.lost], [epoch, 'lost', base - common],
    report!.reason)
  assert.match(report!.reason, new RegExp(`^n\\d no longer keeps entries ${common + 1} to ${base} `
    + `of that log: its checkpoint at ${end.sequence} has their effect$`))
  assert.is(report!.merged, end.sequence + 5 - base)
  for (const node of others) {
    assert.is(kept(node).length, 1, node.id)
    assert.is(node.space().member.store.installs, 1)
  }
  await balanced(cluster, (at) => at.epoch === epoch && at.sequence > common && at.sequence <= base)
  assert.is(cluster.primary(), short)
})

/** Two members ahead, of which the second one keeps more; returned one after the other. */
async function differentBases(first: 0 | 1): Promise<void> {
  const all = await ahead(40)
  const { cluster, others, common } = all
  const { epoch } = cluster.record()!
  const later = await giveUpCovered(cluster, others[1])
  await more(all, 40)
  const base = await giveUpCovered(cluster, others[0])
  assert.ok(later > common + 5 && base > later + 5, `${common}, ${later}, ${base}`)
  await force(all)
  await returned(cluster, others[first])
  await cluster.until('what it has is merged',
    () => reports(cluster)[0]!.merged > 0 && others[first].space().member.salvages.count === 0,
    30_000)
  const alone = first === 0 ? base : later
  const [report] = reports(cluster)
  // The report is that of the former primary.
  assert.equal([report!.outcome, report!.lost], first === 0 ? ['lost', alone - common] : [null, 0])
  await returned(cluster, others[1 - first]!)
  await closed(cluster)
  await cluster.until('nothing waits',
    () => others.every((node) => node.space().member.salvages.count === 0), 30_000)
  assert.equal(reports(cluster).map(({ outcome, lost }) => [outcome, lost]), [['lost',
    later - common]])
  await balanced(cluster,
    (at) => at.epoch === epoch && at.sequence > common && at.sequence <= later)
}

test('what one member still has is reconciled, whichever comes first', async () => {
  await differentBases(0)
  await differentBases(1)
})

test('an epoch of which only missing entries are known has its own report', async () => {
  const all = await ahead(10)
  const { cluster, others, common } = all
  const [former, next] = others
  const { epoch } = cluster.record()!
  const handover = await cluster.command(former.id, { type: 'promote', space: 'teams',
    to: next.id })
  assert.is(handover['ok'], true, JSON.stringify(handover))
  await cluster.until('it is handed over', () => cluster.primary() === next)
  await cluster.until('they are in sync', () => cluster.record()!.inSync.length === 2)
  const start = former.space().member.log.history.find((span) => span.epoch === epoch)!.last
  await more(all, 50)
  const bases: number[] = []
  for (const node of others) bases.push(await giveUpCovered(cluster, node))
  const base = Math.min(...bases)
  assert.ok(base > start + 5, `${base}, and epoch ${epoch} ends at ${start}`)
  await more(all, 3)
  await force(all)
  await returned(cluster, ...others)
  await closed(cluster)
  assert.equal(reports(cluster).map(({ epoch: of, outcome, lost }) => [of, outcome, lost]), [[epoch,
    'lost', start - common], [epoch + 1, 'lost', base - start - 1]])
  await balanced(cluster,
    ({ epoch: of, sequence }) => of <= epoch + 1 && sequence > common && sequence <= base)
})

test('a member that keeps nothing at all says so', async () => {
  const all = await ahead(60)
  const { cluster, others, common } = all
  const { epoch } = cluster.record()!
  const ends: number[] = []
  for (const node of others) {
    // Another space takes the journal on to its next segments.
    for (let taken = 0; taken < 2; taken += 1) await takeCheckpoint(cluster, node)
  }
  await cluster.createSpace({}, 'busy')
  await cluster.until('it is served', () => cluster.primary('busy') !== null)
  for (let n = 0; n < 40; n += 1) await cluster.wait(cluster.send({}, 1, 'busy'))
  for (const node of others) {
    await giveUpCovered(cluster, node, 'busy')
    const { log } = node.space().member
    assert.is(log.base, log.end.sequence)
    ends.push(log.base)
  }
  await force(all)
  await returned(cluster, ...others)
  await closed(cluster)
  assert.equal(reports(cluster).map(({ outcome, lost, merged }) => [outcome, lost, merged]), [[
    'lost',
    ends[0]! - common,
    0,
  ]])
  for (const node of others) assert.is(kept(node).length, 1, node.id)
  await balanced(cluster, (at) => at.epoch === epoch && at.sequence > common)
})

interface Alone {
  readonly cluster: SimCluster
  readonly node: SimNode
}

/** The former primary is alone ahead, and returns; `prepare` is called right before its start. */
async function aloneAhead(prepare: (node: SimNode) => void): Promise<Alone> {
  const all = await ahead(30)
  const { cluster, others: [node], common } = all
  const { epoch } = cluster.record()!
  const base = await giveUpCovered(cluster, node)
  assert.ok(base > common + 5)
  await more(all, 3)
  await force(all)
  prepare(node)
  await returned(cluster, node)
  await closed(cluster)
  assert.equal(reports(cluster).map(({ outcome, lost }) => [outcome, lost]), [['lost',
    base - common]])
  await cluster.until('nothing waits', () => node.space().member.salvages.count === 0)
  assert.is(kept(node).length, 1)
  await balanced(cluster, (at) => at.epoch === epoch && at.sequence > common && at.sequence <= base)
  return { cluster, node }
}

/** Calls of the disk that a salvage takes, from the second name of the checkpoint on. */
const steps = ['link before', 'link after', 'rename before', 'rename after', 'syncDirectory before',
  'syncDirectory after'] as const

test('a power cut at any step of the salvage loses nothing and says the same', async () => {
  const left: string[] = []
  for (const step of steps) {
    const [operation, moment] = step.split(' ') as [string, 'before' | 'after']
    const { node } = await aloneAhead((dying) => {
      const die = (): void => {
        left.push(dying.disk.paths('/data/salvage').map((path) => extname(path)).join())
        dying.powerCut()
        dying.loseGraphs()
        dying.start()
      }
      const point = { port: 'disk', operation, calls: 1, moment, die } as const
      const next = { ...point, operation: 'link', moment: 'after', die: () => {
        dying.crash = point
      } } as const
      dying.crash = operation === 'link' ? point : next
    })
    assert.is(node.space().member.store.installs, 1)
  }
  const done = '.checkpoint,.salvage'
  assert.equal(left, ['.tmp', '.checkpoint,.tmp', '.checkpoint,.tmp', done, done, done])
})

test('of a damaged log what is missing is named, and what can be read is salvaged', async () => {
  const all = await ahead(30)
  const { cluster, others: [node], common } = all
  const base = await giveUpCovered(cluster, node)
  await more(all, 20)
  const { end } = node.space().member.log
  await force(all)
  const [first] = node.disk.paths('/data/journal').filter((path) => path.endsWith('.segment'))
  node.disk.flipBit(first!, node.disk.bytesOf(first!).length >> 1, 1)
  node.start()
  await cluster.until('it is damaged',
    () => node.life?.actor.spaces.get('teams')?.member.damage !== undefined)
  assert.match(String(node.space().member.damage), /./)
  await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(node.id), 30_000)
  await closed(cluster)
  const [{ outcome, lost, merged, reason }] = reports(cluster) as [ForkReport]
  assert.equal([outcome, lost], ['lost', base - common], reason)
  assert.ok(merged > 0 && merged < end.sequence - base, `${merged} of ${end.sequence - base}`)
  assert.is(kept(node).length, 1)
})

test('a disk that takes no second name makes the install wait', async () => {
  const { node } = await aloneAhead((failing) => failing.disk.failNext('link', 'ENOSPC'))
  const said = node.log.filter(({ message }) => message === 'the fork could not be salvaged')
  assert.is(said.length, 1)
  assert.match(JSON.stringify(said[0]!.fields), /link fails, as planned/)
})

test('the kept checkpoint goes with the space, also when that is interrupted', async () => {
  const { cluster, node } = await aloneAhead(() => undefined)
  const [path] = kept(node)
  const answer = await cluster.command(node.id, { type: 'dropSpace', space: 'teams', by: 'ann' })
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await cluster.until('it is gone', () => kept(node).length === 0)
  const handle = await node.disk.open(path!, 'create')
  await handle.datasync()
  await handle.close()
  await node.disk.syncDirectory('/data/salvage')
  const other = await node.disk.open('/data/salvage/teams.00000000.1-1.from-2.1-3.checkpoint',
    'create')
  await other.close()
  node.kill()
  node.start()
  await cluster.until('it is gone at the next start', () => !kept(node).includes(path!))
  assert.is(kept(node).length, 1, 'that of another space stays')
})

test.run()
