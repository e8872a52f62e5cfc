/**
 * Three clustered nats-servers, the arbiter's bucket with three replicas, nodes on different
 * servers: the topology of compose.yaml.
 */
import * as assert from 'uvu/assert'
import { placeSpace } from '../../machines/protocol/spacePlacement.js'
import { assertAllTaken, audit } from '../support/audit.js'
import { BrokerCluster } from '../support/brokerCluster.js'
import { cli } from '../support/cli.js'
import { NodeProcess, space, type Cluster, type Parts } from '../support/cluster.js'
import { note, scenario, suite, type Stage } from '../support/scenario.js'
import { lasting, notYet, waitFor } from '../support/wait.js'
import type { LoadWriter } from '../support/writer.js'

const clustered = suite('integration: clustered NATS', 540)

const stream = 'KV_engram'
/** The default lease. */
const grantMs = 2000
/** The log line of a node that knows of a peer's death. */
const byProof = (id: string): RegExp => new RegExp(`503: the connection of ${id} `)
const bySilence = (id: string): RegExp => new RegExp(`the last grant to ${id} has run out`)

const parts: Parts<BrokerCluster, NodeProcess> = {
  broker: (directory) => BrokerCluster.start(directory),
  node: (place) => new NodeProcess(place),
}

type Clustered = Cluster<BrokerCluster, NodeProcess>

const settings = ['arbiterReplicas=3']

/** Node n<i> is on the server that `servers` names i-th, and on no other. */
function onServers(
  stage: Stage,
  servers: readonly number[],
  options: { replicas?: number } = {},
): Promise<Clustered> {
  return stage.clusterOf(parts, {
    ...options,
    settings,
    urlOf: (id, urls) =>
      Promise.resolve(
        urls.split(',')[(servers[Number(id.slice(1)) - 1] ?? 1) - 1] ?? urls,
      ),
  })
}

async function promote(cluster: Clustered, id: string): Promise<number> {
  if ((await cluster.primary()).node !== id) {
    await cli(['promote', space, '--to', id, '--nats', cluster.broker.url])
  }
  const { epoch } = await cluster.primary({ by: id })
  await cluster.inSync(cluster.options.replicas === 1 ? 2 : 3)
  return epoch
}

/** Asks the stream's leader to step down until the wanted server leads. */
async function moveStreamLeader(cluster: Clustered, to: number): Promise<void> {
  await waitFor(`server ${to} to lead ${stream}`, async () => {
    const leader = await cluster.broker.streamLeader(stream)
    if (leader === to) return true
    await cluster.nc.request(`$JS.API.STREAM.LEADER.STEPDOWN.${stream}`, '', { timeout: 5000 })
    await lasting(500)
    return notYet(`server ${leader} leads`)
  }, { seconds: 60 })
}

/** Everybody is back, and the audit passes. */
async function settle(
  cluster: Clustered,
  writers: readonly LoadWriter[],
  seconds = 40,
): Promise<void> {
  const members = (cluster.options.replicas ?? 2) + 1
  await cluster.inSync(members, seconds)
  for (const writer of writers) await writer.stop()
  const [first] = writers
  assert.ok(first)
  for (const node of cluster.nodes.values()) {
    assert.not.match(node.child?.log() ?? '', /arbiterLost|made anew/, `the log of ${node.id}`)
  }
  assertAllTaken(first.history)
  await audit(cluster, first.history)
}

scenario(clustered, 'no witness on its server: the grant has to run out', async (stage) => {
  const cluster = await onServers(stage, [1, 2, 3])
  const old = await cluster.primary()
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  await cluster.node(old.node).kill()
  const tookMs = await writer.takenAbove(old.epoch)
  note(`kill -9 without a witness to the first positive answer: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs > grantMs * 0.9, `${tookMs.toFixed(0)} ms: before the grant ran out`)
  assert.ok(tookMs < 5000, `writes were accepted again after ${tookMs.toFixed(0)} ms (I10: 5 s)`)
  for (const other of cluster.others(old.node)) {
    const log = other.child?.log() ?? ''
    assert.not.match(log, byProof(old.node), `${other.id} is on another server`)
  }
  const next = await cluster.primary({ above: old.epoch })
  assert.match(cluster.node(next.node).child?.log() ?? '', bySilence(old.node))
  await cluster.node(old.node).start()
  await settle(cluster, [writer])
}, 120)

scenario(clustered, 'two on one server: their death is proven to the third', async (stage) => {
  const cluster = await onServers(stage, [1, 1, 2])
  const epoch = await promote(cluster, 'n1')
  const writer = await stage.writer(cluster, { attemptTimeoutMs: 300 })
  await writer.taken(300)
  await cluster.node('n1').kill()
  const tookMs = await writer.takenAbove(epoch)
  note(`kill -9 beside a witness to the first positive answer: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs < grantMs, `${tookMs.toFixed(0)} ms: the grant ran out, nothing was proven`)
  await waitFor('n3 to have it proven by n2', () =>
    byProof('n1').test(
      cluster.node('n3').child?.log() ?? '',
    ))
  await cluster.node('n1').start()
  await settle(cluster, [writer])
}, 120)

scenario(clustered, 'the only replica is promoted on the word of a witness', async (stage) => {
  // The third node holds nothing of the space: it sits beside the primary and is asked.
  const nodes = ['n1', 'n2', 'n3']
  const [near, far] = placeSpace(space, nodes, 2)
  assert.ok(near && far)
  const cluster = await onServers(stage, nodes.map((id) => (id === far ? 2 : 1)), { replicas: 1 })
  const epoch = await promote(cluster, near)
  const writer = await stage.writer(cluster, { attemptTimeoutMs: 300 })
  await writer.taken(300)
  await cluster.node(near).kill()
  const tookMs = await writer.takenAbove(epoch)
  note(`kill -9, proven by a witness alone: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs < grantMs, `${tookMs.toFixed(0)} ms: the grant ran out, no witness was heard`)
  assert.match(cluster.node(far).child?.log() ?? '', byProof(near))
  await cluster.node(near).start()
  await settle(cluster, [writer])
}, 120)

scenario(clustered, 'the leader of the arbiter dies: the epoch goes on', async (stage) => {
  const cluster = await onServers(stage, [1, 2, 2])
  await promote(cluster, 'n1')
  await moveStreamLeader(cluster, 3)
  const primary = await cluster.primary()
  const writer = await stage.writer(cluster, { level: 'committed',
    url: cluster.broker.server(1).url })
  await writer.taken(300)
  await cluster.broker.server(3).kill()
  await writer.taken(300)
  assert.equal(await cluster.primary(), primary, 'epochs need no arbiter')
  const gapMs = writer.history.longestGapMs()
  note(`longest time without an answer: ${gapMs.toFixed(0)} ms`)
  assert.ok(gapMs < grantMs, `${gapMs.toFixed(0)} ms without an answer`)
  const repeated = writer.history.records.filter((record) => record.attempts.length > 1)
  assert.is(repeated.length, 0, `asked more than once: ${writer.history.summary()}`)

  // A promotion needs the arbiter: it comes once the two servers have elected a leader.
  await cluster.node('n1').kill()
  const tookMs = await writer.takenAbove(primary.epoch, 40)
  note(`kill -9 during the election to the first positive answer: ${tookMs.toFixed(0)} ms`)
  await cluster.broker.server(3).start()
  await cluster.node('n1').start()
  await settle(cluster, [writer])
}, 150)

scenario(clustered, 'the server of the primary dies, and with it the leader', async (stage) => {
  const cluster = await onServers(stage, [1, 2, 3])
  const epoch = await promote(cluster, 'n1')
  await moveStreamLeader(cluster, 1)
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  await cluster.broker.server(1).kill()
  const tookMs = await writer.takenAbove(epoch, 40)
  note(`server, leader and primary gone to the first positive answer: ${tookMs.toFixed(0)} ms`)
  await writer.taken(200)
  await cluster.broker.server(1).start()
  await settle(cluster, [writer])
  assert.ok([...cluster.nodes.values()].every((node) => node.isRunning), 'all of them live')
}, 150)

/** Number of the server that a node is connected to. */
async function serverOf(cluster: Clustered, id: string): Promise<number> {
  const { natsServer } = (await cluster.report(id)).node
  const index = (await cluster.broker.serverIds()).indexOf(natsServer ?? '')
  assert.is.not(index, -1, `${id} is on ${natsServer}`)
  return index + 1
}

scenario(clustered, 'nodes that know all servers move to another one', async (stage) => {
  const cluster = await stage.clusterOf(parts, { settings })
  const old = await cluster.primary()
  const server = await serverOf(cluster, old.node)
  await moveStreamLeader(cluster, server % 3 + 1)
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  const [tookMs] = await Promise.all(
    [writer.takenAbove(old.epoch, 40), cluster.broker.server(server).kill()],
  )
  note(`the server of the primary gone to the first positive answer: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs < 5000, `writes were accepted again after ${tookMs.toFixed(0)} ms (I10: 5 s)`)
  await cluster.inSync(3, 40)
  await writer.taken(200)
  await cluster.broker.server(server).start()
  await settle(cluster, [writer])
}, 150)

scenario(clustered, 'a replica loses its server, which leads the arbiter', async (stage) => {
  const [holder, moving] = ['n1', 'n2']
  const cluster = await stage.clusterOf(parts, {
    settings,
    urlOf: (id, urls) => {
      const [first = '', ...others] = urls.split(',')
      return Promise.resolve(id === moving ? others.join(',') : first)
    },
  })
  await promote(cluster, holder)
  const primary = await cluster.primary()
  const server = await serverOf(cluster, moving)
  await moveStreamLeader(cluster, server)
  const writer = await stage.writer(cluster, { level: 'committed',
    url: cluster.broker.server(1).url })
  await writer.taken(300)
  await cluster.broker.server(server).kill()
  await writer.taken(1000)
  const gapMs = writer.history.longestGapMs()
  note(`longest time without an answer: ${gapMs.toFixed(0)} ms`)
  assert.equal(await cluster.primary(), primary, 'the replica is back before its grant runs out')
  await cluster.broker.server(server).start()
  await settle(cluster, [writer])
}, 150)

/** Writers at each of the servers, whose answers are checked as one history. */
async function writersAt(
  stage: Stage,
  cluster: Clustered,
  ...servers: number[]
): Promise<LoadWriter[]> {
  const writers: LoadWriter[] = []
  for (const number of servers) {
    const { url } = cluster.broker.server(number)
    const history = writers[0]?.history
    writers.push(
      await stage.writer(cluster, { url, ratePerSecond: 200, giveUpSeconds: 60,
        ...(history ? { history } : {}) }),
    )
  }
  return writers
}

for (const leader of [1, 2, 3]) {
  const name = `the route between primary and a replica is cut, server ${leader} leads`
  scenario(clustered, name, async (stage) => {
    const cluster = await onServers(stage, [1, 2, 3])
    const epoch = await promote(cluster, 'n1')
    await moveStreamLeader(cluster, leader)
    const writers = await writersAt(stage, cluster, 1, 2, 3)
    await writers[0]?.taken(300)
    cluster.broker.cutRoute(1, 2)
    await lasting(6000)
    const during = await cluster.members()
    note(during.map((m) => `${m.node} ${m.role} epoch ${m.epoch}`).join(', '))
    cluster.broker.healRoute(1, 2)
    await settle(cluster, writers)
    note(`epoch ${epoch} before, ${(await cluster.primary()).epoch} after; `
      + writers[0]?.history.summary())
  }, 150)
}

scenario(clustered, 'the server of the primary is cut off from both others', async (stage) => {
  const cluster = await onServers(stage, [1, 2, 3])
  const epoch = await promote(cluster, 'n1')
  await moveStreamLeader(cluster, 1)
  const writers = await writersAt(stage, cluster, 1, 2)
  await writers[0]?.taken(300)
  cluster.broker.cutRoute(1, 2)
  cluster.broker.cutRoute(1, 3)
  const tookMs = await writers[1]?.takenAbove(epoch, 40) ?? NaN
  note(`cut off to the first positive answer elsewhere: ${tookMs.toFixed(0)} ms`)
  await lasting(1000)
  cluster.broker.healRoute(1, 2)
  cluster.broker.healRoute(1, 3)
  await settle(cluster, writers)
}, 150)

scenario(clustered, 'all servers are killed and started again', async (stage) => {
  const cluster = await onServers(stage, [1, 2, 3])
  const { epoch } = await cluster.primary()
  const writer = await stage.writer(cluster, { giveUpSeconds: 90 })
  await writer.taken(300)
  await Promise.all(cluster.broker.members.map((member) => member.kill()))
  await lasting(1000)
  await Promise.all(cluster.broker.members.map((member) => member.start()))
  const tookMs = await writer.takenAbove(epoch, 60)
  note(`restart of all servers to the first positive answer: ${tookMs.toFixed(0)} ms`)
  await settle(cluster, [writer], 60)
}, 180)

clustered.run()
