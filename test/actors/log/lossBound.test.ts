/** The loss window as a setting: answers wait for room in it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SpaceSettings } from '../../../machines/protocol/messages.js'
import { showSettings, spaceSettingsOf } from '../../../machines/protocol/spaceSettings.js'
import { path, settle } from '../../support/actorKit.js'
import type { Path } from '../../support/actorKit.js'

const test = suite('loss bound')

function bounded(settings: Partial<SpaceSettings>): Path {
  return path({
    spaceSettings: { replicas: 1, ack: 'durable', minInSync: 2, ...settings },
  })
}

/** Everything up to there is safe, too. */
function safe(side: Path, sequence: number): void {
  side.log.raiseSafe(sequence)
  side.commit(sequence)
}

async function writes(side: Path, count: number, level = 'durable'): Promise<string[]> {
  const replies = Array.from({ length: count }, () => side.write({ 'Engram-Ack': level }))
  await settle()
  return replies
}

const codes = (side: Path, replies: string[]) => replies.map((reply) => side.codeTo(reply))

for (const level of ['memory', 'durable']) {
  test(`a bounded number of entries is acknowledged above the safe sequence: ${level}`, async () => {
    const side = bounded({ maxLoss: { entries: 2 } })
    const replies = await writes(side, 5, level)
    assert.equal(codes(side, replies), ['ok 1', 'ok 2', 'none', 'none', 'none'])
    assert.is(side.log.durable.sequence, 5, 'they are durable all the same')
    assert.is(side.ingest.lossWindow(side.clock.monotonicMs()).entries, 2)
    assert.is(side.ingest.isIdle, false)
    safe(side, 1)
    assert.equal(codes(side, replies), ['ok 1', 'ok 2', 'ok 3', 'none', 'none'])
    safe(side, 5)
    assert.equal(codes(side, replies), ['ok 1', 'ok 2', 'ok 3', 'ok 4', 'ok 5'])
    assert.is(side.ingest.isIdle, true)
  })
}

test('a batch larger than the bound is answered when it is safe', async () => {
  const side = bounded({ maxLoss: { entries: 3 } })
  const reply = side.write({}, 10)
  await settle()
  assert.is(side.codeTo(reply), 'none')
  safe(side, 6)
  assert.is(side.codeTo(reply), 'none')
  safe(side, 10)
  assert.is(side.codeTo(reply), 'ok 10')
})

test('bytes bound it', async () => {
  const side = bounded({ maxLoss: { bytes: 600 } })
  const replies: string[] = []
  for (let i = 0; i < 6; i += 1) replies.push(...await writes(side, 1))
  const answered = codes(side, replies).filter((code) => code !== 'none').length
  assert.ok(answered > 0 && answered < 6, `${answered} of 6`)
  const { bytes } = side.ingest.lossWindow(side.clock.monotonicMs())
  assert.ok(bytes > 0 && bytes <= 600, `${bytes} bytes`)
  safe(side, 6)
  assert.is(codes(side, replies).filter((code) => code !== 'none').length, 6)
})

test('nothing more is answered while the oldest is as old as the bound', async () => {
  const side = bounded({ maxLoss: { ms: 50 } })
  const [first] = await writes(side, 1)
  assert.is(side.codeTo(first!), 'ok 1')
  side.clock.advance(60)
  const [second] = await writes(side, 1)
  assert.is(side.codeTo(second!), 'none')
  safe(side, 1)
  assert.is(side.codeTo(second!), 'ok 2')
})

test('a repeated write waits, too, and one that is committed but not safe', async () => {
  const side = bounded({ maxLoss: { entries: 1 } })
  const key = { 'Nats-Msg-Id': 'k' }
  await writes(side, 1)
  const [first, again] = [side.write(key), side.write({ ...key, 'Engram-Ack': 'memory' })]
  const committed = side.write({ 'Engram-Ack': 'committed' })
  await settle()
  assert.equal(codes(side, [first, again, committed]), ['none', 'none', 'none'])
  side.commit(3)
  assert.equal(codes(side, [first, again, committed]), ['none', 'none', 'none'])
  safe(side, 3)
  assert.equal(codes(side, [first, again, committed]), ['ok 2', 'ok 2', 'ok 3'])
})

test('a repeated write that waits for room is refused when the journal refuses the first', async () => {
  const side = bounded({ maxLoss: { entries: 1 } })
  await writes(side, 1)
  side.journal.failures = 1
  const key = { 'Nats-Msg-Id': 'k', 'Engram-Ack': 'memory' }
  const [first, again] = [side.write(key), side.write(key)]
  await settle()
  assert.equal(codes(side, [first, again]), ['READ_ONLY', 'READ_ONLY'])
  const [other] = await writes(side, 1)
  safe(side, 2)
  assert.equal(codes(side, [first, again, other!]), ['READ_ONLY', 'READ_ONLY', 'ok 2'])
})

test('entries of an earlier life above the safe sequence count, whatever their size', async () => {
  for (const maxLoss of [{ bytes: 1e9 }, { ms: 1e9 }]) {
    const side = bounded({ maxLoss })
    side.log.knowsAbove = (sequence) => sequence >= 5
    const [reply] = await writes(side, 1)
    assert.is(side.codeTo(reply!), 'none')
    safe(side, 5)
    assert.is(side.codeTo(reply!), 'ok 1')
  }
})

test('an answer that waits too long says that the write is logged', async () => {
  const side = bounded({ maxLoss: { entries: 1 } })
  const [, second] = await writes(side, 2)
  side.clock.advance(6000)
  side.ingest.expire()
  assert.is(side.codeTo(second!), 'ACK_TIMEOUT')
  assert.is((side.answerTo(second!) as { sequence?: number }).sequence, 2)
  assert.is(side.ingest.isIdle, true)
  safe(side, 2)
  assert.is(side.codeTo(second!), 'ACK_TIMEOUT', 'answered once')
})

test('the end of the epoch refuses what waits; a failed flush what is not written', async () => {
  const side = bounded({ maxLoss: { entries: 1 } })
  const [first, second] = await writes(side, 2)
  side.journal.failures = 1
  const [third] = await writes(side, 1, 'memory')
  assert.equal(codes(side, [first!, second!, third!]), ['ok 1', 'none', 'READ_ONLY'])
  side.ingest.end('NOT_PRIMARY', 'handed over')
  assert.is(side.codeTo(second!), 'NOT_PRIMARY')
})

test('one that waits for room and for the disk is refused once, at the end and when late', async () => {
  for (const refuse of [
    (side: Path) => side.ingest.end('NOT_PRIMARY', 'handed over'),
    (side: Path) => {
      side.clock.advance(6000)
      side.grantFor(0)
      side.ingest.expire()
    },
  ]) {
    const side = bounded({ maxLoss: { entries: 1 } })
    side.journal.holdsWrites = true
    const [, inFlight] = await writes(side, 2, 'memory')
    const [buffered] = await writes(side, 1, 'memory')
    refuse(side)
    await side.journal.release()
    const [one, two] = [inFlight!, buffered!].map((reply) => side.codeTo(reply))
    assert.is(one, two)
    assert.ok(['NOT_PRIMARY', 'ACK_TIMEOUT'].includes(one!), one)
  }
})

test('while under-replicated: accepted, or waiting, or refused', async () => {
  const run = async (settings: Partial<SpaceSettings>) => {
    const side = bounded(settings)
    side.inSync = 1
    const [one, two] = await writes(side, 2)
    const before = codes(side, [one!, two!])
    side.inSync = 2
    side.log.raiseSafe(side.log.durable.sequence)
    side.replies.committed()
    return [before, codes(side, [one!, two!])]
  }
  const bound = { maxLoss: { entries: 1 } }
  assert.equal(await run(bound), [['ok 1', 'ok 2'], ['ok 1', 'ok 2']])
  assert.equal(await run({ ...bound, whenUnderReplicated: 'wait' }), [['ok 1', 'none'], ['ok 1',
    'ok 2']])
  assert.equal(await run({ whenUnderReplicated: 'wait' }), [['none', 'none'], ['ok 1', 'ok 2']])
  const refused = ['NOT_ENOUGH_IN_SYNC', 'NOT_ENOUGH_IN_SYNC']
  assert.equal(await run({ whenUnderReplicated: 'refuse' }), [refused, refused])
})

test('throttled is shown as long as an answer had to wait lately', async () => {
  const side = bounded({ maxLoss: { entries: 1 } })
  assert.is(side.ingest.takeThrottled(), false)
  await writes(side, 2)
  assert.is(side.ingest.takeThrottled(), true)
  safe(side, 2)
  assert.is(side.ingest.takeThrottled(), true, 'since it was asked last')
  assert.is(side.ingest.takeThrottled(), false)
})

test('settings are checked', () => {
  const of = (command: object) => spaceSettingsOf(command as Record<string, unknown>)
  const plain = { replicas: 2, ack: 'durable', minInSync: 2 }
  assert.equal(of({}), plain)
  assert.equal(of({ maxLoss: { ms: 5, entries: 9 }, whenUnderReplicated: 'wait' }), { ...plain,
    maxLoss: { entries: 9, ms: 5 }, whenUnderReplicated: 'wait' })
  for (const maxLoss of [null, 5, {}, { entries: 0 }, { entries: 1.5 }, { writes: 3 }, []]) {
    assert.match(String(of({ maxLoss })), /maxLoss/)
  }
  assert.match(String(of({ whenUnderReplicated: 'panic' })), /whenUnderReplicated/)
  for (const reconcile of ['automatic', 'manual', 'off'] as const) {
    assert.equal(of({ reconcile }), { ...plain, reconcile })
    const shown = showSettings(of({ reconcile }) as SpaceSettings)
    assert.ok(shown.endsWith(`, reconcile ${reconcile}`))
  }
  assert.match(String(of({ reconcile: 'later' })),
    /^reconcile must be one of automatic, manual, off/)
  assert.not.match(showSettings(of({}) as SpaceSettings), /reconcile/)
  assert.equal(of({ keys: { count: 5 } }), { ...plain, keys: { count: 5 } })
  assert.match(String(of({ keys: { age: 5 } })), /keys must have/)
})

test.run()
