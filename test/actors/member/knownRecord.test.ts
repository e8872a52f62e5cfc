/** What a member knows of the record and its epochs, and what it alerts of the arbiter. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Blockage } from '../../../actors/member/blockage.js'
import { KnownRecord } from '../../../actors/member/knownRecord.js'
import type { AssignmentAt } from '../../../machines/protocol/messages.js'

const test = suite('known record')

function kit(epoch = 0): { known: KnownRecord; alerts: string[] } {
  const alerts: string[] = []
  return { known: new KnownRecord(epoch, (kind) => alerts.push(kind)), alerts }
}

const record = (epoch: number, node = 'n1') =>
  ({ revision: 1, assignment: { epoch, primary: { node } } }) as unknown as AssignmentAt

test('the known epoch never falls, and claims that were only seen are no part of it', () => {
  const { known } = kit(3)
  known.sawEpoch(7)
  assert.equal([known.epoch, known.highestEpoch], [3, 7])
  known.learned(record(5))
  assert.equal([known.epoch, known.highestEpoch], [5, 7])
  // A bucket that was restored from a backup.
  known.learned(record(2))
  assert.equal([known.record?.assignment.epoch, known.epoch, known.highestEpoch], [2, 5, 7])
})

test('a node resigns its own recorded epoch, and no other', () => {
  const { known } = kit()
  assert.is(known.holderResigned('n1', 4), false, 'no record is known')
  known.learned(record(4))
  assert.is(known.holderResigned('n2', 4), false, 'another is primary')
  assert.is(known.holderResigned('n1', 3), false, 'an earlier epoch')
  assert.is(known.resignedEpoch, 0)
  assert.is(known.holderResigned('n1', 4), true)
  known.epochResigned(2)
  assert.is(known.resignedEpoch, 4)
})

test('one alert per reason of a refusal, one when changes are taken again, none for a claim', () => {
  const { known, alerts } = kit()
  known.accepted()
  known.claimRejected('full')
  known.rejected('full')
  known.forgetRejection()
  assert.equal([alerts, known.rejection], [[], null])
  known.rejected('full')
  known.rejected('full')
  known.rejected('denied')
  assert.is(known.rejection, 'denied')
  known.accepted()
  known.accepted()
  assert.equal(alerts, ['arbiterRefuses', 'arbiterRefuses', 'arbiterAccepts'])
})

test('a record that needs an operator is alerted once, until it can be read', () => {
  const { known, alerts } = kit()
  const newer = { kind: 'newer', reason: 'format 9', revision: 9 } as const
  known.found(newer)
  known.found(newer)
  assert.equal([known.arbiter, known.fault, alerts], ['newer', 'format 9', ['recordNewer']])
  known.unreachable()
  assert.equal([known.arbiter, known.fault], ['unreachable', 'format 9'])
  known.found({ kind: 'present', record: record(1) })
  assert.equal([known.arbiter, known.fault], ['reachable', null])
  known.found(newer)
  assert.equal(alerts, ['recordNewer', 'recordNewer'])
})

test('a blockage is alerted once per reason, and again after there was a primary', () => {
  const alerts: string[] = []
  const blockage = new Blockage((kind, fields, message) => alerts.push(`${kind}: ${message}`),
    () => undefined)
  blockage.because('n1 is not in sync')
  blockage.alert('n1 is not in sync')
  blockage.clear()
  blockage.alert('n1 is not in sync')
  assert.equal([blockage.reason, alerts.length], [null, 1])
  blockage.primaryKnown()
  blockage.alert('n1 is not in sync')
  assert.equal(alerts, ['blocked: n1 is not in sync', 'blocked: n1 is not in sync'])
})

test.run()
