/** The next primary: claims, openings, candidates, handovers. */
import * as assert from 'uvu/assert'
import { missedHandover } from './handoverKit.js'
import { unreachableFor } from './hinderedBucket.js'
import { cut, lost, several } from './network.js'
import type { Scenario } from './scenario.js'

const cleanFailover: Scenario = {
  name: 'clean-failover',
  title: 'The primary is killed; another is primary within a fraction of a second.',
  lesson: 'The broker answers 503 for a process that is gone, which is proof: nobody waits for a '
    + 'grant to run out.',
  run: async (begin) => {
    const stage = await begin()
    stage.kill('n1')
    const tookMs = await stage.until('another serves', () => stage.cluster.primary() !== null)
    assert.ok(tookMs < 400, `${tookMs} ms`)
    await stage.writes(3, 'committed')
    await stage.balance()
  },
}

const falseSuspicion: Scenario = {
  name: 'false-suspicion',
  title: 'For a second no heartbeat of the primary arrives, though it lives.',
  lesson: 'Silence makes a suspect and no more: its process answers probes, its grants still run, '
    + 'so nobody claims.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the heartbeats of n1 are lost')
    stage.network.faults = lost('n1', null, 'heartbeat')
    await stage.writeOn(1000, 50)
    stage.say('they arrive again')
    stage.network.faults = () => undefined
    await stage.writeOn(500, 50)
    assert.is(stage.record.epoch, 1, 'nobody has claimed')
    assert.ok(stage.isPrimary('n1'), 'n1 is primary')
    await stage.balance()
  },
}

const duelingCandidates: Scenario = {
  name: 'dueling-candidates',
  title: 'The primary is killed, and the two candidates do not hear each other.',
  lesson: 'Both may think that they are the best; the compare-and-set at the revision that each '
    + 'has read lets exactly one of them win the epoch.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n2 and n3 cannot ask each other')
    stage.network.faults = cut('n2', 'n3', ['survey'])
    stage.kill('n1')
    await stage.until('one is primary',
      () => stage.record.epoch > 1 && stage.record.state === 'open')
    stage.network.faults = () => undefined
    await stage.writeOn(200)
    await stage.balance()
  },
}

const claimOvertaken: Scenario = {
  name: 'claim-overtaken',
  title: 'While a candidate asks the others, another one claims.',
  lesson: 'A claim is made at the revision that was read before the survey: what the survey says '
    + 'holds for that record only.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n2 and n3 cannot ask each other; n3 gets what it reads of the arbiter 50 ms late')
    stage.network.faults = several(cut('n2', 'n3', ['survey']), lost('n2', 'n3', 'assignment'))
    stage.arbiter.hindrances = (
      { node, operation },
    ) => (node === 'n3' && operation === 'read' ? { afterMs: 50 } : undefined)
    stage.kill('n1')
    await stage.until('n2 has claimed', () => stage.record.epoch === 2)
    await stage.run(400)
    await stage.balance()
  },
}

const unfencedOpening: Scenario = {
  name: 'late-open',
  title: 'A claim whose answer is late, a second claim meanwhile, and grants for both.',
  lesson: 'A claim alone must not open an epoch. The second compare-and-set, '
    + 'at the revision that the claim made, shows the first claimant that it was overtaken.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n2 and n3 do not hear each other, and the answer to a claim of n2 is 3 s late')
    stage.network.faults = cut('n2', 'n3')
    stage.arbiter.hindrances = (
      { node, next },
    ) => (node === 'n2' && next?.state === 'claimed' ? { afterMs: 3000 } : undefined)
    stage.kill('n1')
    await stage.until('n2 has claimed', () => stage.primary === 'n2')
    await stage.until('n3 has claimed too', () => stage.primary === 'n3', 4000)
    stage.say('n2 and n3 hear each other again; announcements are lost')
    stage.network.faults = lost(null, null, 'assignment')
    await stage.writeOn(3000)
    await stage.balance()
  },
}

const notInSync: Scenario = {
  name: 'last-one-out-of-sync',
  title: 'Only a member that fell out of sync is left.',
  lesson: 'Only an in-sync member may be promoted: the others lack what was committed without '
    + 'them. The space waits, and says so.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n3 is cut off, and leaves the set; the others go on')
    stage.network.faults = several(cut('n3', 'n1'), cut('n3', 'n2'))
    await stage.until('n3 is out of sync', () => stage.inSync.length === 2, 3000)
    await stage.writes(3, 'committed')
    stage.kill('n1')
    stage.kill('n2')
    stage.network.faults = () => undefined
    await stage.writeOn(3000, 100)
    assert.is.not(stage.primary, 'n3', 'n3 is not primary')
    await stage.balance()
  },
}

const emptyDisk: Scenario = {
  name: 'empty-disk',
  title: 'All stop; the primary alone comes back, with another disk.',
  lesson: 'A node with another disk is another member, in sync with nothing.',
  run: async (begin) => {
    const stage = await begin()
    for (const node of ['n1', 'n2', 'n3']) stage.kill(node)
    stage.replaceDisk('n1')
    // On an empty disk incarnations count from the present second.
    await stage.run(2000)
    stage.start('n1')
    await stage.writeOn(3000, 100)
    await stage.balance()
  },
}

const longerButOlder: Scenario = {
  name: 'longer-but-older',
  title: 'One in-sync member has more entries, another has those of a later epoch.',
  lesson: 'Positions are compared epoch first: the later epoch knows what the earlier epoch '
    + 'committed, and what it has answered itself.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n1 ships nothing any more, and takes writes that it alone has')
    stage.network.faults = lost('n1', null, 'wal')
    await stage.writes(4, 'durable')
    stage.say('n1 loses its connection; n2 wins, since n1 does not reach the arbiter')
    stage.arbiter.hindrances = unreachableFor('n1', 'n3')
    stage.network.faults = several(lost('n1', null, 'wal', 'ack', 'answer'),
      lost(null, 'n1', 'survey'))
    stage.closeConnection('n1')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2), 5000)
    assert.ok(stage.inSync.includes('n1'), 'n1 is in sync still')
    await stage.writes(1, 'durable')
    assert.ok(stage.end('n1').sequence > stage.end('n2').sequence, 'n1 has more entries')
    stage.say('n2 loses its connection, and with it its epoch; everybody can be a candidate')
    stage.network.faults = lost('n1', null, 'ack')
    stage.arbiter.hindrances = () => undefined
    stage.closeConnection('n2')
    await stage.until('somebody is primary', () =>
      stage.record.epoch >= 3
      && stage.record.state === 'open', 5000)
    assert.is.not(stage.primary, 'n1', 'I6: n1 is primary, and cuts off what epoch 2 has answered')
    await stage.balance()
  },
}

const unsureHandover: Scenario = {
  name: 'handover-applied-late',
  title: 'A handover whose outcome is not known to the old primary.',
  lesson: 'A record that is read unchanged settles nothing, the request may '
    + 'still be applied. From the sending of that compare-and-set on the old primary answers '
    + 'nothing positively.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the compare-and-set that gives the epoch away arrives 300 ms late, unanswered')
    let late = 0
    stage.arbiter.hindrances = ({ node, next }) => {
      if (node !== 'n1' || next?.state !== 'claimed') return undefined
      late += 1
      return late === 1 ? { applyLaterMs: 300 } : 'unreachable'
    }
    stage.say('n1 hears no announcement of n2, and n2 no answer of n1')
    stage.network.faults = several(lost('n2', 'n1', 'assignment'), lost('n1', 'n2', 'answer'))
    void stage.cluster.command('n1', { type: 'promote', space: 'teams', to: 'n2' })
    await stage.until('it was sent', () => late > 0)
    await stage.writeOn(400)
    stage.say('n2 reconnects, and reads the record')
    stage.closeConnection('n2')
    await stage.writeOn(1000)
    assert.ok(stage.record.epoch >= 2, 'it was applied')
    await stage.balance()
  },
}

const handoverTooSoon: Scenario = {
  name: 'handover-to-one-behind',
  title: 'The target of a handover lacks the latest entries.',
  lesson: 'A planned handover loses nothing: the compare-and-set waits until the target has all.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('frames to n2 are held up')
    stage.network.faults = ({ to, kind }) => (to === 'n2' && kind === 'wal' ? 'held' : undefined)
    const answers = await stage.writes(5, 'durable')
    stage.say('an operator commands a handover to n2')
    const answer = stage.cluster.command('n1', { type: 'promote', space: 'teams', to: 'n2' })
    await stage.run(300)
    stage.say('the frames go on')
    stage.network.faults = () => undefined
    stage.network.release()
    assert.is((await answer)['ok'], true)
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2))
    const last = answers.at(-1)!
    const { log } = stage.at('n2').member
    assert.is(log.epochAt(last.sequence), last.epoch, `I6: ${last.sequence} is not in the log`)
    await stage.balance()
  },
}

const unawareTarget: Scenario = {
  name: 'handover-that-its-target-misses',
  title: 'The record names the target of a handover, and the target hears nothing of it.',
  lesson: 'Whoever follows a later epoch than the one addressed has read a later record: a message '
    + 'of it is reason enough to read the record, or all would wait for a repeated ack.',
  run: async (begin) => {
    const stage = await begin()
    await missedHandover(stage)
    stage.say('n2 hears n1 again; announcements of n1 are lost')
    stage.network.faults = lost('n1', null, 'assignment')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2), 500)
    await stage.until('it takes writes', () => stage.at('n2').serves, 1000)
    await stage.balance()
  },
}

const unawareGiver: Scenario = {
  name: 'handover-whose-answer-is-lost',
  title: 'The record names the target of a handover; the old primary does not hear that from the '
    + 'arbiter, so it announces nothing.',
  lesson: 'While the old primary cannot know whether it is applied, it tells the target of the '
    + 'epoch, which can read the record, and serves.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n1 gets no answer to the compare-and-set that gives the epoch away, nor a later one')
    let isSent = false
    stage.arbiter.hindrances = ({ node, next }) => {
      if (node !== 'n1') return undefined
      if (isSent) return 'unreachable'
      if (next?.primary?.node !== 'n2') return undefined
      isSent = true
      return { applyLaterMs: 1 }
    }
    void stage.cluster.command('n1', { type: 'promote', space: 'teams', to: 'n2' })
    await stage.until('the record names n2', () => stage.primary === 'n2')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2), 500)
    await stage.until('it takes writes', () => stage.at('n2').serves, 1000)
    await stage.balance()
  },
}

const silentTarget: Scenario = {
  name: 'handover-to-one-not-heard',
  title: 'A handover to a member that was paused half a second ago.',
  lesson: 'It has everything, as it said before. It cannot take over now: the space would be '
    + 'without a primary until it goes on, or until its death is proven.',
  run: async (begin) => {
    const stage = await begin()
    stage.pause('n2')
    await stage.run(500)
    assert.ok(stage.at('n1').primaryRole!.followers.hasAll('n2'), 'n2 has everything')
    stage.say('n1 hands over to n2')
    assert.ok(stage.at('n1').handOver('n2', 'a test'))
    await stage.until('n1 hands over', () => !stage.at('n1').serves)
    const written = stage.send()
    await stage.until('the handover is given up, or made',
      () => stage.at('n1').serves || stage.record.epoch > 1)
    assert.is(stage.record.epoch, 1, 'the record names n2, which is paused')
    assert.ok((await stage.cluster.wait(written))?.ok, 'the write that was held is taken')
    stage.resume('n2')
    await stage.balance()
  },
}

const ownEpoch: Scenario = {
  name: 'epoch-ends-and-its-node-lives',
  title: 'An epoch ends while its node lives on, and no other member is in sync.',
  lesson: 'The record names me and I am not primary: that is a vacancy, '
    + 'whichever life of mine it was, or all wait for a primary that will never serve.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n1 is cut off from n2 and n3, which leave the set')
    stage.network.faults = several(cut('n1', 'n2'), cut('n1', 'n3'))
    await stage.until('n1 is alone in sync', () => stage.inSync.length === 1, 3000)
    stage.say('the primary\'s actor on n1 is killed; the node and its connection live on')
    stage.cluster.node('n1').actor.context!.ports.host.kill('space.teams.primary')
    await stage.until('writes are accepted again', () => stage.cluster.primary() !== null, 5000)
    await stage.balance()
  },
}

const arbiterLost: Scenario = {
  name: 'arbiter-lost',
  title: 'The arbiter is away for three seconds, and the primary is killed meanwhile.',
  lesson: 'Epochs need no arbiter, a change of epoch does: nobody serves until it is back, and '
    + 'then one does at once.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('nobody reaches the arbiter')
    stage.arbiter.hindrances = () => 'unreachable'
    await stage.writes(3, 'committed')
    await stage.run(1000)
    stage.kill('n1')
    await stage.writeOn(2000, 100)
    assert.is(stage.record.epoch, 1)
    stage.say('the arbiter is back')
    stage.arbiter.hindrances = () => undefined
    await stage.until('another serves', () => stage.cluster.primary() !== null, 2000)
    await stage.balance()
  },
}

export const promotionScenarios: readonly Scenario[] = [
  cleanFailover,
  falseSuspicion,
  duelingCandidates,
  claimOvertaken,
  unfencedOpening,
  notInSync,
  emptyDisk,
  longerButOlder,
  unsureHandover,
  handoverTooSoon,
  unawareTarget,
  unawareGiver,
  silentTarget,
  ownEpoch,
  arbiterLost,
]
