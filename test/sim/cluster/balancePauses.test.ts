/** A preferred primary that fails again and again gets its space back less and less often. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { placeSpace, preferredPrimary } from '../../../machines/protocol/spacePlacement.js'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: pauses of balance')

const balanceAfterMs = 2000
const nodes = ['n1', 'n2', 'n3']
const preferred = preferredPrimary('teams', placeSpace('teams', nodes, 3))!

/** The preferred member is primary; `arbiterMs`: of a request to the arbiter, and of its answer. */
async function balanced(arbiterMs = () => 0.2): Promise<SimCluster> {
  const cluster = await SimCluster.serving({ nodes, writes: 10,
    settings: { autoBalance: 'primaries', balanceAfterMs }, arbiterDelayMs: arbiterMs })
  await atHome(cluster)
  return cluster
}

async function atHome(cluster: SimCluster): Promise<number> {
  return await cluster.until(`${preferred} is primary`, () => cluster.primary()?.id === preferred,
    10 * balanceAfterMs)
}

async function inSync(cluster: SimCluster): Promise<void> {
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
}

/** The preferred member is back in sync, and another one is primary. */
async function away(cluster: SimCluster): Promise<void> {
  cluster.node(preferred).kill()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  cluster.node(preferred).start()
  await inSync(cluster)
  assert.is.not(cluster.primary()?.id, preferred)
}

/** Lets time pass, and returns when handovers began, ms. */
async function handovers(cluster: SimCluster, ms: number): Promise<number[]> {
  const times: number[] = []
  const begun = cluster.clock.monotonicMs()
  for (let was = false; cluster.clock.monotonicMs() - begun < ms;) {
    await cluster.run(100)
    const is = cluster.running.some(({ actor }) =>
      actor.spaces.get('teams')?.primaryRole?.state.startsWith('handingOver')
    )
    if (is && !was) times.push(cluster.clock.monotonicMs())
    was = is
  }
  return times
}

test('a handover that comes to nothing is tried less and less often', async () => {
  let arbiterMs = 0.2
  const cluster = await balanced(() => arbiterMs)
  await away(cluster)
  // To ask it takes longer than a handover waits.
  arbiterMs = 500
  const times = await handovers(cluster, 18 * balanceAfterMs)
  const pauses = times.slice(1).map((ms, index) => ms - times[index]!)
  // Each with the handover itself, and with the question before it.
  assert.equal(pauses.map((ms) => Math.floor(ms / balanceAfterMs)), [2, 4, 8])
  cluster.node(preferred).kill()
  arbiterMs = 0.2
  await cluster.run(3000)
  cluster.node(preferred).start()
  await inSync(cluster)
  assert.ok(await atHome(cluster) < 3 * balanceAfterMs, 'it was started again')
})

test('a member that dies again and again has to be well for longer each time', async () => {
  const cluster = await balanced()
  const lasted: number[] = []
  for (let round = 0; round < 4; round += 1) {
    await away(cluster)
    lasted.push(await atHome(cluster))
  }
  assert.equal(lasted.map((ms) => Math.round(ms / balanceAfterMs)), [1, 2, 4, 8])
  await cluster.run(70 * balanceAfterMs)
  await away(cluster)
  assert.is(Math.round(await atHome(cluster) / balanceAfterMs), 1, 'that is long ago')
})

test('one that leaves, and is started again, did not die', async () => {
  const cluster = await balanced()
  for (let round = 0; round < 3; round += 1) {
    await cluster.command(preferred, { type: 'drain', stop: true, by: 'ann' })
    await cluster.until('it has ended', () => cluster.node(preferred).life === null)
    cluster.node(preferred).start()
    await inSync(cluster)
    assert.is.not(cluster.primary()?.id, preferred)
    assert.is(Math.round(await atHome(cluster) / balanceAfterMs), 1)
  }
})

test.run()
