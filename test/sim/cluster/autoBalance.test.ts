/** Primaries go back to the preferred member by themselves, and members to where they belong. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ActorSettings } from '../../../actors/ports/defaultSettings.js'
import { placeSpace, preferredPrimary } from '../../../machines/protocol/spacePlacement.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: balance')

const balanceAfterMs = 10_000
const nodes = ['n1', 'n2', 'n3', 'n4']
const members = placeSpace('teams', nodes, 3)
const preferred = preferredPrimary('teams', members)!
const others = members.filter((node) => node !== preferred)
const spare = nodes.find((node) => !members.includes(node))!

async function serving(settings: Partial<ActorSettings> = {}): Promise<SimCluster> {
  return await SimCluster.serving({
    nodes,
    writes: 10,
    settings: { autoBalance: 'primaries', balanceAfterMs, ...settings },
  })
}

/** The preferred member is primary. */
async function balanced(settings: Partial<ActorSettings> = {}): Promise<SimCluster> {
  const cluster = await serving(settings)
  await atHome(cluster)
  return cluster
}

const primary = (cluster: SimCluster): string | null => cluster.primary()?.id ?? null
const names = (cluster: SimCluster): string[] =>
  cluster.record()!.members.map(({ node }) => node).toSorted()

async function atHome(cluster: SimCluster, maxMs = 3 * balanceAfterMs): Promise<number> {
  return await cluster.until(`${preferred} is primary`, () => primary(cluster) === preferred, maxMs)
}

async function failedOver(cluster: SimCluster): Promise<SimNode> {
  const gone = cluster.primary()!
  gone.kill()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  return gone
}

async function inSync(cluster: SimCluster): Promise<void> {
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
}

/** The preferred member is back in sync, and another one is primary. */
async function away(cluster: SimCluster): Promise<void> {
  const gone = await failedOver(cluster)
  gone.start()
  await inSync(cluster)
  assert.is.not(primary(cluster), preferred)
}

async function promote(cluster: SimCluster, to: string, more: object = {}): Promise<void> {
  const command = { type: 'promote', space: 'teams', to, by: 'ann', ...more }
  const answer = await cluster.command(primary(cluster) ?? to, command)
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await cluster.until(`${to} is primary`, () => primary(cluster) === to)
}

test('after a failover the preferred member is primary again, and not before its time', async () => {
  const cluster = await balanced()
  const gone = await failedOver(cluster)
  await cluster.run(balanceAfterMs / 2)
  gone.start()
  await inSync(cluster)
  const epochs = new Set<number>()
  const answers: Promise<unknown>[] = []
  const back = cluster.until('it is back', () => {
    epochs.add(cluster.record()!.epoch)
    answers.push(cluster.send({ 'Engram-Ack': 'committed', 'Nats-Msg-Id': `k${answers.length}` }))
    return primary(cluster) === preferred
  }, 3 * balanceAfterMs)
  assert.ok(await back >= balanceAfterMs - 1000, 'well for its whole time')
  assert.is(epochs.size, 2, 'it went there directly')
  const refused = (await cluster.wait(Promise.all(answers)) as ({ ok: boolean } | null)[])
    .filter((answer) => !answer?.ok)
  assert.equal(refused, [], 'writers saw nothing of it')
  assert.ok(
    cluster.running.some(({ log }) =>
      log.some(({ message }) => message.includes(`${preferred} is its preferred primary`))
    ),
  )
  await cluster.check()
})

test('while the preferred member is away, the heaviest one in sync is primary', async () => {
  const cluster = await balanced()
  await failedOver(cluster)
  const second = preferredPrimary('teams', others)!
  await cluster.until('the second one is primary', () => primary(cluster) === second,
    3 * balanceAfterMs)
})

test('while it is drained, too', async () => {
  const cluster = await balanced()
  const second = preferredPrimary('teams', others)!
  for (const node of [preferred, second]) {
    await cluster.command(node, { type: 'drain', by: 'ann' })
  }
  await cluster.until('the third one is primary',
    () => ![null, preferred, second].includes(primary(cluster)))
  await cluster.command(second, { type: 'undrain', by: 'ann' })
  await cluster.until('the second one is primary', () => primary(cluster) === second,
    3 * balanceAfterMs)
  await cluster.command(preferred, { type: 'undrain', by: 'ann' })
  await atHome(cluster)
})

test('there are never two handovers of a space within that time', async () => {
  const cluster = await balanced()
  const second = preferredPrimary('teams', others)!
  const last = others.find((node) => node !== second)!
  await failedOver(cluster)
  if (primary(cluster) === second) await promote(cluster, last)
  cluster.node(preferred).start()
  let [epoch, atMs] = [cluster.record()!.epoch, cluster.clock.monotonicMs()]
  for (let step = 0; step < 6 * balanceAfterMs / 50; step += 1) {
    await cluster.run(50)
    const now = cluster.record()!.epoch
    if (now === epoch) continue
    const sinceMs = cluster.clock.monotonicMs() - atMs
    assert.ok(sinceMs > balanceAfterMs - 1000, `epoch ${now} after ${sinceMs} ms`)
    ;[epoch, atMs] = [now, cluster.clock.monotonicMs()]
  }
})

test('an operator\'s choice is kept, until the space has a primary without an order', async () => {
  const cluster = await balanced()
  const [chosen = ''] = others
  await promote(cluster, chosen)
  assert.is(cluster.record()!.promotedBy, 'ann')
  await cluster.run(4 * balanceAfterMs)
  assert.is(primary(cluster), chosen)
  const gone = await failedOver(cluster)
  gone.start()
  assert.is(cluster.record()!.promotedBy, undefined)
  await atHome(cluster)
  await promote(cluster, chosen)
  await promote(cluster, preferred)
  assert.is(cluster.record()!.promotedBy, undefined, 'that is no other choice')
})

test('an operator may choose the present primary', async () => {
  const cluster = await balanced()
  await failedOver(cluster)
  const chosen = primary(cluster)!
  await promote(cluster, chosen)
  assert.is(cluster.record()!.promotedBy, 'ann')
  cluster.node(preferred).start()
  await cluster.run(4 * balanceAfterMs)
  assert.is(primary(cluster), chosen)
})

test('the choice is kept through changes of the record, and a forced one, too', async () => {
  const cluster = await balanced()
  const [chosen = '', third = ''] = others
  await promote(cluster, chosen)
  cluster.node(third).kill()
  await cluster.until('it left the set', () => cluster.record()!.inSync.length === 2)
  cluster.node(third).start()
  await inSync(cluster)
  assert.is(cluster.record()!.promotedBy, 'ann')
  await promote(cluster, third, { force: true })
  await cluster.run(4 * balanceAfterMs)
  assert.is(primary(cluster), third)
})

test('a primary that was promoted while paused is kept after the pause', async () => {
  const cluster = await balanced()
  const [chosen = ''] = others
  await cluster.command(chosen, { type: 'pause', space: 'teams', by: 'ann' })
  const gone = cluster.primary()!
  gone.kill()
  await cluster.run(5000)
  const answer = await cluster.command(chosen, { type: 'promote', space: 'teams', to: chosen,
    by: 'ann' })
  assert.is(answer['ok'], true, JSON.stringify(answer))
  gone.start()
  await cluster.command(chosen, { type: 'resume', space: 'teams', by: 'ann' })
  await cluster.run(4 * balanceAfterMs)
  assert.is(primary(cluster), chosen)
})

const nothing: Record<string, (cluster: SimCluster) => Promise<unknown> | void> = {
  'the space is paused': (cluster) =>
    cluster.command(others[0]!, { type: 'pause', space: 'teams', by: 'ann' }),
  'the arbiter is away': (cluster) => {
    cluster.bucket.available = false
  },
  'half of the nodes are missing': (cluster) => {
    cluster.node(spare).kill()
    const replica = others.find((node) => node !== primary(cluster))!
    cluster.node(replica).kill()
  },
  'a change of the members is under way': async (cluster) => {
    const id = primary(cluster)!
    cluster.weather = (from, to) => (from === id && to === spare ? 'lost' : 0.2)
    const answer = await cluster.command(id, { type: 'changeMembers', space: 'teams', add: spare })
    assert.is(answer['ok'], true)
  },
  'the preferred member is drained': (cluster) =>
    cluster.command(preferred, { type: 'drain', by: 'ann' }),
  'the preferred member lags': (cluster) => {
    const id = primary(cluster)!
    cluster.weather = (from, to) => (from === id && to === preferred ? 600 : 0.2)
  },
  'the preferred member cannot write': (cluster) => {
    cluster.node(preferred).diskDelayMs = (operation) => (operation === 'datasync' ? 4000 : 0)
  },
}
for (const [what, make] of Object.entries(nothing)) {
  test(`nothing is moved while ${what}`, async () => {
    const cluster = await balanced()
    await away(cluster)
    await make(cluster)
    const before = cluster.record()!.epoch
    for (let step = 0; step < 30; step += 1) {
      if (what.endsWith('lags')) void cluster.send()
      await cluster.run(balanceAfterMs / 10)
    }
    // The second heaviest may be primary while the preferred one is not able to be.
    const isSecond = primary(cluster) === preferredPrimary('teams', others)
    const moved = cluster.record()!.epoch - before
    assert.ok(moved === 0 || (what.endsWith('drained') && isSecond), `${moved} epochs`)
  })
}

test('a pause that ends, or a change, begins the time anew', async () => {
  const cluster = await balanced()
  await away(cluster)
  const id = primary(cluster)!
  await cluster.run(balanceAfterMs / 2)
  await cluster.command(id, { type: 'pause', space: 'teams', by: 'ann' })
  await cluster.run(2 * balanceAfterMs)
  await cluster.command(id, { type: 'resume', space: 'teams', by: 'ann' })
  assert.ok(await atHome(cluster) >= balanceAfterMs - 1000)
})

test('with autoBalance off nothing is moved', async () => {
  const cluster = await serving({ autoBalance: 'off' })
  const [chosen = ''] = others
  await promote(cluster, preferred)
  const gone = await failedOver(cluster)
  gone.start()
  await cluster.run(4 * balanceAfterMs)
  assert.ok([chosen, ...others].includes(primary(cluster)!))
})

test('a node hands over one primary at a time', async () => {
  const cluster = await SimCluster.serving({
    nodes,
    writes: 10,
    // Each handover takes its time.
    arbiterDelayMs: () => 50,
    settings: { autoBalance: 'primaries', balanceAfterMs },
  })
  const more = Array.from({ length: 24 }, (_, index) => `s${index}`)
  for (const space of more) await cluster.createSpace({}, space)
  const all = ['teams', ...more]
  const goal = (space: string) =>
    preferredPrimary(space, cluster.record(space)!.members.map(({ node }) => node))
  const gone = cluster.node(preferred)
  gone.kill()
  await cluster.until('all are served', () => all.every((space) => cluster.primary(space) !== null))
  gone.start()
  let most = 0
  await cluster.until('all are where they belong', () => {
    for (const node of cluster.running) {
      const handing = all.filter((space) =>
        node.actor.spaces.get(space)?.roleState.role === 'primary'
        && /handingOver/.test(node.actor.spaces.get(space)!.primaryRole?.state ?? '')
      )
      most = Math.max(most, handing.length)
    }
    return all.every((space) => cluster.primary(space)?.id === goal(space))
  }, 6 * balanceAfterMs)
  assert.is(most, 1)
})

/** The space was made while a node was away on which it would be placed. */
async function misplaced(settings: Partial<ActorSettings> = {}): Promise<SimCluster> {
  const cluster = await SimCluster.start({ nodes,
    settings: { autoBalance: 'all', balanceAfterMs, ...settings } })
  cluster.node(others[0]!).kill()
  await cluster.run(3000)
  await cluster.createSpace()
  assert.ok(names(cluster).includes(spare))
  cluster.node(others[0]!).start()
  return cluster
}

test('members are moved to where the space would be placed now, if that is wanted', async () => {
  const cluster = await misplaced()
  await cluster.run(balanceAfterMs / 2)
  assert.ok(names(cluster).includes(spare), 'not before its time')
  await cluster.until('it is placed', () => names(cluster).join() === members.join(),
    3 * balanceAfterMs)
  assert.is(cluster.record()!.settings.replicas, 2)
  await cluster.writes(5, 'committed')
  await cluster.check()
  const usual = await misplaced({ autoBalance: 'primaries' })
  await usual.run(4 * balanceAfterMs)
  assert.ok(names(usual).includes(spare))
})

test('no member is moved while another one is away or drained', async () => {
  const cluster = await misplaced()
  const kept = others[1]!
  const before = names(cluster)
  await cluster.command(kept, { type: 'drain', by: 'ann' })
  await cluster.run(4 * balanceAfterMs)
  assert.equal([names(cluster), cluster.record()!.change], [before, undefined])
  await cluster.command(kept, { type: 'undrain', by: 'ann' })
  await cluster.until('it is placed', () => !names(cluster).includes(spare), 3 * balanceAfterMs)
})

test('a move whose learner is gone is taken back', async () => {
  const cluster = await misplaced()
  const learner = others[0]!
  const id = primary(cluster)
  cluster.weather = (from, to) => (from === id && to === learner ? 'lost' : 0.2)
  await cluster.until('a change is under way', () => cluster.record()!.change !== undefined,
    3 * balanceAfterMs)
  assert.is(cluster.record()!.change!.by, 'auto-balance')
  cluster.node(learner).kill()
  await cluster.until('it is taken back', () => cluster.record()!.change === undefined,
    3 * balanceAfterMs)
  assert.ok(names(cluster).includes(spare))
})

/** When changes of the members begin and end, ms. */
async function changes(cluster: SimCluster, ms: number): Promise<number[]> {
  const times: number[] = []
  const begun = cluster.clock.monotonicMs()
  for (let was = false; cluster.clock.monotonicMs() - begun < ms;) {
    await cluster.run(100)
    const is = cluster.record()!.change !== undefined
    if (is !== was) times.push(cluster.clock.monotonicMs())
    was = is
  }
  return times
}

test('a move whose learner gets no further is taken back, and ordered less and less often', async () => {
  const shortMs = balanceAfterMs / 5
  const cluster = await misplaced({ balanceAfterMs: shortMs })
  const learner = others[0]!
  if (primary(cluster) !== preferred) await promote(cluster, preferred)
  cluster.weather = (from, to) => (from === preferred && to === learner ? 'lost' : 0.2)
  const [first = 0, back = 0, second = 0, backAgain = 0, third = 0] = await changes(cluster,
    32 * shortMs)
  const times = [back - first, second - back, backAgain - second, third - backAgain]
  assert.equal(times.map((ms) => Math.round(ms / shortMs)), [10, 2, 10, 4])
  assert.ok(names(cluster).includes(spare))
})

test.run()
