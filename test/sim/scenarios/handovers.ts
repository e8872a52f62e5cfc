/** Handovers of which one side hangs, or hears nothing: how long nobody takes writes. */
import * as assert from 'uvu/assert'
import { answered, missedHandover, promotes } from './handoverKit.js'
import { lost } from './network.js'
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
    const command = promotes(stage, 'n3')
    let slowestMs = 0
    const { clock } = stage.cluster
    const endMs = clock.monotonicMs() + 1100
    while (!command.answer) {
      assert.ok(clock.monotonicMs() < endMs, 'I10: the operator has no answer')
      slowestMs = Math.max(slowestMs, await written(stage, 1000))
    }
    assert.ok(slowestMs < 100, `I10: a write waited for ${slowestMs} ms`)
    const { ok, code, message } = command.answer as Record<string, unknown>
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
    const command = promotes(stage, 'n1')
    const { ok, message } = await answered(stage, command, 1000)
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
    const command = promotes(stage, 'n3')
    const { ok, code } = await answered(stage, command, 1200)
    assert.equal([ok, code], [false, 'NOT_PRIMARY'])
    await stage.balance()
  },
}

const lostPrimary: Scenario = {
  name: 'handover-commanded-of-one-that-dies',
  title: 'An operator commands a handover through another node; the primary dies meanwhile.',
  lesson: 'Who passes a command on hears that the other one is dead before its time limit.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('n2 gets no frames')
    stage.network.faults = ({ to, kind }) => (to === 'n2' && kind === 'wal' ? 'lost' : undefined)
    await stage.writes(2, 'durable')
    const command = promotes(stage, 'n3')
    await stage.until('n1 hands over', () => !stage.at('n1').serves, 1000)
    stage.kill('n1')
    const { ok, code, message } = await answered(stage, command, 500)
    assert.equal([ok, code], [false, 'NOT_PRIMARY'])
    assert.match(String(message), /which may be carried out/)
    await stage.balance()
  },
}

const forwardedUnheard: Scenario = {
  name: 'handover-that-its-giver-has-ended',
  title: 'The target of a handover hears of it only when the old primary has forwarded all.',
  lesson: 'A member that joins is no primary: it has nothing left to forward, so nobody has to '
    + 'wait for that.',
  run: async (begin) => {
    const stage = await begin()
    await missedHandover(stage)
    stage.say('n2 hears n1 again')
    stage.network.faults = lost('n1', null, 'assignment')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2), 500)
    await written(stage, 250)
    await stage.balance()
  },
}

const hungGiver: Scenario = {
  name: 'handover-whose-giver-hangs',
  title: 'The old primary hangs right after the record names the target.',
  lesson: 'A member whose primary falls silent reads the record: the space may have been handed '
    + 'to it. And one that hangs forwards nothing that others have to wait for.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('nobody hears n1 any more')
    stage.network.faults = lost('n1', null)
    assert.ok(stage.at('n1').handOver('n2', 'a test'))
    await stage.until('the record names n2', () => stage.primary === 'n2')
    stage.pause('n1')
    await stage.until('n2 is primary', () => stage.isPrimary('n2', 2), 600)
    await written(stage, 250)
    stage.resume('n1')
    await stage.balance()
  },
}

const dyingTarget: Scenario = {
  name: 'handover-whose-target-dies',
  title: 'The target of a handover is killed when the record names it, before it serves.',
  lesson: 'The old primary waits for no announcement of a dead one. It asks whether anybody takes '
    + 'writes: what is forwarded to nobody is lost, and its writer waits for the time limit.',
  run: async (begin) => {
    const stage = await begin()
    stage.say('what opens the epoch of n2 arrives 100 ms late')
    stage.arbiter.hindrances = ({ node, next }) =>
      node === 'n2' && next?.state === 'open' ? { beforeMs: 100 } : undefined
    const command = promotes(stage, 'n1')
    await stage.until('the record names n2', () => stage.primary === 'n2')
    let held: Record<string, unknown> | null = null
    void stage.send().then((answer) => {
      held = { ...answer }
    })
    await stage.run(10)
    stage.kill('n2')
    await stage.until('another serves', () => stage.cluster.primary() !== null, 400)
    await stage.until('the held write is refused', () => held !== null, 100)
    const { code, outcome } = held! as Record<string, unknown>
    assert.equal([code, outcome], ['NOT_PRIMARY', 'unknown'])
    assert.is((await answered(stage, command, 100))['code'], 'NOT_PRIMARY')
    await stage.balance()
  },
}

export const handoverScenarios: readonly Scenario[] = [
  hangingTarget,
  lateTarget,
  hungPrimary,
  lostPrimary,
  forwardedUnheard,
  hungGiver,
  dyingTarget,
]
