/** A node's answers about what it has kept: pages, refusals, and no more work than a turn takes. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { BusMessage } from '../../../actors/ports/bus.js'
import { EventService } from '../../../runtime/inspect/eventService.js'
import { NodeRecorder } from '../../../runtime/inspect/recorder.js'
import { MemoryBroker } from '../../fakes/memoryBus.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { servingOver } from '../../support/inspectKit.js'

const test = suite('event service')

interface Answer {
  readonly ok: boolean
  readonly node: string
  readonly events?: readonly { readonly message?: string; readonly type: string }[]
  readonly before?: number | null
  readonly code?: string
  readonly message?: string
}

async function kit() {
  const clock = new VirtualClock()
  const broker = new MemoryBroker({ clock })
  const own = await broker.bus().connect()
  const asker = await broker.bus().connect()
  const recorder = new NodeRecorder({ node: 'n1', clock })
  recorder.begin(null)
  const serving = servingOver(clock, own)
  const service = new EventService({ node: 'n1', recorder, serving: () => serving })
  service.attach(own)
  const ask = async (request: unknown, to = 'n1'): Promise<Answer> => {
    const text = typeof request === 'string' ? request : JSON.stringify(request)
    const answer = asker.request(`engram.v1.status.${to}.events`, Buffer.from(text), {
      timeoutMs: 1_000,
    })
    await clock.advanceAsync(1)
    return answerOf(await answer)
  }
  const note = (message: string, space = 'demo'): void =>
    recorder.note(
      { type: 'notice', space, kind: 'blocked', isAlert: true, message, detail: {} },
    )
  return { clock, own, asker, recorder, service, ask, note }
}

function answerOf({ data }: BusMessage): Answer {
  return JSON.parse(Buffer.from(data).toString('utf8')) as Answer
}

test('the latest page, and from it back to the first event', async () => {
  const { ask, note } = await kit()
  for (let n = 0; n < 500; n += 1) note(`${n} ${'x'.repeat(300)}`)
  const found: string[] = []
  let before: number | null = null
  let pages = 0
  do {
    const answer: Answer = await ask({ before })
    assert.equal([answer.ok, answer.node], [true, 'n1'])
    assert.ok(JSON.stringify(answer).length < 66_000)
    found.unshift(...(answer.events ?? []).map(({ message = '' }) => message.split(' ')[0] ?? ''))
    before = answer.before ?? null
    pages += 1
  } while (before !== null)
  assert.equal(found, Array.from({ length: 500 }, (_, n) => `${n}`))
  assert.is(pages, 4)
})

test('asked by name or all at once, with or without a wish; of one space; of one type', async () => {
  const { ask, note, recorder } = await kit()
  note('a')
  note('b', 'other')
  recorder.note({ type: 'node', state: 'running', reason: 'r' })
  const types = ({ events = [] }: Answer): string[] =>
    events.map(({ message, type }) => message ?? type)
  assert.equal(types(await ask('')), ['a', 'b', 'node'])
  assert.equal(types(await ask({}, '_all')), ['a', 'b', 'node'])
  assert.equal(types(await ask({ space: 'other' })), ['b', 'node'])
  assert.equal(types(await ask({ types: ['node'] })), ['node'])
})

test('a malformed request is refused in words', async () => {
  const { ask } = await kit()
  for (const request of ['no JSON', '[]', '{"before":"x"}', '{"types":7}', 'x'.repeat(5_000)]) {
    const answer = await ask(request)
    assert.equal([answer.ok, answer.node, answer.code], [false, 'n1', 'MALFORMED'], request)
    assert.ok((answer.message ?? '').length > 5)
  }
})

test('a burst is answered, each of it, with a refusal where there is no room', async () => {
  const { clock, asker, note } = await kit()
  note('a')
  const answers: Answer[] = []
  asker.subscribe('_INBOX.a', (message) => answers.push(answerOf(message)))
  for (let n = 0; n < 20_000; n += 1) {
    asker.publish('engram.v1.status.n1.events', Buffer.from('{}'), { reply: '_INBOX.a' })
  }
  let early: readonly Answer[] = []
  clock.setTimeout(() => {
    early = [...answers]
  }, 0)
  await clock.advanceAsync(10)
  assert.is(answers.length, 20_000)
  const refused = answers.filter(({ ok }) => !ok)
  assert.ok(refused.every(({ code }) => code === 'OVERLOADED'))
  assert.is(early.length, refused.length, 'what is let in has its turn after what was received')
  assert.ok(early.every(({ ok }) => !ok))
  assert.ok(refused.length > 10_000 && refused.length < 15_000, `${refused.length} refused`)
})

test('a reply subject that is no inbox gets nothing', async () => {
  const { clock, asker, note } = await kit()
  note('a')
  const answers: unknown[] = []
  asker.subscribe('$KV.engram.space.demo', (message) => answers.push(message))
  asker.publish('engram.v1.status.n1.events', Buffer.from('{}'), { reply: '$KV.engram.space.demo' })
  await clock.advanceAsync(10)
  assert.equal(answers, [])
})

test('without a connection nothing is answered, and nothing waits for the next one', async () => {
  const { service, asker, clock, own } = await kit()
  service.attach(null)
  asker.publish('engram.v1.status.n1.events', Buffer.from('{}'), { reply: '_INBOX.a' })
  await clock.advanceAsync(5)
  const answers: unknown[] = []
  asker.subscribe('_INBOX.a', (message) => answers.push(message))
  service.attach(own)
  await clock.advanceAsync(5)
  assert.equal(answers, [])
})

test.run()
