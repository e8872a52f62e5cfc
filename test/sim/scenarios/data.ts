/** The data path: forks, gaps, failed writes, keys; what stores hold. */
import * as assert from 'uvu/assert'
import { unreachableFor } from './hinderedBucket.js'
import { cut, lost, several } from './network.js'
import type { Scenario } from './scenario.js'

const forkAndRejoin: Scenario = {
  name: 'fork-and-rejoin',
  title: 'A primary answers writes that it cannot ship, and is killed; it comes back to another '
    + 'epoch.',
  lesson: 'A write durable on the old primary alone is a fork. It goes to a salvage, then it is '
    + 'cut off, and the stream goes on from the last common point: nothing vanishes without a '
    + 'report of it.',
  run: async (begin) => {
    const stage = await begin()
    const [last] = await stage.writes(1, 'committed')
    stage.say('the frames of n1 are lost; it answers three writes as durable')
    stage.network.faults = lost('n1', null, 'wal')
    await stage.writes(3, 'durable')
    await stage.run(60)
    const { applied } = stage.at('n1').member.store
    assert.is(applied.sequence, last!.sequence, 'I8: its store holds what is committed, no more')
    stage.kill('n1')
    stage.network.faults = () => undefined
    await stage.until('another is primary', () => stage.isPrimary('n2', 2))
    await stage.writes(2, 'committed')
    stage.start('n1')
    await stage.until('n1 follows', () => stage.follows('n1', 'n2'), 3000)
    await stage.balance()
    assert.is(stage.at('n1').member.following.forks, 1)
  },
}

const forkWithoutRestart: Scenario = {
  name: 'fork-without-restart',
  title: 'A primary with a fork loses its connection, not its memory, and joins its successor.',
  lesson: 'An entry cut off the log leaves the overlay too, or it would go into the store in the '
    + 'place of what the new epoch has committed.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the frames of n1 are lost; it answers three writes as durable')
    stage.network.faults = lost('n1', null, 'wal')
    await stage.writes(3, 'durable')
    stage.say('n1 reconnects without the arbiter')
    stage.arbiter.hindrances = unreachableFor('n1')
    stage.network.faults = lost(null, 'n1', 'survey')
    stage.closeConnection('n1')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2), 4000)
    await stage.balance()
    assert.is(stage.at('n1').member.following.forks, 1)
  },
}

const lostFrame: Scenario = {
  name: 'lost-frame',
  title: 'One frame to a replica is lost, those after it arrive.',
  lesson: 'A frame says what comes before it; one that does not continue the log is refused, and '
    + 'the stream goes back to where the replica is.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the next frame to n3 is lost')
    let frames = 0
    stage.network.faults = ({ to, kind, data }) => {
      if (to !== 'n3' || kind !== 'wal' || data.length < noticeBytesMax) return undefined
      frames += 1
      return frames === 1 ? 'lost' : undefined
    }
    for (let i = 0; i < 4; i += 1) await stage.writes(1, 'durable')
    await stage.run(300)
    await stage.balance()
    assert.ok(frames > 1)
  },
}

const lateFrame: Scenario = {
  name: 'late-frame',
  title: 'A frame of the old epoch arrives after its receiver has joined the new one.',
  lesson: 'Every message carries its epoch: sessions count from one in each epoch, so the session '
    + 'alone does not distinguish them.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the next frame to n2 is held up, that to n3 is lost')
    stage.network.faults = (
      { from, to, kind },
    ) => (from !== 'n1' || kind !== 'wal' ? undefined : to === 'n2' ? 'held' : 'lost')
    await stage.writes(1, 'durable')
    stage.say('n1 is killed; n2 doubts itself (tilt) and is no candidate; frames of n3 are lost')
    stage.setForward('n2', 600)
    stage.kill('n1')
    stage.network.faults = several(lost('n3', 'n2', 'wal'), cut('n2', 'n3', ['survey']))
    await stage.until('n3 is primary', () => stage.isPrimary('n3', 2))
    await stage.until('n2 follows', () => stage.follows('n2', 'n3'))
    stage.say('the old frame arrives')
    stage.network.release(({ data }) => data.length > noticeBytesMax)
    await stage.writeOn(100, 20, 'committed')
    await stage.balance()
  },
}

/** A notice has no frame. */
const noticeBytesMax = 120

const fullDisk: Scenario = {
  name: 'full-disk',
  title: 'The disk of the primary is full for a while.',
  lesson: 'A frame is written, then shipped: one that could not be written was never there, and '
    + 'its sequences are used again.',
  run: async (begin) => {
    const stage = await begin()
    const { disk } = stage.cluster.node('n1')
    stage.say('the disk of n1 is full')
    disk.capacity = 0
    const answer = await stage.cluster.wait(stage.send('durable'))
    assert.is(answer?.ok, false)
    disk.capacity = Infinity
    stage.say('there is room again')
    await stage.run(600)
    await stage.balance()
  },
}

const failedSync: Scenario = {
  name: 'failed-sync',
  title: 'An fdatasync of the primary fails, then the power does.',
  lesson: 'After a failed fdatasync nobody knows what is on the disk, and a second one may report '
    + 'success for nothing: the node ends, and nothing of it was answered.',
  run: async (begin) => {
    const stage = await begin()
    const node = stage.cluster.node('n1')
    stage.say('the next fdatasync of n1 fails; frames are lost')
    stage.network.faults = lost('n1', null, 'wal')
    node.disk.failNext('datasync')
    stage.mayEnd.add('n1')
    const sent = stage.send('durable')
    await stage.run(10)
    if (node.life) stage.powerCut('n1')
    else node.disk.powerCut()
    await stage.cluster.wait(sent)
    await stage.balance()
  },
}

const retryOverRestart: Scenario = {
  name: 'retry-over-a-restart',
  title: 'A primary dies after it has logged a write with a key; the client asks again.',
  lesson: 'The keys of entries that are not in the store yet are rebuilt from the log when a '
    + 'epoch opens.',
  run: async (begin) => {
    const stage = await begin()
    const key = { 'Nats-Msg-Id': 'once' }
    stage.say('acks are lost: what is written is not committed, and in no store')
    stage.network.faults = lost(null, 'n1', 'ack')
    const first = await stage.cluster.wait(stage.send('durable', key))
    assert.ok(first?.ok, JSON.stringify(first))
    await stage.run(20)
    stage.kill('n1')
    stage.network.faults = () => undefined
    await stage.until('another is primary',
      () => stage.isPrimary('n2', 2) || stage.isPrimary('n3', 2))
    const second = await stage.cluster.wait(stage.send('durable', key))
    assert.ok(second?.ok, JSON.stringify(second))
    assert.is(second.duplicate, true, 'I7: a key took effect twice')
    assert.is(second.sequence, first.sequence)
    stage.start('n1')
    await stage.balance()
  },
}

const lateRetry: Scenario = {
  name: 'late-retry',
  title: 'A client asks again with the same key long after its write was committed.',
  lesson: 'Keys of entries that are in the store are looked up there: the memory of a primary is '
    + 'not what a key depends on.',
  run: async (begin) => {
    const stage = await begin()
    const key = { 'Nats-Msg-Id': 'once' }
    const first = await stage.cluster.wait(stage.send('committed', key))
    assert.ok(first?.ok)
    await stage.run(500)
    const second = await stage.cluster.wait(stage.send('committed', key))
    assert.ok(second?.ok)
    assert.is(second.duplicate, true, 'I7: a key took effect twice')
    await stage.balance()
  },
}

const oneWayLink: Scenario = {
  name: 'one-way-link',
  title: 'Messages of the primary to one replica are lost; the other direction works.',
  lesson: 'A broken link costs the replica its place in the set rather than the primary its '
    + 'epoch: the replica is not heard in what the primary is granted, so it is dropped, and '
    + 'commits go on.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('all that n1 sends to n3 is lost')
    stage.network.faults = lost('n1', 'n3')
    await stage.until('n3 is out of sync', () => stage.inSync.length === 2, 3000)
    await stage.writes(3, 'committed')
    await stage.run(1500)
    assert.is(stage.record.epoch, 1, 'n1 is still primary')
    stage.say('the link works again')
    stage.network.faults = () => undefined
    await stage.until('n3 is in sync', () => stage.inSync.length === 3, 4000)
    await stage.balance()
  },
}

export const dataScenarios: readonly Scenario[] = [
  forkAndRejoin,
  forkWithoutRestart,
  lostFrame,
  lateFrame,
  fullDisk,
  failedSync,
  retryOverRestart,
  lateRetry,
  oneWayLink,
]
