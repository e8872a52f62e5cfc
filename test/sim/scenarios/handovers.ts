/** Handovers of which one side hangs, or hears nothing: how long nobody takes writes. */
import * as assert from 'uvu/assert'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

/** Sends a write; returns the time until its positive answer. */
async function written(stage: Stage, maxMs: number): Promise<number> {
  let isTaken = false
  void stage.send().then((answer) => {
    isTaken = answer?.ok === true
  })
  return await stage.until('a write is taken', () => isTaken, maxMs)
}

const hangingTarget: Scenario = {
  name: 'handover-commanded-to-one-that-hangs',
  title: 'An operator commands a handover to a member that has just stopped.',
  lesson: 'For three heartbeats it counts as heard. It is asked first, so that no write is held '
    + 'for one that cannot take over, and the operator hears at once why.',
  run: async (begin) => {
    const stage = await begin()
    stage.pause('n2')
    let refusal: Record<string, unknown> | null = null
    void stage.cluster.command('n3', { type: 'promote', space: 'demo', to: 'n2' })
      .then((answer) => {
        refusal = answer
      })
    let slowestMs = 0
    const { clock } = stage.cluster
    const endMs = clock.monotonicMs() + 1100
    while (!refusal) {
      assert.ok(clock.monotonicMs() < endMs, 'I10: the operator has no answer')
      slowestMs = Math.max(slowestMs, await written(stage, 1000))
    }
    assert.ok(slowestMs < 100, `I10: a write waited for ${slowestMs} ms`)
    const { ok, code, message } = refusal as Record<string, unknown>
    assert.equal([ok, code], [false, 'NOT_ENOUGH_IN_SYNC'], String(message))
    assert.match(String(message), /^n2 does not answer, so nothing was changed\./)
    assert.is(stage.record.epoch, 1)
    await stage.balance()
  },
}

const lateTarget: Scenario = {
  name: 'handover-given-up',
  title: 'The target of a handover answers, and does not get the latest entries.',
  lesson: 'The operator hears that it was given up when it is, and why.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n2 gets no frames')
    stage.network.faults = ({ to, kind }) => (to === 'n2' && kind === 'wal' ? 'lost' : undefined)
    await stage.writes(2, 'durable')
    let refusal: Record<string, unknown> | null = null
    void stage.cluster.command('n1', { type: 'promote', space: 'demo', to: 'n2' })
      .then((answer) => {
        refusal = answer
      })
    await stage.until('the operator has an answer', () => refusal !== null, 1000)
    const { ok, message } = refusal! as Record<string, unknown>
    assert.is(ok, false)
    assert.is(message,
      'n2 could not take over in time: n2 does not have all entries; nothing was changed')
    assert.ok(stage.at('n1').serves, 'n1 goes on')
    await stage.balance()
  },
}

const hungPrimary: Scenario = {
  name: 'handover-commanded-of-one-that-hangs',
  title: 'An operator commands a handover, and the primary hangs.',
  lesson: 'A node that a command is passed on to has to show that it lives: the operator would '
    + 'wait for it as long as for the command.',
  run: async (begin) => {
    const stage = await begin()
    stage.pause('n1')
    let refusal: Record<string, unknown> | null = null
    void stage.cluster.command('n3', { type: 'promote', space: 'demo', to: 'n2' })
      .then((answer) => {
        refusal = answer
      })
    await stage.until('the operator has an answer', () => refusal !== null, 1200)
    const { ok, code } = refusal! as Record<string, unknown>
    assert.equal([ok, code], [false, 'NOT_PRIMARY'])
    await stage.balance()
  },
}

export const handoverScenarios: readonly Scenario[] = [
  hangingTarget,
  lateTarget,
  hungPrimary,
]
