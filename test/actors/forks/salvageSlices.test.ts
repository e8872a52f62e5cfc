/** The contents of a salvage, and how they are cut into messages. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { noteOf, Salvage } from '../../../actors/forks/salvageSlices.js'
import { Uploader } from '../../../actors/forks/uploader.js'
import type { HostedActor } from '../../../actors/host/actorHost.js'
import type { Member } from '../../../actors/member/member.js'
import type { Frame } from '../../../actors/ports/frames.js'
import type { OpenSalvage, SalvageHeader } from '../../../actors/ports/journal.js'
import type { Operation } from '../../../machines/graph/graph.js'
import type { ForkNote, Reconciliation } from '../../../machines/log/forkNotes.js'
import type { SalvagedWrite } from '../../../machines/protocol/messages.js'
import type { ReconciliationEffect, ReconciliationEvent,
  reconciliationMachine } from '../../../machines/reconciliation.js'
import { createClientCodec, LOGGED_BYTES_MAX } from '../../../runtime/codec/clientCodec.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { encodeOperation } from '../../../runtime/codec/operation.js'
import { codec, quiet, uuid } from '../../support/actorKit.js'

const test = suite('salvage slices')
const control = controlCodec()

interface Sent {
  readonly operations: readonly (Operation | ForkNote)[]
  readonly key: string | null
  readonly reconciliation?: Reconciliation
}

function frameOf(first: number, requests: readonly Sent[], node = 'n1', epoch = 3): Frame {
  const builder = codec.builder()
  for (const { operations, key, reconciliation } of requests) {
    const encoded = operations.map((operation) =>
      codec.encodeEntry(operation, reconciliation ?? null)
    )
    builder.add({ operations, encoded, key }, 1_700_000_000_000)
  }
  return builder.seal({
    uuid,
    epoch,
    first,
    previousEpoch: first === 1 ? 0 : epoch,
    node: `${node}@${epoch}`,
    clock: {},
  })
}

const touch = (nodeId: string): Operation => ({ type: 'UpdateActivation', nodeId, activation: 0.5 })
const single = (index: number): Sent => ({ operations: [touch(`s${index}`)], key: null })
const batch = (count: number, key: string, content = ''): Sent => ({
  key,
  operations: Array.from({ length: count },
    (_, index) => ({ type: 'StoreNode', node: { id: `b${index}`, content } })),
})
const many = (count: number): Sent[] => Array.from({ length: count }, (_, index) => single(index))

const bytesOf = (write: SalvagedWrite): number => control.encode(write).length

const header: SalvageHeader = {
  space: 'demo',
  uuid,
  node: 'n1',
  common: { epoch: 2, sequence: 0 },
  end: { epoch: 3, sequence: 50_000 },
  joinedEpoch: 4,
  savedAtMs: 0,
}

/** A file of those frames; counts what is read of it. */
function fileOf(frames: readonly Frame[]) {
  const reads = { opened: 0, closed: 0, frames: 0 }
  const open = (): Promise<OpenSalvage> => {
    reads.opened += 1
    let at = 0
    return Promise.resolve({
      header,
      next: () => {
        reads.frames += 1
        return Promise.resolve(frames[at++] ?? null)
      },
      close: () => {
        reads.closed += 1
        return Promise.resolve()
      },
    })
  }
  return { open, reads }
}

/** All slices, each of which a primary takes. */
async function slicesOf(frames: readonly Frame[]): Promise<(readonly SalvagedWrite[])[]> {
  const { open, reads } = fileOf(frames)
  const salvage = new Salvage(open, codec, bytesOf)
  const slices: (readonly SalvagedWrite[])[] = []
  for (let sent = 0, isLast = false; !isLast;) {
    const [slice, again] = await Promise.all([salvage.slice(sent), salvage.slice(sent)])
    assert.equal(again, slice, 'it may be asked for again')
    const message = {
      kind: 'slice',
      space: 's'.repeat(64),
      uuid,
      node: 'n'.repeat(64),
      epoch: 2 ** 33,
      number: 2 ** 33,
      salvage: `${'x'.repeat(240)}.salvage`,
      ...slice,
    }
    const decoded = control.ackMessage(control.encode(message))
    assert.ok(decoded.ok, JSON.stringify(decoded).slice(0, 200))
    assert.ok(slice.writes.length > 0 || slice.isLast)
    slices.push(slice.writes)
    sent += slice.writes.length
    isLast = slice.isLast
  }
  await salvage.close()
  assert.equal(reads, { opened: 1, closed: 1, frames: frames.length + 1 }, 'each is read once')
  return slices
}

const lengths = async (slices: Promise<readonly (readonly unknown[])[]>) =>
  (await slices).map(({ length }) => length)

test('a slice ends before the request that would pass its bounds', async () => {
  for (const count of [2, 898, 1000]) {
    const slices = slicesOf([frameOf(1, [...many(127), batch(count, 'k'), single(200)])])
    assert.equal(await lengths(slices), count === 2 ? [127, 3] : [127, count, 1])
  }
  const content = 'x'.repeat(390)
  assert.equal(
    await lengths(slicesOf([frameOf(1, [single(1), batch(700, 'k', content), single(2)])])),
    [1, 700, 1],
  )
  const heavy = { ...batch(1, '', 'x'.repeat(50_000)), key: null }
  assert.equal(await lengths(slicesOf([frameOf(1, Array.from({ length: 5 }, () => heavy))])), [2, 2,
    1])
})

test('over many frames, those without writes too, all comes once and in order', async () => {
  const note: Sent = {
    operations: [{ type: 'ForkNote', note: 'gone', name: 'a.salvage', node: 'n1' }],
    key: null,
  }
  const frames = [frameOf(1, many(100)), frameOf(101, [note]), frameOf(102, many(60)),
    frameOf(162, [batch(97, 'k')]), frameOf(259, many(1)), frameOf(260, [note])]
  const slices = await slicesOf(frames)
  assert.equal(slices.map(({ length }) => length), [128, 32, 98])
  assert.equal(slices.flat().map(({ origin: { sequence } }) => sequence),
    Array.from({ length: 259 }, (_, index) => index + 1).filter((sequence) => sequence !== 101))
  assert.equal(await slicesOf([]), [[]])
})

test('the largest request that is accepted fits into one message', async () => {
  const size = Math.floor(LOGGED_BYTES_MAX / 1000)
  const empty = encodeOperation({ type: 'StoreNode',
    node: { id: 'a000', content: 'x'.repeat(300) } })
  const content = 'x'.repeat(300 + size - empty.length)
  const operations = Array.from({ length: 1000 },
    (_, index): Operation => ({ type: 'StoreNode',
      node: { id: `a${String(index).padStart(3, '0')}`, content } }))
  const validated = createClientCodec().write(
    Buffer.from(JSON.stringify({ operations }).replaceAll(content, 'x')),
    'application/json',
    'k',
  )
  assert.ok(validated.ok)
  assert.ok(operations.reduce((sum, one) => sum + encodeOperation(one).length, 0)
    > LOGGED_BYTES_MAX - 1000)
  const reconciliation: Reconciliation = {
    origin: { epoch: 2 ** 33, sequence: 2 ** 40, node: 'n'.repeat(64) },
    timestamp: 2 ** 40,
    outcome: 'merged',
    displaces: 'nothing',
    via: 'salvage',
  } as Reconciliation
  const key = 'k'.repeat(256)
  const frame = frameOf(2 ** 34, [{ operations, key, reconciliation }], 'n1', 2 ** 33)
  assert.equal(await lengths(slicesOf([frame])), [1000])
})

test('a write that fits into no message is reported, and not sent again and again', async () => {
  const frame = frameOf(1, [single(1), batch(700, 'k'), batch(700, 'k')])
  const salvage = new Salvage(fileOf([frame]).open, codec, bytesOf)
  const error = await salvage.slice(1).then(() => null, (fault: Error) => fault)
  assert.match(error?.message ?? '', /1400 writes/)
})

test('a salvage of thousands of frames is read once, and one frame of it is in memory', async () => {
  const frames = Array.from({ length: 3000 }, (_, index) => frameOf(index * 3 + 1, many(3)))
  const { open, reads } = fileOf(frames)
  const salvage = new Salvage(open, codec, bytesOf)
  for (let sent = 0; sent < 9000;) {
    const { writes } = await salvage.slice(sent)
    sent += writes.length
    assert.ok(reads.frames * 3 <= sent + 3, 'not read ahead')
  }
  assert.is(reads.frames, 3001)
  const again = await salvage.slice(1000)
  assert.is(again.writes[0]?.origin.sequence, 1001, 'another epoch begins anew')
  assert.equal([reads.opened, reads.closed], [2, 1])
})

test('a note gives way to what else there is to do', async () => {
  const frames = Array.from({ length: 100 }, (_, index) => frameOf(index * 500 + 1, many(500)))
  let pauses = 0
  const source = await fileOf(frames).open()
  const note = await noteOf('a.salvage', 'n1', source, codec, async () => {
    pauses += 1
  })
  assert.equal(note.spans, [{ epoch: 3, last: 50_000, writes: 50_000 }])
  assert.ok(pauses >= 20, `${pauses} pauses`)
})

test('a commit is awaited while the salvage is settling, and no longer', () => {
  for (const next of ['waiting', 'offering', 'merging', 'unusable']) {
    const sent: ReconciliationEvent[] = []
    const actor = { send: (event: ReconciliationEvent) => sent.push(event) }
    const member = {
      space: 'demo',
      self: 'n1',
      log: { commitSequence: 5, durable: { sequence: 9 }, epochAt: () => 4 },
      context: {
        self: { node: 'n1' },
        wire: { publish: () => undefined },
        ports: { logger: quiet, telemetry: { count: () => undefined }, clock: { wallMs: () => 0 } },
      },
    }
    const role = new Uploader({
      member: member as unknown as Member,
      current: () => null,
      isSafe: () => false,
      onOver: () => undefined,
    })
    const perform = (effect: ReconciliationEffect) =>
      role.spec().effects!(
        effect,
        actor as unknown as HostedActor<typeof reconciliationMachine>,
      )
    perform({ type: 'awaitCommit', epoch: 4, sequence: 9 })
    perform({ type: 'progressed', state: 'settling', reason: '' })
    role.tick()
    assert.equal(sent, [])
    perform({ type: 'progressed', state: next, reason: '' })
    member.log.commitSequence = 9
    role.tick()
    assert.equal(sent, [], next)
  }
})

test.run()
