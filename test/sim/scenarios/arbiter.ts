/** An arbiter that refuses for a lasting reason, or holds what nobody can read. */
import * as assert from 'uvu/assert'
import { lost } from './network.js'
import type { Scenario } from './scenario.js'

const full = 'maximum bytes exceeded'

const rejectedExpansion: Scenario = {
  name: 'rejected-expansion-applied-late',
  title: 'The arbiter says that it did not store a change of the in-sync set, and then it has it.',
  lesson: 'A leader of the arbiter whose own disk is full rejects what its followers have stored; '
    + 'one of them may be the next leader. So a rejection settles nothing: the change counts as in '
    + 'flight, and commits wait for both sets.',
  run: async (begin) => {
    const stage = await begin()
    stage.kill('n3')
    await stage.until('n3 is left out', () => stage.inSync.length === 2, 3000)
    await stage.writes(3, 'committed')
    stage.say('what n1 would write to the record is rejected; the first of it arrives yet')
    let sent = 0
    stage.arbiter.hindrances = ({ node, next }) => {
      if (node !== 'n1' || !next) return undefined
      sent += 1
      return sent === 1 ? { rejects: full, applyLaterMs: 150 } : { rejects: full }
    }
    stage.start('n3')
    await stage.until('n3 has caught up', () => sent > 0, 3000)
    stage.say('no frame reaches n3 from now on')
    stage.network.faults = lost('n1', 'n3', 'wal')
    await stage.writeOn(600, 20, 'committed')
    assert.ok(stage.inSync.includes('n3'), 'the change was applied')
    await stage.balance()
  },
}

const refusedClaim: Scenario = {
  name: 'claims-that-the-arbiter-refuses',
  title: 'The primary dies while the arbiter is full; after a while there is room again.',
  lesson:
    'A candidate that is refused says why, once, in the words of the arbiter, and asks less and '
    + 'less often.',
  run: async (begin) => {
    const stage = await begin()
    let sent = 0
    stage.arbiter.hindrances = ({ next }) => {
      if (!next) return undefined
      sent += 1
      return { rejects: full }
    }
    stage.say('the arbiter is full')
    stage.kill('n1')
    await stage.run(30_000)
    assert.ok(sent > 4 && sent < 40, `${sent} compare-and-sets in half a minute`)
    const blocked = ['n2', 'n3'].filter((node) =>
      stage.at(node).member.blockage.reason?.includes(full)
    )
    assert.ok(blocked.length > 0, 'blocked, with the words of the arbiter')
    stage.say('there is room again')
    stage.arbiter.hindrances = () => undefined
    await stage.until('another serves', () => stage.cluster.primary() !== null, 5500)
    await stage.balance()
  },
}

const refusedHandover: Scenario = {
  name: 'handover-that-the-arbiter-refuses',
  title: 'An operator commands a handover while the arbiter is full.',
  lesson: 'The compare-and-set of a handover cannot be taken back: so the record is written as it '
    + 'is before, and when that is refused the epoch goes on.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the arbiter is full')
    stage.arbiter.hindrances = ({ next }) => (next ? { rejects: full } : undefined)
    const answer = await stage.cluster.command('n1', { type: 'promote', space: 'teams', to: 'n2' })
    assert.is(answer['code'], 'ARBITER_REFUSED', JSON.stringify(answer))
    await stage.until('n1 serves', () => stage.at('n1').serves, 100)
    await stage.writes(3, 'committed')
    assert.is(stage.record.epoch, 1)
    await stage.balance()
  },
}

const unreadableRecord: Scenario = {
  name: 'record-that-nobody-can-read',
  title: 'An operator overwrites the record with something else; then the primary dies.',
  lesson: 'An unreadable record is lost, like a bucket that is gone: its last primary goes first, '
    + 'the others wait for one lease, and the record is written anew.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('the record is overwritten')
    stage.cluster.bucket.overwrite('space.teams', Buffer.from('oops'))
    stage.kill('n1')
    await stage.until('another serves', () => stage.cluster.primary() !== null, 5000)
    await stage.writes(3, 'committed')
    await stage.balance()
  },
}

const newerRecord: Scenario = {
  name: 'record-of-a-newer-node',
  title: 'The record is one of a later version; then the primary dies.',
  lesson:
    'A record that a newer node wrote is not lost: written over, its epoch would go on beside '
    + 'the one that is made of an older record. The space waits, and says what for.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('a newer node writes the record')
    stage.cluster.bucket.overwrite('space.teams', Buffer.from('{"version":2}'))
    await stage.run(6000)
    assert.ok(stage.at('n1').serves, 'its lease goes on')
    stage.kill('n1')
    await stage.run(8000)
    const kept = stage.cluster.bucket.snapshot().get('space.teams')
    assert.is(Buffer.from(kept!.value).toString(), '{"version":2}', 'it was written over')
    assert.ok(['n2', 'n3'].some((node) => stage.at(node).member.blockage.reason?.includes('newer')))
    stage.say('an operator removes it')
    stage.cluster.bucket.remove('space.teams')
    await stage.until('another serves', () => stage.cluster.primary() !== null, 8000)
    await stage.balance()
  },
}

export const arbiterScenarios: readonly Scenario[] = [
  rejectedExpansion,
  refusedClaim,
  refusedHandover,
  unreadableRecord,
  newerRecord,
]
