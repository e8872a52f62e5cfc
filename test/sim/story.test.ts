/** Runs of the simulator, as the page shows them: every promotion once, with its own evidence. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PromotionReport } from '../../machines/protocol/events.js'
import { takeoverText } from '../../runtime/inspect/sentences.js'
import { entriesOf } from '../../runtime/page/model/entries.js'
import { promotionsOf } from '../../runtime/page/model/promotions.js'
import type { Promotion } from '../../runtime/page/model/promotions.js'
import { openRecording } from '../../runtime/page/model/recording.js'
import type { Recording } from '../../runtime/page/model/recording.js'
import { planOf } from './plan.js'
import { runPlan } from './run.js'

const test = suite('the story of simulated runs')

const seeds = Array.from({ length: 20 }, (_, index) => index + 1)
/** Of two nodes of a run; a detector's finding may be shown a little after its consequence. */
const lateMs = 100

const keyOf = ({ space, epoch }: { space: string; epoch: number | null }): string =>
  `${space} ${epoch}`

/** The promotions that the new primaries reported. */
function reportsIn(recording: Recording): PromotionReport[] {
  return recording.notable.flatMap((item) =>
    item.kind === 'frame' && item.frame.kind === 'story' ? item.frame.line.promotion ?? [] : []
  )
}

function check(promotion: Promotion, seed: number): void {
  const of = `seed ${seed}, ${keyOf(promotion)}`
  const { steps, from, report, beginMs, endMs } = promotion
  // A finding is sent up to 10 ms after what its node did about it.
  assert.ok(steps.every(({ atMs }, index) => atMs >= (steps[index - 1]?.atMs ?? 0) - 10), of)
  const evidence = steps.filter(({ actor }) => actor.startsWith('detector.'))
  for (const { actor, atMs } of evidence) {
    assert.is(actor, `detector.${from}`, of)
    if (report) assert.ok(atMs >= beginMs - lateMs && atMs <= endMs + lateMs, `${of}: ${atMs}`)
  }
  if (report === null) return
  assert.equal([promotion.winner, promotion.from, endMs - beginMs], [report.to, report.from,
    report.ms], of)
  assert.ok(report.ms >= 0 && (report.atRisk ?? 0) >= 0, of)
}

let evidenceSeen = 0
let reportsSeen = 0

for (const seed of seeds) {
  test(`seed ${seed}`, async () => {
    const { recording: lines } = await runPlan(planOf(seed), { record: true })
    const recording = openRecording(lines!.join('\n'))
    const promotions = promotionsOf(recording.notable)
    const won = promotions.filter(({ epoch }) => epoch !== null).map(keyOf)
    assert.is(new Set(won).size, won.length, `seed ${seed}: ${won.join('; ')}`)
    for (const promotion of promotions) check(promotion, seed)
    const reports = reportsIn(recording)
    const entries = entriesOf(recording.notable, promotions, recording.past)
    for (const report of reports) {
      const found = entries.filter(({ kind, text }) =>
        kind === 'promotion'
        && text === takeoverText(report)
      )
      assert.is(found.length, 1, `seed ${seed}, ${keyOf(report)}: shown ${found.length} times`)
    }
    reportsSeen += reports.length
    evidenceSeen += promotions.filter(({ steps }) =>
      steps.some(({ actor }) => actor.startsWith('detector.'))
    ).length
  })
}

test('there was something to look at', () => {
  assert.ok(reportsSeen > 60, `${reportsSeen} promotions`)
  assert.ok(evidenceSeen > 10, `${evidenceSeen} with evidence`)
})

test.run()
