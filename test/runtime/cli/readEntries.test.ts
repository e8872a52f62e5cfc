/** engram read entries, of a log that no longer has its beginning. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runHere } from '../../support/cli.js'
import { item } from '../../support/forksKit.js'
import { ResponderKit } from '../../support/responderKit.js'

const test = suite('cli: read entries')
const kit = new ResponderKit(test)
const engram = (...args: string[]) => runHere(args, kit.surroundings)

/** Entries from `first` up to `last` are kept. */
function keeps(first: number, last: number): void {
  kit.node.sequence = last
  kit.node.onRead = () => {
    const { type, from } = kit.node.reads.at(-1)!.query as { type: string; from: number }
    const answer = { sequence: last, epoch: 1, node: 'n1', role: 'primary', stalenessMs: 0 }
    if (type === 'GetQuarantine') return { ok: true, value: [item(41)], ...answer }
    if (type === 'GetFate') {
      return { ok: true, value: { fate: 'safe', now: { epoch: 1, sequence: 1 } }, ...answer }
    }
    if (type !== 'GetEntries') return { ok: true, value: null, ...answer }
    if (from < first) {
      return { ok: false, code: 'TRUNCATED',
        message: `entries below ${first} are no longer kept here`, outcome: 'notTaken',
        retryable: false, firstSequence: first, epoch: 1, sequence: last }
    }
    const value = Array.from({ length: Math.max(0, last - from + 1) }, (_, n) => ({
      sequence: from + n,
      epoch: 1,
      timestamp: 0,
      operation: { type: 'EpochStart' },
    }))
    return { ok: true, value, ...answer }
  }
}

test('without a start they begin at the first one that is kept, which is said', async () => {
  keeps(41, 43)
  const { code, out, err } = await engram('read', 'demo', 'entries')
  assert.is(code, 0)
  assert.equal(out.trim().split('\n').slice(1).map((line) => line.trim().split(' ')[0]), ['41',
    '42', '43'])
  assert.match(err, /^entries from 41 on: earlier ones are no longer kept\n/)
  const json = await engram('read', 'demo', 'entries', '--json')
  const { value } = JSON.parse(json.out) as { value: { sequence: number }[] }
  assert.equal(value.map(({ sequence }) => sequence), [41, 42, 43])
  assert.match(json.err, /^entries from 41 on/)
  // Checkpoints have all of it.
  keeps(44, 43)
  const none = await engram('read', 'demo', 'entries')
  assert.is(none.code, 0)
  assert.match(none.err, /^entries from 44 on/)
})

test('a log that is whole needs no word', async () => {
  keeps(1, 3)
  const { code, err } = await engram('read', 'demo', 'entries')
  assert.is(code, 0)
  assert.not.match(err, 'no longer kept')
})

test('a start below it is refused, with the first one', async () => {
  keeps(41, 43)
  const refused = await engram('read', 'demo', 'entries', '--from', '1', '--json')
  assert.equal([refused.code, refused.out], [1, ''])
  const { error } = JSON.parse(refused.err) as { error: Record<string, unknown> }
  const { code, firstSequence, retryable } = error
  assert.equal([code, firstSequence, retryable], ['TRUNCATED', 41, false])
  assert.match(String(error['remedy']), /without --from/)
  const text = await engram('read', 'demo', 'entries', '--from', '40')
  assert.is(text.code, 1)
  assert.match(text.err, /entries below 41 are no longer kept here \[TRUNCATED\]/)
  assert.is((await engram('read', 'demo', 'entries', '--from', '41')).code, 0)
})

test('a quarantined write is shown, though the entry that won is gone', async () => {
  keeps(41, 43)
  const { code, out, err } = await engram('quarantine', 'show', 'demo', item(41).id)
  assert.is(code, 0, err)
  const { won } = JSON.parse(out) as { won: { fate: string; entry: unknown } }
  assert.equal([won.fate, won.entry], ['safe', null])
})

test.run()
