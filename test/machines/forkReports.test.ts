import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { concernsForks, displacedNode, foldForks, isDisplacing, originOf,
  reportSalvagesMax } from '../../machines/forks/forkReports.js'
import type { Displaced } from '../../machines/forks/forkReports.js'
import type { ForkReport } from '../../machines/log/forkNotes.js'
import { MemoryForkReports } from '../fakes/memoryForkReports.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { draftsArbitrary, firstEpoch, from, logOf, note, opening, placesOf, epochStart, salvage,
  storeNode, update, type Draft } from '../support/forkEntries.js'

class Ledger {
  readonly forks = new MemoryForkReports()
  private last = { epoch: firstEpoch, sequence: 0 }

  add(draft: Draft, displaced?: Displaced): void {
    const [entry] = logOf([draft], this.last)
    foldForks(this.forks, entry!, displaced)
    this.last = { epoch: entry!.epoch, sequence: entry!.sequence }
  }

  counts(epoch: number): number[] {
    return countsOf(this.forks.report(epoch)!)
  }
}

function countsOf(report: ForkReport): number[] {
  const { resent, merged, superseded, quarantined, discarded } = report
  return [resent, merged, superseded, quarantined, discarded]
}
const closed = (epoch: number, outcome: ForkReport['outcome'] & string, lost = 0): Draft =>
  note({ note: 'closed', epoch, outcome, lost, reason: `as ${outcome}` })
const by = { epoch: firstEpoch, sequence: 1 }

const test = suite('ledger')

test('what concerns forks, and what displaces', () => {
  const [plain, first, forks, noted, merged, lost] = logOf([
    { operation: storeNode('a') },
    epochStart(),
    epochStart(opening(3)),
    note({ note: 'discarded', id: '' }),
    from(3, 1, storeNode('a'), { displaces: 'value' }),
    from(3, 2, storeNode('a'), { displaces: 'value', outcome: 'quarantined' }),
  ])
  assert.equal([plain!, first!, forks!, noted!, merged!].map((entry) => concernsForks(entry)), [
    false,
    false,
    true,
    true,
    true,
  ])
  assert.equal([plain!, forks!, merged!, lost!].map((entry) => isDisplacing(entry)), [false, false,
    true, false])
})

test('names of origins are read back, and nothing else is', () => {
  assert.equal(originOf('12-345'), { epoch: 12, sequence: 345 })
  const wrong = ['', '-', '1', '1-', '01-2', '1-2-3', 'a-b', '1-9007199254740993', '-1-2', '1-2 ']
  for (const name of wrong) assert.is(originOf(name), undefined, name)
})

test('of a node its value is displaced as it stands, or its activation', () => {
  const stored = { epoch: 3, sequence: 1, timestamp: 7, at: 9 }
  const activated = { ...stored, sequence: 2 }
  const node = { id: 'a', content: 'c', activation: 0.5 }
  assert.equal(displacedNode({ node, stored, activated }, 'value'), {
    operation: { type: 'StoreNode', node },
    version: stored,
  })
  assert.equal(displacedNode({ node, stored, activated }, 'activation'), {
    operation: update('a', 0.5),
    version: activated,
  })
  assert.is(displacedNode({ node, stored, activated: undefined }, 'activation'), undefined)
  const nothing = { node: undefined, stored: undefined, activated: undefined }
  assert.is(displacedNode(nothing, 'value'), undefined)
})

test('a report that is there is not opened again', () => {
  const ledger = new Ledger()
  ledger.add(epochStart(opening(3, 40)))
  ledger.add(from(3, 41, storeNode('a')))
  ledger.add(note({ note: 'opened', opening: opening(3, 50) }))
  ledger.add(epochStart(opening(3, 60), opening(4)))
  assert.equal(
    ledger.forks.reports().map((
      { epoch, forkPoint, opened },
    ) => [epoch, forkPoint.sequence, opened.sequence]),
    [[3, 40, 1], [4, 0, 4]],
  )
  assert.equal(ledger.counts(3), [0, 1, 0, 0, 0])
})

test('a write that comes twice is in one count, by what was said first', () => {
  const ledger = new Ledger()
  ledger.add(epochStart(opening(3)))
  ledger.add(from(3, 1, storeNode('a'), { via: 'client' }))
  ledger.add(from(3, 1, storeNode('a')))
  ledger.add(from(3, 2, storeNode('a'), { outcome: 'superseded', by }))
  ledger.add(from(3, 2, storeNode('a')))
  const writes = [1, 2, 3].map((sequence) => ({ epoch: 3, sequence, now: by }))
  ledger.add(note({ note: 'resent', writes }))
  ledger.add(from(3, 3, storeNode('a'), { outcome: 'quarantined', by }))
  assert.equal(ledger.counts(3), [2, 0, 1, 0, 0])
  assert.is(ledger.forks.itemCount, 0)
  assert.is(ledger.forks.origin({ epoch: 3, sequence: 2 })!.outcome, 'superseded')
})

test('out of the quarantine: applied, discarded, applied by its client', () => {
  const ledger = new Ledger()
  ledger.add(epochStart(opening(3)))
  for (const sequence of [1, 2, 3, 4]) {
    ledger.add(from(3, sequence, storeNode('a'), { outcome: 'quarantined', by }))
  }
  assert.equal(ledger.counts(3), [0, 0, 0, 4, 0])
  ledger.add(from(3, 1, storeNode('a'), { via: 'quarantine' }))
  ledger.add(note({ note: 'discarded', id: '3-2' }))
  ledger.add(note({ note: 'discarded', id: '3-2' }))
  ledger.add(from(3, 3, storeNode('a'), { via: 'client' }))
  ledger.add(note({ note: 'discarded', id: '3-1' }))
  ledger.add(note({ note: 'discarded', id: 'nothing' }))
  assert.equal(ledger.counts(3), [1, 1, 0, 1, 1])
  assert.equal(ledger.forks.items().map(({ id }) => id), ['3-4'])
  assert.equal(ledger.forks.origin({ epoch: 3, sequence: 2 }), { outcome: 'quarantined',
    via: 'salvage', now: { epoch: firstEpoch, sequence: 3 }, by })
  assert.is(ledger.forks.origin({ epoch: 3, sequence: 1 })!.via, 'quarantine')
})

test('a write cannot displace itself', () => {
  const ledger = new Ledger()
  ledger.add(epochStart(opening(3)))
  ledger.add(from(3, 1, storeNode('a')))
  const version = { epoch: 3, sequence: 1, timestamp: 101, at: 2 }
  ledger.add(from(3, 1, storeNode('a'), { displaces: 'value' }), { operation: storeNode('a'),
    version })
  assert.equal(ledger.counts(3), [0, 1, 0, 0, 0])
  assert.is(ledger.forks.itemCount, 0)
})

test('what was in the log and is displaced and applied again is no write of the fork', () => {
  const ledger = new Ledger()
  ledger.add(epochStart(opening(3, 40)))
  const version = { epoch: 3, sequence: 39, timestamp: 7, at: 39 }
  ledger.add(from(3, 41, storeNode('a'), { displaces: 'value' }), { operation: storeNode('a'),
    version })
  ledger.add(from(3, 39, storeNode('a'), { via: 'quarantine' }))
  assert.equal(ledger.counts(3), [0, 1, 0, 0, 0])
  assert.is(ledger.forks.origin({ epoch: 3, sequence: 39 })!.outcome, 'merged')
})

test('closed is closed, unless what was given up is reconciled; counts go on', () => {
  const ledger = new Ledger()
  const outcome = (epoch: number) => ledger.forks.report(epoch)!.outcome
  ledger.add(epochStart(opening(1), opening(2), opening(3)))
  ledger.add(closed(1, 'lost', 7))
  ledger.add(closed(1, 'dismissed'))
  assert.equal([outcome(1), ledger.forks.report(1)!.lost], ['lost', 7])
  ledger.add(from(1, 1, storeNode('a')))
  ledger.add(closed(1, 'reconciled'))
  ledger.add(closed(1, 'lost', 9))
  const { reason, lost, closedAtMs } = ledger.forks.report(1)!
  assert.equal([outcome(1), reason, lost, closedAtMs], ['reconciled', 'as reconciled', 0, 1005])
  assert.equal(ledger.counts(1), [0, 1, 0, 0, 0])
  ledger.add(closed(2, 'level'))
  ledger.add(closed(2, 'reconciled'))
  assert.is(outcome(2), 'level')
  ledger.add(closed(3, 'dismissed'))
  ledger.add(closed(3, 'reconciled'))
  assert.is(outcome(3), 'reconciled')
  ledger.add(closed(4, 'lost'))
  assert.is(ledger.forks.report(4), undefined)
})

test('what comes after it was counted as lost is not lost', () => {
  const ledger = new Ledger()
  ledger.add(epochStart({ ...opening(3), lastKnown: 20 }))
  ledger.add(closed(3, 'lost', 2))
  const lost = () => ledger.forks.report(3)!.lost
  ledger.add(from(3, 11, storeNode('a'), { via: 'client' }))
  assert.is(lost(), 1)
  ledger.add(from(3, 11, storeNode('a'), { via: 'client' }))
  assert.is(lost(), 1, 'once')
  ledger.add(from(3, 21, storeNode('b'), { via: 'client' }))
  assert.is(lost(), 1, 'of that nobody had heard')
  ledger.add(from(3, 12, storeNode('c'), { outcome: 'quarantined', by }))
  assert.is(lost(), 0)
})

test('entries that a salvage misses may turn a closed report into a lost one, with more', () => {
  const ledger = new Ledger()
  const state = () => {
    const { outcome, lost } = ledger.forks.report(3)!
    return [outcome, lost]
  }
  const misses = { ...salvage('s', 'n1', 3), begins: 18 }
  ledger.add(epochStart(opening(3)))
  ledger.add(note({ note: 'salvaged', salvage: misses }))
  ledger.add(from(3, 5, storeNode('a'), { via: 'client' }))
  assert.equal(state(), [null, 0])
  ledger.add(closed(3, 'reconciled'))
  ledger.add(closed(3, 'lost', 7))
  assert.equal(state(), ['lost', 7])
  ledger.add(closed(3, 'lost', 6))
  assert.equal(state(), ['lost', 7])
  ledger.add(closed(3, 'lost', 9))
  assert.equal(state(), ['lost', 9])
  ledger.add(from(3, 6, storeNode('a'), { via: 'client' }))
  assert.equal(state(), ['lost', 8], 'one of them came')
  ledger.add(from(3, 6, storeNode('a')))
  ledger.add(from(3, 18, storeNode('b')))
  assert.equal(state(), ['lost', 8], 'it came before; the salvage has it')
  ledger.add(closed(3, 'reconciled'))
  assert.equal(state(), ['reconciled', 0])
  ledger.add(epochStart(opening(4)))
  ledger.add(note({ note: 'salvaged', salvage: { ...salvage('t', 'n1', 4), begins: 18 } }))
  ledger.add(closed(4, 'dismissed'))
  ledger.add(closed(4, 'lost', 3))
  assert.is(ledger.forks.report(4)!.outcome, 'dismissed')
})

test('a salvage belongs to the reports of whose epochs it holds writes', () => {
  const ledger = new Ledger()
  const states = (epoch: number) =>
    ledger.forks.report(epoch)!.salvages
      .map(({ node, state }) => `${node} ${state}`).join(', ')
  ledger.add(epochStart(opening(1), opening(2), opening(3)))
  const two = salvage('s', 'n1', 1, 3)
  const empty = { epoch: 2, last: 20, writes: 0 }
  ledger.add(note({ note: 'salvaged', salvage: { ...two, spans: [...two.spans, empty] } }))
  ledger.add(note({ note: 'salvaged', salvage: salvage('s', 'n2', 3) }))
  assert.equal([1, 2, 3].map(states), ['n1 waiting', '', 'n1 waiting, n2 waiting'])
  ledger.add(note({ note: 'taken', name: 's', node: 'n1' }))
  ledger.add(note({ note: 'gone', name: 's', node: 'n1' }))
  ledger.add(note({ note: 'gone', name: 's', node: 'n2' }))
  ledger.add(note({ note: 'gone', name: 'other', node: 'n2' }))
  assert.equal([1, 2, 3].map(states), ['n1 taken', '', 'n1 taken, n2 gone'])
  ledger.add(closed(3, 'lost'))
  ledger.add(note({ note: 'salvaged', salvage: two }))
  assert.equal([1, 2, 3].map(states), ['n1 waiting', '', 'n1 waiting, n2 gone'])
})

test('a report lists so many salvages: those that wait no more go first', () => {
  const ledger = new Ledger()
  ledger.add(epochStart(opening(1)))
  const names = Array.from({ length: reportSalvagesMax + 2 }, (_, index) => `s${index}`)
  const add = (name: string): void =>
    ledger.add(note({ note: 'salvaged', salvage: salvage(name, 'n1', 1) }))
  for (const name of names.slice(0, reportSalvagesMax)) add(name)
  ledger.add(note({ note: 'taken', name: 's5', node: 'n1' }))
  for (const name of names.slice(reportSalvagesMax)) add(name)
  const { salvages } = ledger.forks.report(1)!
  assert.equal(salvages.map(({ name }) => name),
    names.filter((name) => name !== 's5' && name !== 's0'))
})

test('property: each write of a fork that has come is in exactly one count', async () => {
  await fc.assert(fc.asyncProperty(draftsArbitrary(60), async (drafts) => {
    const space = new MemoryStore().space('u')
    const log = logOf(drafts)
    // After every entry, so that a count that is wrong for a while is seen.
    for (const entry of log) {
      await space.apply([entry])
      for (const report of space.reports()) {
        assert.equal(countsOf(report), recounted(space, report, placesOf(log)))
      }
    }
  }), { numRuns: 150 })
})

function recounted(
  space: ReturnType<MemoryStore['space']>,
  { epoch, forkPoint }: ForkReport,
  places: ReturnType<typeof placesOf>,
): number[] {
  const counts = [0, 0, 0, 0, 0]
  const sequences = new Set(places.filter((at) => at.epoch === epoch)
    .map(({ sequence }) => sequence).filter((sequence) => sequence > forkPoint.sequence))
  for (const sequence of sequences) {
    const record = space.origin(epoch, sequence)
    if (record === undefined) continue
    const { outcome, via } = record
    const isKept = space.quarantined(`${epoch}-${sequence}`) !== undefined
    if (outcome === 'resent' || (outcome === 'merged' && via === 'client')) counts[0]! += 1
    else if (outcome === 'merged') counts[1]! += 1
    else if (outcome === 'superseded') counts[2]! += 1
    else counts[isKept ? 3 : 4]! += 1
  }
  return counts
}

test.run()
