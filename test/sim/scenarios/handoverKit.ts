/** Shared by the scenarios of handovers: n1 is primary, n2 is to take over. */
import * as assert from 'uvu/assert'
import { lost, several } from './network.js'
import type { Stage } from './stage.js'

/** What an operator was answered; null: nothing yet. */
export interface Command {
  answer: Record<string, unknown> | null
}

/** An operator commands a handover to n2, at that node. */
export function promotes(stage: Stage, at: string): Command {
  const command: Command = { answer: null }
  void stage.cluster.command(at, { type: 'promote', space: stage.space, to: 'n2' })
    .then((answer) => {
      command.answer = answer
    })
  return command
}

export async function answered(
  stage: Stage,
  command: Command,
  maxMs: number,
): Promise<Record<string, unknown>> {
  await stage.until('the operator has an answer', () => command.answer !== null, maxMs)
  return command.answer!
}

/** n1 hands over, and n2 does not hear of it. */
export async function missedHandover(stage: Stage): Promise<void> {
  stage.say('n2 hears nothing of the space from n1, and n3 no announcement')
  stage.network.faults = several(
    lost('n1', 'n2', 'assignment', 'wal', 'ack'),
    lost('n1', 'n3', 'assignment'),
  )
  assert.ok(stage.at('n1').handOver('n2', 'a test'))
  await stage.until('the record names n2', () => stage.primary === 'n2')
  await stage.until('n1 has stepped down', () => !stage.at('n1').primaryRole)
  assert.is(stage.record.state, 'claimed', 'n2 has heard nothing')
}
