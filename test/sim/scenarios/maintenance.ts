/** Paused spaces and drained nodes: what operators want counts, whatever fails meanwhile. */
import * as assert from 'uvu/assert'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

async function command(stage: Stage, node: string, type: string): Promise<void> {
  const answer = await stage.cluster.command(node, { type, space: stage.space, by: 'ann' })
  if (answer['ok'] !== true) throw new Error(`${type}: ${JSON.stringify(answer)}`)
}

const pausedFailover: Scenario = {
  name: 'paused-failover',
  title: 'A space is paused; its primary dies; the space is resumed while nobody is primary.',
  lesson: 'While a space is paused no member takes over by itself, however sure it is that the '
    + 'primary is gone. Whoever is asked writes to the record that it is resumed, since there may '
    + 'be no primary to do it, and then a member takes over at once.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('an operator pauses the space')
    await command(stage, 'n2', 'pause')
    stage.kill('n1')
    await stage.run(20_000)
    assert.is(stage.record.epoch, 1, 'paused, and claimed all the same')
    stage.say('an operator resumes it')
    await command(stage, 'n3', 'resume')
    const ms = await stage.until('another serves', () => stage.cluster.primary() !== null, 1500)
    assert.ok(ms < 1500)
    await stage.balance()
  },
}

const pausedInBetween: Scenario = {
  name: 'paused-between-reading-and-claiming',
  title: 'The space is paused when a candidate has read the record, and not yet claimed.',
  lesson: 'A claim is made at the revision that was read: a pause moves it, so who claims has seen '
    + 'that the space is not paused.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('claims arrive 200 ms late')
    stage.arbiter.hindrances = (
      { next },
    ) => (next?.state === 'claimed' ? { beforeMs: 200 } : undefined)
    stage.kill('n1')
    await stage.until('one claims',
      () => ['n2', 'n3'].some((node) => stage.at(node).roleState.state === 'claiming'))
    stage.say('an operator pauses the space')
    await command(stage, 'n2', 'pause')
    await stage.run(5000)
    assert.is(stage.record.epoch, 1, 'paused, and claimed all the same')
    await command(stage, 'n2', 'resume')
    await stage.until('another serves', () => stage.cluster.primary() !== null, 3000)
    await stage.balance()
  },
}

const pausedBeneath: Scenario = {
  name: 'paused-beneath-a-change',
  title: 'An operator pauses the space while its primary takes a member out of the in-sync set.',
  lesson: 'Operators write the record beside its primary. Where nothing else has changed, that '
    + 'makes its change upon what they wrote, and carries their word along.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('what n1 writes to the record arrives 100 ms late')
    let sent = 0
    stage.arbiter.hindrances = ({ node, next }) => {
      if (node !== 'n1' || !next || next.inSync.length === 3) return undefined
      sent += 1
      return { beforeMs: 100 }
    }
    stage.kill('n3')
    await stage.until('n1 takes n3 out', () => sent > 0, 3000)
    stage.say('an operator pauses the space')
    await command(stage, 'n2', 'pause')
    await stage.until('n3 is out', () => stage.inSync.length === 2, 3000)
    assert.is(stage.record.epoch, 1, 'the epoch goes on')
    assert.is(stage.record.paused?.by, 'ann', 'and the pause is kept')
    await stage.writes(3, 'committed')
    await stage.balance()
  },
}

const pausedHandover: Scenario = {
  name: 'paused-during-a-handover',
  title: 'The space is paused when its epoch is given away, and not yet opened.',
  lesson: 'A pause stops what members do by themselves, not what an operator has commanded: the '
    + 'target opens upon the record as it is.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('what opens an epoch arrives 100 ms late')
    stage.arbiter.hindrances = (
      { node, next },
    ) => (node === 'n2' && next?.state === 'open' ? { beforeMs: 100 } : undefined)
    void stage.cluster.command('n1', { type: 'promote', space: stage.space, to: 'n2' })
    await stage.until('n2 is named', () => stage.primary === 'n2', 3000)
    stage.say('an operator pauses the space')
    await command(stage, 'n3', 'pause')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2), 3000)
    assert.is(stage.record.epoch, 2)
    assert.is(stage.record.paused?.by, 'ann')
    await command(stage, 'n3', 'resume')
    await stage.balance()
  },
}

const drainedCandidate: Scenario = {
  name: 'drained-candidate',
  title: 'The best candidate is drained; another member takes over from it.',
  lesson: 'A drained node says so in surveys: nobody stands by for it.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('an operator drains n2, which has more than n3')
    await stage.cluster.command('n2', { type: 'drain' })
    stage.network.faults = ({ to, kind }) => (to === 'n3' && kind === 'wal' ? 'lost' : undefined)
    await stage.writes(3, 'durable')
    stage.kill('n1')
    stage.network.faults = () => undefined
    const ms = await stage.until('n3 is primary', () => stage.isPrimary('n3', 2), 3000)
    assert.ok(ms < 400, `n3 is primary after ${ms} ms`)
    await stage.cluster.command('n2', { type: 'undrain' })
    await stage.balance()
  },
}

export const maintenanceScenarios: readonly Scenario[] = [
  pausedFailover,
  pausedInBetween,
  pausedBeneath,
  pausedHandover,
  drainedCandidate,
]
