/** Commits: acks, sessions, the in-sync set and its changes. */
import * as assert from 'uvu/assert'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { unreachableFor } from './hinderedBucket.js'
import { cut, lost, several } from './network.js'
import type { Fate, Message } from './network.js'
import type { Scenario } from './scenario.js'

const control = controlCodec()

const slowDisks: Scenario = {
  name: 'power-cut-after-an-answer',
  title: 'The power of all nodes fails right after writes were answered as durable.',
  lesson: 'Durable before visible: the answer waits for the fdatasync.',
  run: async (begin) => {
    const stage = await begin()
    stage.cluster.fsyncMs = 50
    const sent = [1, 2, 3].map(() => stage.send('durable'))
    await stage.run(10)
    stage.powerCut('n1', 'n2', 'n3')
    stage.cluster.fsyncMs = 1
    stage.start('n1', 'n2', 'n3')
    await stage.cluster.wait(Promise.all(sent))
    await stage.balance()
  },
}

const lostPrimary: Scenario = {
  name: 'primary-lost-after-a-commit',
  title: 'A write is committed, then the primary is lost for good and the power of the others '
    + 'fails.',
  lesson: 'A replica acknowledges what is durable, not what it has received.',
  run: async (begin) => {
    const stage = await begin()
    const sent = stage.send('committed')
    // The disk of n1 is at work already, the frames are on their way.
    await stage.run(0.3)
    stage.cluster.fsyncMs = 50
    await stage.run(5)
    stage.powerCut('n2', 'n3')
    await stage.run(1)
    stage.kill('n1')
    stage.replaceDisk('n1')
    stage.cluster.fsyncMs = 1
    stage.start('n2', 'n3')
    await stage.cluster.wait(sent)
    await stage.run(2000)
    await stage.balance()
  },
}

const unjoinedMember: Scenario = {
  name: 'unjoined-member',
  title: 'A new primary is written to before one of its in-sync members has joined.',
  lesson: 'Commits need every member of the in-sync set; one that has not acknowledged in this '
    + 'epoch has, for all that is known, nothing.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n3 cannot join anybody')
    stage.network.faults = lost('n3', null, 'ack')
    stage.kill('n1')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2))
    await stage.writeOn(800, 20, 'committed')
    await stage.balance()
  },
}

const unsureShrink: Scenario = {
  name: 'unsure-shrink',
  title: 'The primary wants to drop a silent member; the compare-and-set takes two seconds.',
  lesson: 'While a change of the set is in flight commits wait for both sets: until it is applied '
    + 'the member can still be promoted.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('frames to n3 are lost, and what it says of it; the arbiter takes 600 ms')
    stage.network.faults = several(lost('n1', 'n3', 'wal'), lost('n3', 'n1', 'heartbeat'))
    stage.arbiter.hindrances = (
      { node, next },
    ) => (node === 'n1' && next ? { beforeMs: 600 } : undefined)
    await stage.writeOn(1700, 20, 'committed')
    assert.equal(stage.inSync.length, 2)
    await stage.balance()
  },
}

const unsureExpand: Scenario = {
  name: 'set-change-applied-late',
  title: 'A member is to come back into the set; the compare-and-set arrives late, its answer is '
    + 'lost, and the member falls behind meanwhile.',
  lesson: 'A record read unchanged settles nothing. Repeat the same '
    + 'compare-and-set until it is applied or the revision has moved; until then it is in flight.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n3 is cut off, and leaves the set')
    stage.network.faults = several(cut('n3', 'n1'), cut('n3', 'n2'))
    await stage.until('n3 is out of sync', () => stage.inSync.length === 2, 3000)
    stage.say('n3 is back; the request to take it in arrives 400 ms late')
    let sent = 0
    stage.arbiter.hindrances = ({ node, next }) => {
      if (node !== 'n1' || next?.inSync.length !== 3) return undefined
      sent += 1
      return sent === 1 ? { applyLaterMs: 400 } : 'unreachable'
    }
    stage.network.faults = () => undefined
    await stage.until('it was sent', () => sent > 0, 4000)
    stage.say('frames to n3 are lost')
    stage.network.faults = lost('n1', 'n3', 'wal')
    await stage.writeOn(900, 20, 'committed')
    await stage.balance()
  },
}

const unionOfGrants: Scenario = {
  name: 'newcomer-promoted-early',
  title:
    'A member is taken into the set, the answer is late, and it is cut off and becomes a candidate.',
  lesson: 'Leases too count over both sets while a change is in flight; the '
    + 'newcomer may be promoted from the instant at which it is applied.',
  run: async (begin) => {
    const stage = await begin({ replicas: 1, nodes: ['n1', 'n2'], minInSync: 1 })
    stage.say('n2 is cut off, and leaves the set')
    stage.network.faults = cut('n1', 'n2')
    await stage.until('n1 is alone', () => stage.inSync.length === 1, 3000)
    stage.say('n2 is back; answers of the arbiter to n1 are 5 s late')
    stage.network.faults = () => undefined
    stage.arbiter.hindrances = (
      { node, next },
    ) => (node === 'n1' && next ? { afterMs: 5000 } : undefined)
    await stage.until('n2 is in sync', () => stage.inSync.length === 2, 4000)
    stage.say('n1 and n2 lose each other')
    stage.network.faults = cut('n1', 'n2')
    await stage.writeOn(4000)
    assert.is(stage.record.epoch, 2)
    await stage.balance()
  },
}

const barrier: Scenario = {
  name: 'newcomer-below-the-epoch-start',
  title: 'A new primary knows a lower commit sequence than its predecessor, and a member that '
    + 'lacks the difference wants in.',
  lesson: 'A newcomer must be durable up to the epoch-start entry of this '
    + 'epoch, below which lies all that any earlier epoch committed.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n3 is cut off, and leaves the set')
    stage.network.faults = several(cut('n3', 'n1'), cut('n3', 'n2'))
    await stage.until('n3 is out of sync', () => stage.inSync.length === 2, 3000)
    stage.say('n1 commits with n2, which does not hear that it is committed')
    let frames = 0
    stage.network.faults = several(cut('n3', 'n1'), cut('n3', 'n2'), ({ from, to, kind }) => {
      if (from !== 'n1' || to !== 'n2' || kind !== 'wal') return undefined
      frames += 1
      return frames > 1 ? 'lost' : undefined
    })
    await stage.writes(1, 'committed')
    stage.say('n1 reconnects without the arbiter; n2 wins; n1 cannot join it, and n3 gets no '
      + 'frames of it')
    stage.arbiter.hindrances = unreachableFor('n1')
    stage.network.faults = several(lost('n1', 'n2', 'ack', 'answer'), lost('n2', 'n3', 'wal'))
    stage.closeConnection('n1')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2), 4000)
    await stage.run(800)
    await stage.balance()
  },
}

const minInSync: Scenario = {
  name: 'set-shrinks-before-the-answer',
  title: 'Members fall out of sync while a write waits for its commit.',
  lesson: 'A smaller set commits more easily, so minInSync is checked again '
    + 'when the answer is sent.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n1 is cut off from n2 and n3')
    stage.network.faults = several(cut('n1', 'n2'), cut('n1', 'n3'))
    const answer = await stage.cluster.wait(stage.send('committed'))
    stage.judge.assertNone()
    assert.is(answer?.ok, false)
    await stage.balance()
  },
}

const lateAck: Scenario = {
  name: 'late-ack',
  title: 'An ack is under way while its sender loses its disk and joins anew.',
  lesson: 'Acks count within the session that they were given in: what an earlier one said was '
    + 'durable may be gone.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('acks of n3 are held up; n3 writes on, dies, and its disk is lost')
    stage.network.faults = (
      { from, kind },
    ) => (from === 'n3' && kind === 'ack' ? 'held' : undefined)
    const sent = [1, 2, 3, 4, 5].map(() => stage.send('committed'))
    await stage.run(100)
    stage.kill('n3')
    stage.replaceDisk('n3')
    await stage.until('n3 is out of sync', () => stage.inSync.length === 2, 3000)
    await stage.cluster.wait(Promise.all(sent))
    await stage.run(2000)
    stage.say('n3 is back; frames to it are lost; then the old acks arrive')
    stage.network.faults = lost('n1', 'n3', 'wal')
    stage.start('n3')
    await stage.until('n3 has joined', () => stage.follows('n3', 'n1'), 5000)
    stage.network.release(({ kind }) => kind === 'ack')
    await stage.run(600)
    await stage.balance()
  },
}

const reusedSession: Scenario = {
  name: 'join-answer-of-an-earlier-epoch',
  title: 'The answer to a join arrives after the member has begun to join another epoch.',
  lesson: 'An answer repeats the number of its join, others are ignored; '
    + 'session and common point of another epoch would let a fork pass for the log.',
  run: async (begin) => {
    const stage = await begin({ seed: 3 })
    stage.say('n2 gets no frames: n1 and n3 have three entries more')
    stage.network.faults = lost('n1', 'n2', 'wal')
    await stage.writes(3, 'durable')
    await stage.until('n3 has them',
      () => stage.durable('n3').sequence === stage.durable('n1').sequence)
    stage.say('n1 reconnects and is primary again; n2 cannot join it, its answer to n3 is held up')
    stage.network.faults = several(lost('n2', 'n1', 'ack'), heldJoinAnswers)
    stage.closeConnection('n1')
    await stage.until('n1 has answered a join of n3', () =>
      stage.network.waiting
        .some(({ from, to }) => from === 'n1' && to === 'n3'), 4000)
    stage.say('n1 is killed; n3 doubts itself (tilt) and is no candidate; n2 cannot ask it')
    stage.network.faults = several(cut('n2', 'n3', ['survey']), heldJoinAnswers)
    stage.setForward('n3', 600)
    stage.kill('n1')
    await stage.until('n2 has answered a join of n3', () =>
      stage.network.waiting
        .some(({ from, to }) => from === 'n2' && to === 'n3'), 4000)
    stage.say('the answer of n1 arrives')
    stage.network.release(({ from }) => from === 'n1')
    await stage.writeOn(100, 10, 'committed')
    await stage.balance()
  },
}

/** The answers to joins of n3 wait. */
function heldJoinAnswers({ to, kind, data }: Message): Fate {
  return to === 'n3' && kind === 'answer' && control.joinAnswer(data).ok ? 'held' : undefined
}

export const commitScenarios: readonly Scenario[] = [
  slowDisks,
  lostPrimary,
  unjoinedMember,
  unsureShrink,
  unsureExpand,
  unionOfGrants,
  barrier,
  reusedSession,
  minInSync,
  lateAck,
]
