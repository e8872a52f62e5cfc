/** Faults in random order, then peace: the books must balance. SIM_SEEDS=from-to for more. */
import { suite } from 'uvu'
import { SimCluster } from '../support/simCluster.js'
import type { SeededRandom } from '../fakes/seededRandom.js'

const test = suite('cluster chaos')

const [first = 1, last = 4] = (process.env['SIM_SEEDS'] ?? '1-4').split('-').map(Number)

function fault(cluster: SimCluster, random: SeededRandom): void {
  const node = random.pick([...cluster.nodes.values()])
  const isApart = (one: string, other: string) => one !== 'client' && other !== 'client'
  const kind = random.integer(9)
  if (kind === 0 && node.life && cluster.running.length > 1) {
    if (random.chance(0.5)) node.kill()
    else node.powerCut(() => random.next())
  } else if (kind <= 2 && !node.life) node.start()
  else if (kind === 3) {
    const share = random.next() * 0.2
    cluster.weather = (from, to) => (isApart(from, to) && random.chance(share)
      ? 'lost' : 0.1 + random.next() * 3)
  } else if (kind === 4) {
    cluster.weather = (from, to) => (isApart(from, to) && (from === node.id) !== (to === node.id)
      ? 'lost' : 0.2)
  } else if (kind === 5) cluster.weather = () => 0.2
  else if (kind === 6) cluster.bucket.loseAnswers(random.pick(['applied', 'lost', 'late']))
  else if (kind === 7) cluster.bucket.release()
  else if (kind === 8 && node.life) {
    const { clock } = node.life
    node.freeze()
    cluster.clock.setTimeout(() => clock.thaw(), random.integer(4000))
  }
}

/** I2, of those that run: a stopped one decides nothing. */
function assertOneServes(cluster: SimCluster): void {
  const serving = cluster.running.filter((node) => !node.life!.clock.isFrozen
    && node.life!.actor.spaces.get('demo')?.serves)
  if (serving.length > 1) throw new Error(`I2: ${serving.map((node) => node.id).join()}`)
}

for (let seed = first; seed <= last; seed += 1) {
  test(`seed ${seed}`, async () => {
    const cluster = await SimCluster.start({ seed })
    await cluster.createSpace()
    const random = cluster.random.fork('chaos')
    const sent: Promise<unknown>[] = []
    for (let step = 0; step < 25; step += 1) {
      fault(cluster, random)
      for (let i = 0; i < 5; i += 1) {
        sent.push(cluster.send({ 'Engram-Ack': random.pick(['durable', 'committed']) }))
        await cluster.run(random.integer(120))
      }
      assertOneServes(cluster)
    }
    cluster.weather = () => 0.2
    cluster.bucket.release()
    await cluster.run(4500)
    for (const node of cluster.nodes.values()) if (!node.life) node.start()
    await cluster.wait(Promise.all(sent), 20_000)
    await cluster.until('one reigns, all in sync', () => cluster.primary() !== null
      && cluster.record()!.inSync.length === 3, 15_000)
    await cluster.writes(2, 'committed')
    await cluster.check()
  })
}

test.run()
