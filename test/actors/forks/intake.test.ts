/** Offers of salvages, of which much has to be counted. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ForkIntake } from '../../../actors/forks/intake.js'
import { ForkTracker } from '../../../actors/forks/forkTracker.js'
import type { ForkNote } from '../../../machines/log/forkNotes.js'
import type { ReconcileAnswer } from '../../../machines/protocol/messages.js'
import { settle } from '../../support/actorKit.js'
import { report } from '../../support/forksKit.js'

const test = suite('fork intake')

/** Looking one up takes 10 µs. */
const lookUpMs = 0.01

/** A primary with that report; `turns` are those of the event loop that wait. */
function kit(over: object) {
  const [turns, logged, answers]: [(() => void)[], ForkNote[], ReconcileAnswer[]] = [[], [], []]
  let nowMs = 0
  let failure: Error | null = null
  const clock = { monotonicMs: () => nowMs, nextTurn: (run: () => void) => turns.push(run) }
  const store = {
    applied: { sequence: 100 },
    reports: () => [report(over)],
    origin: () => {
      nowMs += lookUpMs
      if (failure) throw failure
      return undefined
    },
  }
  const history = { root: { epoch: 0, sequence: 0 }, history: [{ epoch: 4, last: 100 }] }
  const tracker = new ForkTracker({ store: store as never, history, openings: [], openedAtMs: 0 })
  const logger = { error: () => undefined }
  const member = { log: { end: { sequence: 100 } }, store, uuid: 'u', self: 'n2', space: 'demo',
    overlay: { bytes: 0 }, alert: () => undefined,
    context: { settings: { overlayBytesMax: 1 << 20 }, ports: { clock, logger } } }
  const ingest = { bufferedBytes: 0,
    log: (note: ForkNote, _: string, settle: (answer: object) => void) => {
      logged.push(note)
      settle({ ok: true, sequence: 101 })
    } }
  const intake = new ForkIntake({
    member: member as never,
    epoch: 4,
    ingest: ingest as never,
    reconciler: { tracker, noted: (note: ForkNote) => note } as never,
    primary: { settings: {} as never, notNow: () => null },
  })
  const offer = (number: number) =>
    intake.onMessage({ kind: 'offer', space: 'demo', uuid: 'u', epoch: 4, number, node: 'n1',
      disk: 'd2', salvages: [], isComplete: true }, (answer) => answers.push(answer))
  return { turns, logged, answers, offer, nowMs: () => nowMs, fail: () => {
    failure = new Error('the store')
  } }
}

test('what is lost is counted in slices, one offer after the other', async () => {
  const { turns, logged, answers, offer, nowMs } = kit({ lastKnown: 50_040 })
  offer(1)
  await settle()
  let slices = 1
  let before = nowMs()
  assert.ok(before <= 5, `${before} ms`)
  offer(2)
  assert.equal([answers.length, answers[0]?.kind, answers[0]?.number], [1, 'busy', 2])
  for (let next = turns.shift(); next; next = turns.shift(), slices += 1) {
    next()
    assert.ok(nowMs() - before <= 5, `${nowMs() - before} ms`)
    before = nowMs()
  }
  await settle()
  assert.ok(slices > 50, `${slices}`)
  assert.equal([answers[1]?.kind, answers[1]?.number], ['taken', 1])
  const [closed] = logged
  assert.ok(closed?.note === 'closed')
  assert.equal([closed.outcome, closed.lost], ['lost', 50_000])
  offer(3)
  await settle()
  assert.equal(answers[2]?.kind, 'taken', 'the next one is looked at')
})

test('a count that fails is begun again with the next offer', async () => {
  const { turns, logged, answers, offer, fail } = kit({ lastKnown: 50_040 })
  offer(1)
  fail()
  while (turns.length > 0) turns.shift()!()
  await settle()
  assert.equal([answers[0]?.kind, answers[0]?.reason], ['busy', 'Error: the store'])
  assert.equal(logged, [])
})

test.run()
