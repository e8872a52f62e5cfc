/** The right to answer: grants, lapses, closed connections, evidence, clocks. */
import * as assert from 'uvu/assert'
import { unreachableFor } from './hinderedBucket.js'
import { cut, lost, several } from './network.js'
import type { Scenario } from './scenario.js'

const pauseBeyondGrants: Scenario = {
  name: 'pause-beyond-grants',
  title: 'The primary is paused for three seconds, and goes on.',
  lesson: 'A process can be stopped at any instruction. Its grants run out meanwhile, another '
    + 'is primary, and what was asked of the old primary must not be answered positively after that: '
    + 'the lease is checked at each write.',
  run: async (begin) => {
    const stage = await begin()
    stage.pause('n1')
    await stage.until('another is primary',
      () => stage.isPrimary('n2', 2) || stage.isPrimary('n3', 2), 3000)
    // Asked of both: the old primary has them in its queue.
    await stage.writeOn(300)
    stage.say('n1 does not reach the arbiter: it has to find out by itself')
    stage.arbiter.hindrances = unreachableFor('n1')
    stage.resume('n1')
    await stage.writeOn(300)
    await stage.balance()
  },
}

const pauseWhileFlushing: Scenario = {
  name: 'pause-while-flushing',
  title: 'The primary is paused between taking a write and answering it.',
  lesson: 'The lease is checked when a write is taken and again when its answer is sent.',
  run: async (begin) => {
    const stage = await begin()
    const { cluster } = stage
    cluster.fsyncMs = 20
    const taken = stage.send('durable')
    await stage.run(5)
    stage.pause('n1')
    cluster.fsyncMs = 1
    await stage.until('another is primary', () =>
      stage.record.epoch === 2
      && stage.record.state === 'open', 3000)
    await stage.writeOn(100)
    stage.arbiter.hindrances = unreachableFor('n1')
    stage.resume('n1')
    await cluster.wait(taken)
    await stage.balance()
  },
}

const renewedGrant: Scenario = {
  name: 'renewed-grant',
  title: 'A primary whose lease lapsed is granted again, before it hears of its successor.',
  lesson: 'A lapse is final: a grant that is renewed after it ran out must not bring the epoch '
    + 'back, since another may have begun meanwhile.',
  run: async (begin) => {
    const stage = await begin()
    stage.pause('n1')
    await stage.until('another is primary', () =>
      stage.record.epoch === 2
      && stage.record.state === 'open', 3000)
    await stage.writeOn(100)
    stage.network.faults = lost(null, 'n1', 'assignment')
    stage.arbiter.hindrances = unreachableFor('n1')
    stage.say('n1 hears no announcement and reaches no arbiter; heartbeats pass')
    stage.resume('n1')
    await stage.writeOn(1500)
    await stage.balance()
  },
}

const closedConnection: Scenario = {
  name: 'write-outlives-its-connection',
  title: 'The broker closes the connection of a primary that has a write on its way to the disk.',
  lesson: 'A 503 proves that the connection of the primary is gone, not its '
    + 'process. So the epoch ends with the connection: a reconnected node has another life, and '
    + 'must not answer what the old one took.',
  run: async (begin) => {
    const stage = await begin()
    const { cluster } = stage
    cluster.fsyncMs = 300
    stage.network.faults = lost('n1', null, 'wal')
    stage.say('a write comes to n1, whose disk takes 300 ms for it')
    void stage.send('durable')
    await stage.run(20)
    cluster.fsyncMs = 1
    const { noticed } = stage.network.breakConnection('n1')
    stage.say('the broker closes the connection of n1, which does not notice yet')
    await stage.run(220)
    assert.is(stage.record.epoch, 2, 'another is primary')
    await stage.writeOn(55, 5)
    stage.say('n1 notices, and connects again; its reads of the record take a second')
    stage.arbiter.hindrances = (
      { node, key },
    ) => (node === 'n1' && key.startsWith('space.') ? { beforeMs: 1000 } : undefined)
    noticed()
    await stage.writeOn(500)
    await stage.balance()
  },
}

const earlierEvidence: Scenario = {
  name: 'evidence-of-an-earlier-connection',
  title: 'A primary loses its connection, reconnects and wins again; a witness of the first end '
    + 'cannot hear it.',
  lesson: 'Evidence counts for the incarnation and connection last heard, for no later one.',
  run: async (begin) => {
    const stage = await begin()
    stage.arbiter.hindrances = unreachableFor('n2', 'n3')
    stage.say('n2 and n3 do not reach the arbiter')
    const { noticed } = stage.network.breakConnection('n1')
    stage.say('the broker closes the connection of n1, which notices after 200 ms')
    await stage.run(200)
    noticed()
    await stage.until('n1 is primary again', () => stage.isPrimary('n1', 2), 5000)
    await stage.writeOn(100)
    stage.say('n2 reaches the arbiter, and n1 does not any more; n1 and n2 lose each other')
    stage.network.faults = cut('n1', 'n2')
    stage.arbiter.hindrances = unreachableFor('n1', 'n3')
    await stage.writeOn(1500)
    await stage.balance()
  },
}

const slowClock: Scenario = {
  name: 'slow-clock',
  title: 'The primary is cut off, and its clock runs nine per cent slow.',
  lesson: 'The granter waits ten per cent longer than the holder may count: clock rates differ.',
  run: async (begin) => {
    const stage = await begin({ clocks: { n1: { rate: 0.91, wallOffsetMs: 0 } } })
    stage.say('the clock of n1 is slow; its heartbeats are lost, the others report its last to it')
    stage.network.faults = lost('n1', null, 'heartbeat')
    await stage.run(200)
    stage.say('n1 is cut off from n2, n3 and the arbiter; clients reach it')
    stage.network.faults = several(cut('n1', 'n2'), cut('n1', 'n3'))
    stage.arbiter.hindrances = unreachableFor('n1')
    await stage.writeOn(3500, 10)
    assert.ok(stage.record.epoch > 1, 'another is primary')
    await stage.balance()
  },
}

const cutOffPrimary: Scenario = {
  name: 'cut-off-primary',
  title: 'The primary is cut off from the others and from the arbiter; clients still reach it.',
  lesson: 'Silence proves nothing: the others wait until the last grant that they gave has run '
    + 'out, and until then the primary goes on.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n1 is cut off from n2, n3 and the arbiter; clients reach it')
    stage.network.faults = several(cut('n1', 'n2'), cut('n1', 'n3'))
    stage.arbiter.hindrances = unreachableFor('n1')
    await stage.writeOn(3500, 10)
    assert.ok(stage.record.epoch > 1, 'another is primary')
    await stage.balance()
  },
}

const restartedGranter: Scenario = {
  name: 'restarted-granter',
  title: 'A replica that has granted restarts, hears nobody, and finds the primary silent.',
  lesson: 'Grants of an earlier start are unknown: after a start a node claims nothing on '
    + 'grantExpired for one lease and its margin.',
  run: async (begin) => {
    const stage = await begin({ replicas: 1, nodes: ['n1', 'n2'] })
    stage.say('n1 and n2 lose each other, n1 the arbiter too')
    stage.network.faults = cut('n1', 'n2')
    stage.arbiter.hindrances = unreachableFor('n1')
    stage.kill('n2')
    stage.start('n2')
    await stage.writeOn(3500, 10)
    await stage.balance()
  },
}

const grantForAnotherLife: Scenario = {
  name: 'grant-for-another-life',
  title: 'A primary restarts; a replica that does not hear it goes on listing heartbeats of its '
    + 'earlier life.',
  lesson: 'A grant names incarnation, connection and number of the heartbeat it is for: numbers '
    + 'begin anew with each start, and the granter counts from the one that it has heard.',
  run: async (begin) => {
    const stage = await begin({ replicas: 1, nodes: ['n1', 'n2'], minInSync: 1 })
    await stage.run(330)
    stage.say('from now on n2 hears nothing of n1; n1 hears n2')
    stage.network.faults = lost('n1', 'n2')
    stage.kill('n1')
    stage.start('n1')
    await stage.until('n1 is primary again', () => stage.isPrimary('n1', 2), 3000)
    stage.say('n1 does not reach the arbiter')
    stage.arbiter.hindrances = unreachableFor('n1')
    await stage.writeOn(3000, 10)
    await stage.balance()
  },
}

const otherServer: Scenario = {
  name: 'other-server',
  title: 'Two NATS servers lose each other; a replica on the one gets 503 for a primary on the '
    + 'other.',
  lesson: 'A 503 is evidence only from the server that the suspect was on.',
  run: async (begin) => {
    const stage = await begin()
    const { broker } = stage.cluster
    stage.say('n3 moves to another NATS server, B')
    Object.assign(broker, { serverId: 'B' })
    stage.closeConnection('n3')
    await stage.until('n3 is in sync', () =>
      stage.inSync.length === 3
      && stage.follows('n3', 'n1'), 8000)
    await stage.run(1000)
    stage.say('the servers lose each other: B has no subscription of n1 and n2 any more; n1 '
      + 'loses the arbiter')
    stage.network.faults = several(cut('n3', 'n1'), cut('n3', 'n2'))
    stage.network.nobodyHears = (from, subject) =>
      from === 'n3' && /^engram\.v1\.(ping|pingreq|survey)\.(.*\.)?n[12]$/.test(subject)
    stage.arbiter.hindrances = unreachableFor('n1', 'n2')
    await stage.writeOn(2000, 10)
    await stage.balance()
  },
}

export const leaseScenarios: readonly Scenario[] = [
  pauseBeyondGrants,
  pauseWhileFlushing,
  renewedGrant,
  closedConnection,
  earlierEvidence,
  slowClock,
  cutOffPrimary,
  restartedGranter,
  grantForAnotherLife,
  otherServer,
]
