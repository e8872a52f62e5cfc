/** Pages of the log, of which entries are given up while it is read. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Member } from '../../../actors/member/member.js'
import type { ListEncoder } from '../../../actors/ports/clientApi.js'
import type { Frame } from '../../../actors/ports/frames.js'
import { EntriesGoneError } from '../../../actors/ports/journal.js'
import { ReadPage } from '../../../actors/reads/readPages.js'
import type { Found } from '../../../actors/reads/readPages.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { clients, codec, uuid } from '../../support/actorKit.js'
import { frameOf } from '../../support/journalKit.js'

const test = suite('read pages')

/** A log of 20 entries, a frame each; `read` is called before a frame is read. */
function kit(read: (from: number) => void = () => {}) {
  const log = {
    base: 0,
    framesFrom: async (from: number): Promise<Frame[]> => {
      read(from)
      if (from <= log.base) throw new EntriesGoneError(uuid, from, log.base + 1)
      return from > 20 ? [] : [frameOf(uuid, from)]
    },
  }
  const member = {
    log,
    context: {
      ports: { clock: new VirtualClock(), frames: codec, clients },
      wire: { maxPayload: 1 << 20 },
      settings: { answerBytesMax: 1 << 19 },
    },
  } as unknown as Member
  const ask = (from: number, limit = 10): Promise<Found> =>
    new ReadPage(member, 'json', 20, {} as never).ofLog({ type: 'GetEntries', from, limit })
  return { log, ask }
}

function sequencesOf(found: Found): unknown {
  if (found.kind !== 'list') return found
  const bytes = (found.list as ListEncoder).answer({ ok: true, sequence: 20, epoch: 1, node: 'n1',
    role: 'primary', stalenessMs: 0 })
  const { value } = JSON.parse(Buffer.from(bytes).toString()) as { value: { sequence: number }[] }
  return value.map(({ sequence }) => sequence)
}

function firstOf(found: Found): unknown {
  return found.kind === 'error' && [found.answer.code, found.answer.firstSequence]
}

test('a page that begins below the first retained entry is refused, in memory or not', async () => {
  const { log, ask } = kit()
  log.base = 12
  for (const from of [1, 12]) assert.equal(firstOf(await ask(from)), ['TRUNCATED', 13], `${from}`)
  assert.equal(sequencesOf(await ask(13, 3)), [13, 14, 15])
  log.framesFrom = async (from) => [frameOf(uuid, from)]
  assert.equal(firstOf(await ask(12)), ['TRUNCATED', 13], 'the latest frames are in memory')
  log.base = 20
  assert.equal(firstOf(await ask(20)), ['TRUNCATED', 21], 'no entry is kept')
  assert.equal(sequencesOf(await ask(21)), [])
})

test('a page that meets a removal on the way ends there, and says that there is more', async () => {
  const { log, ask } = kit((from) => {
    if (from === 4) log.base = 6
  })
  const page = await ask(1)
  assert.equal([sequencesOf(page), page.kind === 'list' && page.after], [[1, 2, 3], 3])
  assert.equal(firstOf(await ask(4)), ['TRUNCATED', 7])
})

test('a page whose first entry goes while it is read is refused', async () => {
  const { log, ask } = kit((from) => {
    if (from === 4) log.base = 6
  })
  assert.equal(firstOf(await ask(4)), ['TRUNCATED', 7])
})

test('any other failure of the log is one', async () => {
  const { ask } = kit((from) => {
    if (from === 4) throw new Error('EIO')
  })
  const error = await ask(1).catch((e: unknown) => e)
  assert.instance(error, Error)
})

test.run()
