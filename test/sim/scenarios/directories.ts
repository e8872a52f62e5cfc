/** The data directory: is it this node's, and the latest, before the node writes or is a candidate. */
import * as assert from 'uvu/assert'
import type { Hindrances } from './hinderedBucket.js'
import { cut, lost, several } from './network.js'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

/** The arbiter answers these nodes nothing. */
const deafTo = (...nodes: string[]): Hindrances =>
(
  { node },
) => (nodes.includes(node) ? 'unreachable' : undefined)

/** n2 is stopped, copied, started again, and follows; then more is committed. */
async function copiedBefore(stage: Stage) {
  stage.kill('n2')
  const copy = stage.cluster.node('n2').copyDirectory()
  stage.say('its directory is copied')
  stage.start('n2')
  await stage.until('n2 is in sync again', () => stage.inSync.length === 3)
  await stage.writes(5, 'committed')
  stage.powerCut('n1', 'n2', 'n3')
  stage.restore('n2', copy)
  return copy
}

const pastDirectory: Scenario = {
  name: 'directory-of-the-past',
  title: 'All nodes lose power; one of them comes back with a backup of its directory, alone.',
  lesson: 'The record still lists it in sync, by its disk id: a copy of the past must not count as '
    + 'that disk. Its number is lower than the one that the arbiter knows, so it is given another '
    + 'disk id, and is in sync with nothing.',
  run: async (begin) => {
    const stage = await begin()
    await copiedBefore(stage)
    for (let start = 1; start <= 3; start += 1) {
      stage.start('n2')
      await stage.run(1500)
      assert.not.ok(stage.isPrimary('n2'), 'I5: what the copy lacks is gone')
      if (start < 3) stage.kill('n2')
    }
    await stage.balance()
  },
}

const pastUnasked: Scenario = {
  name: 'directory-of-the-past-without-arbiter',
  title: 'A backup of a directory is started three times while the arbiter is away.',
  lesson: 'A number that was used without the arbiter is compared with nothing, so it must not '
    + 'count as compared: after a few starts it would be above the recorded one, and the copy '
    + 'would pass for the latest state of its disk.',
  run: async (begin) => {
    const stage = await begin()
    await copiedBefore(stage)
    stage.say('the arbiter does not answer n2')
    stage.arbiter.hindrances = deafTo('n2')
    for (let start = 1; start <= 3; start += 1) {
      stage.start('n2')
      await stage.run(1500)
      stage.kill('n2')
    }
    stage.say('it answers again')
    stage.arbiter.hindrances = () => undefined
    stage.start('n2')
    await stage.run(1500)
    assert.not.ok(stage.isPrimary('n2'), 'I5: what the copy lacks is gone')
    await stage.balance()
  },
}

const lateVerdict: Scenario = {
  name: 'directory-found-out-late',
  title: 'A backup is started while the arbiter is away, and follows; then the arbiter answers.',
  lesson:
    'Its words about its former disk are void: it comes back on a new connection, with another '
    + 'disk id, and its sessions begin anew.',
  run: async (begin) => {
    const stage = await begin()
    stage.kill('n2')
    const copy = stage.cluster.node('n2').copyDirectory()
    stage.start('n2')
    await stage.until('n2 is in sync again', () => stage.inSync.length === 3)
    await stage.writes(5, 'committed')
    const before = stage.cluster.node('n2').actor.disk
    stage.kill('n2')
    stage.restore('n2', copy)
    stage.say('the arbiter does not answer n2')
    stage.arbiter.hindrances = deafTo('n2')
    stage.start('n2')
    await stage.until('n2 follows', () => stage.follows('n2', 'n1'))
    await stage.run(1500)
    assert.not.ok(stage.inSync.includes('n2'), 'n2 is in sync, and unknown to the arbiter')
    const found = stage.cluster.node('n2').log.filter(({ level, message }) =>
      level === 'warn' && message.includes('cannot be checked yet')
    )
    assert.is(found.length, 1, 'why it does not count is logged, and not at each attempt')
    stage.say('it answers again')
    stage.arbiter.hindrances = () => undefined
    await stage.until('n2 is in sync', () => stage.inSync.includes('n2'))
    assert.is.not(stage.cluster.node('n2').actor.disk, before)
    await stage.balance()
  },
}

const lateAnswerLost: Scenario = {
  name: 'directory-found-out-late-answer-lost',
  title: 'The same, and the arbiter takes the record with the other disk id, and is away before it '
    + 'says so.',
  lesson: 'The identity of a node changes at once with its sessions, or a session of the former '
    + 'disk would go on under the name of the new one.',
  run: async (begin) => {
    const stage = await begin()
    stage.kill('n2')
    const copy = stage.cluster.node('n2').copyDirectory()
    stage.start('n2')
    await stage.until('n2 is in sync again', () => stage.inSync.length === 3)
    await stage.writes(5, 'committed')
    stage.kill('n2')
    stage.restore('n2', copy)
    stage.say('the arbiter does not answer n2')
    stage.arbiter.hindrances = deafTo('n2')
    stage.start('n2')
    await stage.until('n2 follows', () => stage.follows('n2', 'n1'))
    lostAnswer(stage)
    await stage.run(3000)
    stage.say('it answers again')
    stage.arbiter.hindrances = () => undefined
    await stage.run(3000)
    await stage.until('n2 is in sync', () => stage.inSync.includes('n2'))
    const listed = stage.record.members.find(({ node }) => node === 'n2')?.disk
    assert.is(listed, stage.cluster.node('n2').actor.disk, 'n2 counts with its former disk')
    await stage.balance()
  },
}

const secondProcess: Scenario = {
  name: 'two-processes-on-one-directory',
  title: 'A second process is started with the directory of a node that runs, twice: it sees the '
    + 'socket of the first, and it does not (another host, on a network file system).',
  lesson: 'Nothing is written before it is known whose the directory is: by the socket, and by the '
    + 'ping, which a living process of the name answers.',
  run: async (begin) => {
    const stage = await begin()
    const first = stage.cluster.node('n2')
    const identity = first.disk.bytesOf('/data/identity.json').toString()
    const segments = first.disk.paths('/data/journal')
    // It would, where the second one runs: what that wrote is the finding.
    stage.mayEnd.add('n2')
    for (const sees of [true, false]) {
      stage.say(`a second process starts, and ${sees ? 'sees' : 'does not see'} the socket`)
      const second = first.twin(sees)
      second.start()
      await stage.run(1000)
      assert.is(second.exitCode, 1, 'I12: two processes run on one directory')
      assert.is(first.disk.bytesOf('/data/identity.json').toString(), identity,
        'I12: a second process wrote to the directory')
      assert.equal(first.disk.paths('/data/journal'), segments)
    }
    assert.is(first.exitCode, null)
    await stage.balance()
  },
}

const stoppedTwin: Scenario = {
  name: 'twin-that-is-stopped',
  title: 'A primary is paused; another process of its name, with an empty directory, is started.',
  lesson:
    'A process that does not answer may go on in a moment, and its lease may last: the new one '
    + 'says nothing for one lease. Its first word would end the other\'s epoch in the eyes of all.',
  run: async (begin) => {
    const stage = await begin()
    stage.pause('n1')
    stage.say('a write arrives at its connection')
    void stage.send('durable')
    await stage.run(50)
    const second = stage.cluster.node('n1').twin(false)
    second.replaceDisk()
    stage.say('a second n1 starts, on an empty disk')
    second.start()
    await stage.run(1000)
    stage.say('the first goes on, and answers the write within its lease')
    stage.resume('n1')
    await stage.run(100)
    await stage.until('the second is refused', () => second.exitCode === 1, 4000)
    await stage.balance()
  },
}

const lostEntries: Scenario = {
  name: 'member-that-lost-entries',
  title: 'A member in sync comes back with a copy of its own running disk: the same number, and '
    + 'less than it acknowledged.',
  lesson:
    'A member in sync holds all that it acknowledged and all that is committed. One that joins '
    + 'with less does not count, and leaves the set at once: else it may be all that is left of it.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the running disk of n2 is copied')
    const copy = stage.cluster.node('n2').copyDirectory()
    await stage.writes(5, 'committed')
    stage.kill('n3')
    await stage.until('n1 and n2 are in sync', () => stage.inSync.join() === 'n1,n2')
    await stage.writes(1, 'committed')
    stage.kill('n2')
    stage.restore('n2', copy)
    stage.say('frames to n2 are lost')
    stage.network.faults = lost('n1', 'n2', 'wal')
    stage.start('n2')
    await stage.run(1000)
    stage.kill('n1')
    await stage.run(4000)
    assert.not.ok(stage.isPrimary('n2', 2), 'I5: n2 lacks what was committed, and is primary')
    await stage.balance()
  },
}

const lackingCandidate: Scenario = {
  name: 'candidate-that-lost-entries',
  title: 'The same, and the primary cannot take it out of the set before it dies.',
  lesson: 'A member that heard of a commit beyond the end of its own log is no candidate, whatever '
    + 'the record says.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the running disk of n2 is copied')
    const copy = stage.cluster.node('n2').copyDirectory()
    await stage.writes(5, 'committed')
    stage.kill('n3')
    await stage.until('n1 and n2 are in sync', () => stage.inSync.join() === 'n1,n2')
    await stage.writes(1, 'committed')
    stage.say('the arbiter does not answer n1; n2 gets notices, and no frames')
    stage.arbiter.hindrances = deafTo('n1')
    stage.kill('n2')
    stage.restore('n2', copy)
    stage.network.faults = several(
      (
        { from, to, kind, data },
      ) => (from === 'n1' && to === 'n2' && kind === 'wal' && data.length > 120
        ? 'lost'
        : undefined),
      cut('n3', 'n2', ['survey']),
    )
    stage.start('n2')
    await stage.until('n2 follows', () => stage.follows('n2', 'n1'), 3000)
    await stage.run(300)
    stage.kill('n1')
    await stage.run(4000)
    assert.not.ok(stage.isPrimary('n2', 2), 'I5: n2 lacks what was committed, and is primary')
    stage.arbiter.hindrances = () => undefined
    await stage.balance()
  },
}

const storesLost: Scenario = {
  name: 'all-stores-lost',
  title: 'The power of all members fails: their stores are thrown away, the journals are there.',
  lesson: 'The journal says how far the space was committed: the store is built up to there in '
    + 'batches before a member is a candidate. What is above at the opening is seconds of writes, never '
    + 'the log.',
  run: async (begin) => {
    const stage = await begin()
    for (let round = 0; round < 40; round += 1) await stage.writes(5, 'durable')
    await stage.run(1500)
    stage.powerCut('n1', 'n2', 'n3')
    stage.loseStore('n1', 'n2', 'n3')
    stage.start('n1', 'n2', 'n3')
    await stage.until('somebody serves', () => stage.cluster.primary() !== null)
    const { overlay, store } = stage.at(stage.primary).member
    assert.ok(store.applied.sequence >= 200, `the store holds ${store.applied.sequence}`)
    assert.ok(overlay.count <= 20, `the overlay holds ${overlay.count} entries of the log`)
    await stage.balance()
  },
}

/** The record of n2 is written, its answer is lost, and the arbiter answers n2 nothing after it. */
function lostAnswer(stage: Stage): void {
  let isAway = false
  stage.say('the arbiter writes the record of n2, its answer is lost, and it is away after that')
  stage.arbiter.hindrances = ({ node, operation }) => {
    if (node !== 'n2') return undefined
    const hindrance = isAway ? 'unreachable' : operation === 'compareAndSet' && { applyLaterMs: 5 }
    isAway ||= operation === 'compareAndSet'
    return hindrance || undefined
  }
}

const pastAnswerLost: Scenario = {
  name: 'directory-of-the-past-answer-lost',
  title: 'A backup is started, the arbiter takes its record, and is away before it says so.',
  lesson: 'The record says by its nonce that it was written by this start: then disk id and number '
    + 'are those that were written, whatever the node has called itself meanwhile.',
  run: async (begin) => {
    const stage = await begin()
    await copiedBefore(stage)
    lostAnswer(stage)
    stage.start('n2')
    await stage.run(3000)
    stage.say('it answers again')
    stage.arbiter.hindrances = () => undefined
    await stage.run(3000)
    assert.not.ok(stage.isPrimary('n2'), 'I5: what the copy lacks is gone')
    await stage.balance()
  },
}

const genuineAnswerLost: Scenario = {
  name: 'directory-answer-lost',
  title: 'A node is started, the arbiter takes its record, and is away before it says so. Then the '
    + 'process dies, and is started again.',
  lesson: 'The directory never falls behind the record: the genuine disk would be taken for a copy '
    + 'of the past.',
  run: async (begin) => {
    const stage = await begin()
    const { disk } = stage.cluster.node('n2').actor
    stage.kill('n2')
    lostAnswer(stage)
    stage.start('n2')
    await stage.run(3000)
    stage.kill('n2')
    stage.say('it answers again')
    stage.arbiter.hindrances = () => undefined
    stage.start('n2')
    await stage.run(1000)
    assert.is(stage.cluster.node('n2').actor.disk, disk, 'a genuine disk is taken for a copy')
    await stage.balance()
  },
}

export const directoryScenarios: readonly Scenario[] = [
  pastDirectory,
  pastUnasked,
  pastAnswerLost,
  genuineAnswerLost,
  lateVerdict,
  lateAnswerLost,
  secondProcess,
  stoppedTwin,
  lostEntries,
  lackingCandidate,
  storesLost,
]
