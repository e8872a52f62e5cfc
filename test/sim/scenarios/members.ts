/** Members are added, taken out and replaced, and at each step somebody dies or is not heard. */
import * as assert from 'uvu/assert'
import { fourNodes, isFollowing, membersAre, orders, sends, takesIn,
  takesOut } from './memberKit.js'
import { cut, lost, several } from './network.js'
import type { Scenario } from './scenario.js'

const takenInUnseen: Scenario = {
  name: 'learner-taken-in-and-no-answer',
  title: 'A learner becomes a member, the primary does not hear that it did, goes on, and dies.',
  lesson: 'From the moment at which it is asked for, the learner may be listed in sync, and be '
    + 'promoted: commits wait for it and for the others.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    const isTakenIn = takesIn('n4')
    stage.say('the answer to the compare-and-set that takes n4 in comes late')
    stage.arbiter.hindrances = (call) => (isTakenIn(call) ? { afterMs: 5000 } : undefined)
    await orders(stage, { add: 'n4' })
    await stage.until('n4 is a member', () => stage.members.includes('n4'))
    stage.say('frames to n4 are lost')
    stage.network.faults = lost('n1', 'n4', 'wal')
    await stage.writeOn(200, 20, 'committed')
    stage.kill('n1')
    await stage.writeOn(1000, 50, 'committed')
    await membersAre(stage, 'n1', 'n2', 'n3', 'n4')
    await stage.balance()
  },
}

const takenInNever: Scenario = {
  name: 'learner-not-taken-in',
  title:
    'The compare-and-set that makes a learner a member is lost, and the primary dies; then the '
    + 'lost one arrives.',
  lesson: 'The change stands in the record: the next primary finds it there and goes on. What the '
    + 'former one has asked for is of an older revision.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    const isTakenIn = takesIn('n4')
    let asked = 0
    stage.arbiter.hindrances = (call) => {
      if (call.node !== 'n1' || !isTakenIn(call)) return undefined
      asked += 1
      return { applyLaterMs: 1500 }
    }
    await orders(stage, { add: 'n4' })
    await stage.until('it was asked for', () => asked > 0)
    stage.kill('n1')
    await stage.until('another is primary', () => stage.record.epoch === 2)
    assert.is(stage.record.change?.add, 'n4', 'I16: the claim carries the change')
    await stage.run(2000)
    await membersAre(stage, 'n1', 'n2', 'n3', 'n4')
    await stage.balance()
  },
}

const joinedOnly: Scenario = {
  name: 'learner-that-gets-nothing',
  title: 'A learner has joined, and gets no frame.',
  lesson: 'To have joined is to have nothing yet: it becomes a member when it has all that is '
    + 'committed.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('frames to n4 are lost')
    stage.network.faults = lost('n1', 'n4', 'wal')
    await orders(stage, { add: 'n4' })
    await stage.until('n4 has joined', () => isFollowing(stage, 'n4'))
    await stage.writes(5, 'committed')
    await stage.run(1500)
    assert.not(stage.members.includes('n4'))
    await stage.calm()
    await membersAre(stage, 'n1', 'n2', 'n3', 'n4')
    await stage.balance()
  },
}

const takenOutUnseen: Scenario = {
  name: 'member-taken-out-and-no-answer',
  title: 'A member is taken out, the primary does not hear that it was, and dies; the removed one '
    + 'does not know, and stands as candidate.',
  lesson: 'A candidate claims on the record that the arbiter has, and that one does not list it.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    const isTakenOut = takesOut('n2')
    stage.arbiter.hindrances = (call) => {
      if (isTakenOut(call) && call.node === 'n1') return { afterMs: 5000 }
      // What n3 asks for takes long: n2 is the first candidate.
      return call.node === 'n3' && call.key.startsWith('space.') ? { afterMs: 400 } : undefined
    }
    await orders(stage, { remove: 'n2', force: true })
    await stage.until('n2 is no member', () => !stage.members.includes('n2'))
    stage.kill('n1')
    await stage.writeOn(3000, 50, 'committed')
    await stage.until('n3 is primary', () => stage.isPrimary('n3', 2))
    await membersAre(stage, 'n1', 'n3')
    await stage.balance()
  },
}

const takenOutNever: Scenario = {
  name: 'member-not-taken-out',
  title: 'The compare-and-set that takes a member out is lost, and writes go on; then that member '
    + 'alone is left.',
  lesson: 'Until the arbiter has taken it out, it may be promoted: commits wait for it, too.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    const isTakenOut = takesOut('n2')
    let asked = 0
    stage.arbiter.hindrances = (call) => {
      if (call.node !== 'n1' || !isTakenOut(call)) return undefined
      asked += 1
      return 'unreachable'
    }
    await orders(stage, { remove: 'n2', force: true })
    await stage.until('it was asked for', () => asked > 0)
    stage.say('frames to n2 are lost')
    stage.network.faults = lost('n1', 'n2', 'wal')
    await stage.writeOn(200, 20, 'committed')
    stage.pause('n3')
    stage.kill('n1')
    await stage.run(1500)
    stage.resume('n3')
    // It is one of two copies, and stays until there is another.
    stage.start('n1')
    await membersAre(stage, 'n1', 'n3')
    await stage.balance()
  },
}

const certainOnly: Scenario = {
  name: 'too-few-without-the-one-that-leaves',
  title:
    'Three of four are in sync, as many as the space asks for. One of them is taken out, and the '
    + 'primary does not hear that it was.',
  lesson: 'It may be no member any more: what it has does not count for the number of copies that '
    + 'the space asks for.',
  run: async (begin) => {
    const stage = await fourNodes(begin, { replicas: 3, minInSync: 3 })
    stage.kill('n4')
    await stage.until('n4 is out of sync', () => stage.inSync.length === 3)
    const isTakenOut = takesOut('n2')
    stage.arbiter.hindrances = (call) => (isTakenOut(call) ? { afterMs: 5000 } : undefined)
    await orders(stage, { remove: 'n2', force: true })
    await stage.until('n2 is no member', () => !stage.members.includes('n2'))
    await stage.writeOn(200, 20, 'committed')
    await stage.balance()
  },
}

const asManyAsRemain: Scenario = {
  name: 'removal-that-lowers-min-in-sync',
  title: 'All three are in sync, as many as the space asks for. One is taken out, and the arbiter '
    + 'takes long to write that and to answer.',
  lesson: 'Fewer members need fewer in sync: three of three do before, two of two after. So '
    + '`committed` writes are taken all the while.',
  run: async (begin) => {
    const stage = await fourNodes(begin, { minInSync: 3 })
    const isTakenOut = takesOut('n2')
    let asked = 0
    stage.arbiter.hindrances = (call) => {
      if (!isTakenOut(call)) return undefined
      asked += 1
      return { beforeMs: 1000, afterMs: 1000 }
    }
    await orders(stage, { remove: 'n2', force: true })
    await stage.until('it was asked for', () => asked > 0)
    await stage.writes(5, 'committed')
    assert.is(stage.members.length, 3)
    await stage.until('n2 is no member', () => !stage.members.includes('n2'))
    await stage.writes(5, 'committed')
    await membersAre(stage, 'n1', 'n3')
    assert.is(stage.record.settings.minInSync, 2)
    await stage.writes(5, 'committed')
    await stage.balance()
  },
}

const othersFirst: Scenario = {
  name: 'member-leaves-when-others-are-in-sync',
  title: 'One of two members in sync is to leave; the other two are away.',
  lesson:
    'What is written while one alone is in sync is lost with its disk: the member stays until '
    + 'two others are in sync.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('n1 cannot take n2 out')
    const isTakenOut = takesOut('n2')
    stage.arbiter.hindrances = (call) =>
      isTakenOut(call) && call.node === 'n1' ? 'unreachable' : undefined
    await orders(stage, { add: 'n4', remove: 'n2' })
    await stage.until('n4 is a member', () => stage.members.includes('n4'))
    stage.kill('n3')
    await stage.until('n4 and n2 know that n3 is gone',
      () =>
        ['n4', 'n2'].every((id) => stage.cluster.node(id).actor.context!.peers.isProvenDead('n3')))
    stage.kill('n1')
    await stage.until('another is primary', () => stage.record.epoch > 1)
    await stage.writeOn(3000, 50, 'committed')
    assert.ok(stage.members.includes('n2'), 'I16: n2 is taken out, and one is left in sync')
    await stage.calm()
    await membersAre(stage, 'n1', 'n3', 'n4')
    await stage.balance()
  },
}

const thirdAway: Scenario = {
  name: 'replaced-while-the-third-is-away',
  title:
    'A dead member is replaced while the third is cut off, which then comes back, and the power '
    + 'of the others fails.',
  lesson: 'The one that came in has everything, so that the one that was away may go on from it.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('n3 is cut off')
    stage.network.faults = several(cut('n3', 'n4'), cut('n3', 'n1'), cut('n3', 'n2'))
    await stage.until('n3 is out of sync', () => stage.inSync.length === 2, 3000)
    stage.kill('n2')
    await orders(stage, { add: 'n4', remove: 'n2' })
    await membersAre(stage, 'n1', 'n3', 'n4')
    await stage.writes(5, 'committed')
    stage.kill('n1')
    stage.network.faults = () => undefined
    await stage.until('n4 is primary', () => stage.isPrimary('n4', 2))
    await stage.until('n3 is in sync', () => stage.inSync.length === 2)
    await stage.writes(5, 'committed')
    stage.powerCut('n4', 'n3')
    stage.start('n4', 'n3')
    await stage.balance()
  },
}

const lastOne: Scenario = {
  name: 'last-one-in-sync-is-to-leave',
  title: 'The primary is alone in sync, and an operator insists that it leaves.',
  lesson: 'Nobody else has what is committed. It goes on serving, and leaves when somebody has.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.kill('n2')
    stage.kill('n3')
    await stage.until('n1 is alone', () => stage.inSync.length === 1)
    await orders(stage, { remove: 'n1', force: true })
    await stage.writeOn(3000, 100)
    assert.ok(stage.isPrimary('n1', 1), 'n1 is primary')
    stage.start('n2', 'n3')
    await membersAre(stage, 'n2', 'n3')
    await stage.balance()
  },
}

const primaryLeaves: Scenario = {
  name: 'primary-is-to-leave',
  title: 'The primary is to leave, and nobody hears its handovers for a while.',
  lesson: 'It does not take itself out: the next primary does, once the space was handed over.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('n1 cannot give the space away')
    stage.arbiter.hindrances = ({ node, next }) =>
      node === 'n1' && next && next.primary?.node !== 'n1' ? 'unreachable' : undefined
    await orders(stage, { remove: 'n1', force: true })
    await stage.writeOn(500, 50)
    stage.arbiter.hindrances = () => undefined
    await membersAre(stage, 'n2', 'n3')
    await stage.balance()
  },
}

const changeStays: Scenario = {
  name: 'change-outlives-its-epoch',
  title: 'While a learner cannot join, the space is handed over, its set shrinks and grows, its '
    + 'settings change, the primary is killed.',
  lesson: 'The order stands in the record, and whoever writes the record carries it on.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('n4 is heard, and gets no answers')
    stage.network.faults = lost(null, 'n4', 'answer', 'wal')
    await orders(stage, { add: 'n4', remove: 'n3' })
    const stands = (when: string) =>
      assert.equal([stage.record.change?.add, stage.record.change?.remove], ['n4', 'n3'],
        `I16: the change is gone ${when}`)
    await stage.cluster.command('n1', { type: 'promote', space: stage.space, to: 'n2' })
    await stage.until('n2 serves', () => stage.isPrimary('n2') && stage.inSync.length === 3)
    stands('with a handover')
    const minInSync = 1
    await stage.cluster.command('n2', { type: 'setSpace', space: stage.space, minInSync })
    stands('with the settings')
    stage.kill('n1')
    await stage.until('the set shrinks', () => stage.inSync.length === 2)
    stands('with a smaller set')
    stage.start('n1')
    await stage.until('the set grows', () => stage.inSync.length === 3)
    stands('with a larger set')
    stage.kill('n2')
    await stage.until('another serves', () => stage.record.epoch === 3)
    stands('with a claim')
    await stage.until('it is open', () => stage.record.state === 'open')
    stands('with an open epoch')
    await stage.calm()
    await membersAre(stage, 'n1', 'n2', 'n4')
    await stage.balance()
  },
}

const goesOn: Scenario = {
  name: 'removed-node-goes-on',
  title: 'A member is taken out and hears nothing of it: it follows on, and asks to join.',
  lesson: 'Only members and the learner have a session. Who has none is taken for nothing, and '
    + 'refused; it reads the record then.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('n2 hears of no record')
    stage.network.faults = lost(null, 'n2', 'assignment')
    await orders(stage, { remove: 'n2', force: true })
    await stage.until('n2 is no member', () => !stage.members.includes('n2'))
    await stage.writeOn(1000, 50, 'committed')
    assert.not(isFollowing(stage, 'n2'), 'I16: n2 has a session, and is no member')
    stage.closeConnection('n2')
    await stage.writeOn(2000, 50, 'committed')
    await membersAre(stage, 'n1', 'n3')
    assert.not(isFollowing(stage, 'n2'))
    await stage.balance()
  },
}

const twoOperators: Scenario = {
  name: 'two-operators-at-once',
  title: 'Two operators order at two nodes at the same moment; a third one cancels.',
  lesson: 'One change at a time: the second order is refused, and says what is under way.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('n4 gets no answers, so that the change takes its time')
    stage.network.faults = lost(null, 'n4', 'answer', 'wal')
    const answers = Promise.all([
      sends(stage, 'n2', { add: 'n4' }),
      sends(stage, 'n3', { remove: 'n2', force: true }),
    ])
    const taken = (await stage.cluster.wait(answers)).filter((answer) => answer['ok'] === true)
    stage.judge.assertNone()
    assert.is(taken.length, 1, 'one of them is taken')
    await stage.run(300)
    await sends(stage, 'n3', { cancel: true })
    await stage.run(300)
    assert.is(stage.record.change, undefined)
    await stage.balance()
  },
}

const noCandidate: Scenario = {
  name: 'learner-alone',
  title: 'All members die while a learner has joined; an operator forces the learner.',
  lesson: 'A learner may lack anything: it is no candidate, by force neither.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('frames to n4 are lost')
    stage.network.faults = lost('n1', 'n4', 'wal')
    await orders(stage, { add: 'n4' })
    await stage.until('n4 has joined', () => isFollowing(stage, 'n4'))
    for (const node of ['n1', 'n2', 'n3']) stage.kill(node)
    await stage.run(3000)
    const force = { type: 'promote', space: stage.space, to: 'n4', force: true }
    const answer = await stage.cluster.command('n4', force)
    stage.judge.assertNone()
    assert.is(answer['ok'], false)
    assert.is(stage.record.epoch, 1)
    await stage.calm()
    await membersAre(stage, 'n1', 'n2', 'n3', 'n4')
    await stage.balance()
  },
}

export const memberScenarios: readonly Scenario[] = [
  takenInUnseen,
  takenInNever,
  joinedOnly,
  takenOutUnseen,
  takenOutNever,
  certainOnly,
  asManyAsRemain,
  othersFirst,
  thirdAway,
  lastOne,
  primaryLeaves,
  changeStays,
  goesOn,
  twoOperators,
  noCandidate,
]
