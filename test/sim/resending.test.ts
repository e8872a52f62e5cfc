/** Primaries that die together with their disks, in virtual time: nothing acknowledged is lost. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SeededRandom } from '../fakes/seededRandom.js'
import { SimCluster } from '../support/simCluster.js'
import { SimWriter } from '../support/simWriter.js'

const test = suite('sim: resending')
const seeds = 20
/** On an empty disk incarnations count from the present second: the last life's is over by then. */
const freshDiskMs = 1500

async function loseDisk(cluster: SimCluster, random: SeededRandom): Promise<void> {
  const primary = cluster.primary()!
  const { epoch } = cluster.record()!
  // Writes made now reach nobody, or not yet, or only one of them.
  const deaf = cluster.running.filter((node) => node !== primary && random.chance(0.7))
  const delayMs = random.pick(['lost', 'lost', 5] as const)
  cluster.weather = (from,
    to) => (from === primary.id && deaf.some(({ id }) => id === to) ? delayMs : 0.2)
  await cluster.run(random.next() * 60)
  primary.kill()
  primary.replaceDisk()
  cluster.weather = () => 0.2
  await cluster.until('another is primary', () => {
    const record = cluster.record()!
    return record.epoch > epoch && record.state === 'open' && cluster.primary() !== null
  })
  await cluster.run(freshDiskMs)
  primary.start()
}

async function allInSync(cluster: SimCluster): Promise<void> {
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3, 20_000)
}

async function keysOf(cluster: SimCluster): Promise<Map<string, number>> {
  await cluster.converged()
  const log = await cluster.entries(cluster.primary()!.id)
  return new Map(
    log.flatMap((
      { writeId, sequence },
    ) => (writeId === null ? [] : [[writeId, sequence] as const])),
  )
}

async function run(seed: number, protects: boolean): Promise<{ lost: number; resent: number }> {
  const cluster = await SimCluster.start({ seed })
  await cluster.createSpace()
  await allInSync(cluster)
  const random = cluster.random.fork('disks')
  const writer = await SimWriter.start(cluster, { workers: 6, protects })
  for (let n = 0; n < 2; n += 1) {
    await cluster.run(100 + random.next() * 100)
    await loseDisk(cluster, random)
    await allInSync(cluster)
  }
  writer.stop()
  await cluster.until('all is safe', () => writer.isOver)
  const log = await keysOf(cluster)
  let lost = 0
  for (const keys of writer.acknowledged) {
    let before = 0
    for (const key of keys) {
      const here = log.get(key)
      if (here === undefined) lost += 1
      else if (protects) assert.ok(here > before, `seed ${seed}: ${key} is before an older one`)
      before = here ?? before
    }
  }
  return { lost, resent: writer.resent }
}

test(`${seeds} seeds, two lost disks each: protected, nothing is lost, and all is in order`,
  async () => {
    let resent = 0
    for (let seed = 1; seed <= seeds; seed += 1) {
      const end = await run(seed, true)
      assert.is(end.lost, 0, `seed ${seed}`)
      resent += end.resent
    }
    assert.ok(resent > seeds, `only ${resent} were sent again: this proves little`)
  })

test('unprotected, the same runs lose what was acknowledged', async () => {
  let lost = 0
  for (let seed = 1; seed <= 3; seed += 1) lost += (await run(seed, false)).lost
  assert.ok(lost > 0)
})

test.run()
