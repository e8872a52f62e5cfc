/** Which reports a primary opens for the salvages that are offered to it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ForkTracker } from '../../../actors/forks/forkTracker.js'
import type { EpochHistory } from '../../../machines/base/ids.js'
import { salvage } from '../../support/forksKit.js'

const test = suite('fork tracker')

const history: EpochHistory = { root: { epoch: 5, sequence: 50 },
  history: [{ epoch: 5, last: 60 }, { epoch: 6, last: 80 }] }

/** Epochs with a report after the salvage was offered. */
function opened(...spans: { readonly epoch: number; readonly last: number }[]): number[] {
  const store = { reports: () => [] } as never
  const tracker = new ForkTracker({ store, history, openings: [], openedAtMs: 0 })
  const { state: _, ...note } = salvage({ node: 'n2', common: { epoch: 0, sequence: 10 },
    spans: spans.map((span) => ({ ...span, writes: 5 })) })
  return tracker.offered('n2', 'disk', [note], false)
    .flatMap((one) => (one.note === 'opened' ? [one.opening.epoch] : []))
}

test('a report is opened for an epoch of which the salvage has what this log lacks', () => {
  assert.equal(opened({ epoch: 5, last: 61 }), [5])
  assert.equal(opened({ epoch: 7, last: 90 }), [7], 'this log never was in it')
  assert.equal(opened({ epoch: 3, last: 30 }), [3], 'it is not known what this log has of it')
  assert.equal(opened({ epoch: 5, last: 60 }, { epoch: 7, last: 90 }), [7])
})

test('what this log has is no fork', () => {
  assert.equal(opened({ epoch: 5, last: 60 }), [])
  assert.equal(opened({ epoch: 5, last: 60 }, { epoch: 6, last: 70 }), [])
})

test.run()
