/** The loss window as a setting of the space. */
import * as assert from 'uvu/assert'
import { lost, several } from './network.js'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

/** Sends `count` writes; returns how many were answered positively within some time. */
async function answered(stage: Stage, count: number, ms: number): Promise<number> {
  let positive = 0
  for (let i = 0; i < count; i += 1) {
    void stage.send('durable').then((answer) => {
      positive += Number(answer?.ok === true)
    })
  }
  await stage.run(ms)
  return positive
}

const full: Scenario = {
  name: 'loss-window-full',
  title: 'A space allows three entries at risk; for 300 ms no replica acknowledges.',
  lesson: 'Answers wait for room in the loss window; what is written is durable all the same.',
  run: async (begin) => {
    const stage = await begin({ settings: { maxLoss: { entries: 3 } } })
    stage.say('acks are lost')
    stage.network.faults = several(lost('n2', 'n1', 'ack'), lost('n3', 'n1', 'ack'))
    const early = await answered(stage, 8, 300)
    assert.is(early, 3, `${early} of 8 are answered while no replica has any of them`)
    assert.is(stage.at('n1').roleState.state.startsWith('serving'), true)
    stage.say('acks arrive')
    stage.network.faults = () => undefined
    await stage.until('all are safe', () =>
      stage.at('n1').member.log.safeSequence
        === stage.end('n1').sequence, 5000)
    await stage.writes(5, 'durable')
    await stage.balance()
  },
}

const alone: Scenario = {
  name: 'alone-and-waiting',
  title: 'Both replicas are lost to a space that wants its writers to wait then.',
  lesson: 'An entry that one disk alone holds is not acknowledged where the space asks for that.',
  run: async (begin) => {
    const stage = await begin({ minInSync: 1, settings: { whenUnderReplicated: 'wait' } })
    stage.kill('n2')
    stage.kill('n3')
    await stage.until('n1 is alone in sync', () => stage.inSync.length === 1, 5000)
    const early = await answered(stage, 5, 500)
    assert.is(early, 0, `${early} of 5 are answered while one member is in sync`)
    stage.start('n2', 'n3')
    await stage.until('somebody has come back in', () => stage.inSync.length > 1, 5000)
    await stage.writes(3, 'durable')
    await stage.balance()
  },
}

const refused: Scenario = {
  name: 'alone-and-refused',
  title: 'Both replicas are lost to a space that refuses its writers then.',
  lesson: 'A space may rather be read-only than take what one disk alone would hold.',
  run: async (begin) => {
    const stage = await begin({ minInSync: 1, settings: { whenUnderReplicated: 'refuse' } })
    stage.kill('n2')
    stage.kill('n3')
    await stage.until('n1 is alone in sync', () => stage.inSync.length === 1, 5000)
    const end = stage.end('n1').sequence
    const answer = await stage.cluster.wait(stage.send('durable'))
    assert.is(answer?.ok, false,
      `a write is taken while one member is in sync: ${JSON.stringify(answer)}`)
    assert.is(stage.end('n1').sequence, end)
    stage.start('n2', 'n3')
    await stage.until('somebody has come back in', () => stage.inSync.length > 1, 5000)
    await stage.writes(3, 'durable')
    await stage.balance()
  },
}

export const lossScenarios: readonly Scenario[] = [full, alone, refused]
