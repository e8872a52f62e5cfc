/** A node's status: in pages, in slices, and computed once for simultaneous requests. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeContext } from '../../../actors/member/context.js'
import type { NodeConnection } from '../../../actors/messaging/connection.js'
import { workLanes } from '../../../actors/messaging/workLanes.js'
import { StatusService } from '../../../actors/node/statusService.js'
import { defaultSettings } from '../../../actors/ports/defaultSettings.js'
import type { SpaceActor } from '../../../actors/space/space.js'
import { Sorted } from '../../../actors/structures/sorted.js'
import { compareUtf8 } from '../../../machines/graph/utf8.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { answersOver, message, rethrow } from '../../support/actorKit.js'

const test = suite('status service')

interface Page {
  readonly node?: string
  readonly spaces?: readonly { readonly space: string }[]
  readonly more?: true
  readonly after?: string
  readonly code?: string
}

function kit(names: readonly string[], over: { memberBytes?: number; maxPayload?: number } = {}) {
  const { memberBytes = 10, maxPayload = 1 << 20 } = over
  const clock = new VirtualClock()
  const answered: { to: string; page: Page; bytes: number }[] = []
  const wire = { maxPayload, bufferedBytes: 0 } as NodeConnection
  const answers = answersOver(clock, (to, data) => {
    answered.push({ to, page: JSON.parse(Buffer.from(data).toString()) as Page,
      bytes: data.length })
  }, { maxPayload })
  const lanes = workLanes(clock, defaultSettings, wire, rethrow)
  const spaces = new Map<string, SpaceActor>()
  const sorted = new Sorted<string>(compareUtf8)
  const hold = (name: string): void => {
    spaces.set(name, { space: name } as SpaceActor)
    sorted.put(name)
  }
  for (const name of names) hold(name)
  const rendered = { heads: 0, members: 0 }
  const service = new StatusService({
    context: { answers, lanes, wire, settings: defaultSettings } as NodeContext,
    spaces,
    names: sorted,
    reporter: {
      who: () => ({ type: 'who', spaces: spaces.size }),
      head: () => {
        rendered.heads += 1
        return { node: 'n1' }
      },
      member: ({ space }) => {
        rendered.members += 1
        return { space, rest: 'x'.repeat(memberBytes) }
      },
    },
  })
  let replies = 0
  const ask = (question: object | string = '', prefix = '_INBOX.r'): string => {
    const reply = `${prefix}.${replies += 1}`
    const data = Buffer.from(typeof question === 'string' ? question : JSON.stringify(question))
    service.onMessage(message(data, {}, reply))
    return reply
  }
  const pageOf = (reply: string): Page => answered.find(({ to }) => to === reply)!.page
  return { clock, lanes, service, answered, rendered, ask, pageOf, hold, wire }
}

const namesOf = (page: Page): string[] => page.spaces!.map(({ space }) => space)
const many = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `s${String(index).padStart(5, '0')}`)

test('a waiting question counts with its reply subject and text, and leaves all of it', () => {
  const { clock, lanes, ask, pageOf } = kit(['a'])
  const prefix = `_INBOX.${'r'.repeat(3000)}`
  const questions = Array.from({ length: 1000 },
    (_, at) => ask({ type: 'status', after: `${'a'.repeat(500)}${at}` }, prefix))
  assert.ok(lanes.status.heldBytes >= 3_000_000)
  assert.is(pageOf(questions.at(-1)!).code, 'OVERLOADED')
  clock.advance(1000)
  assert.is(lanes.status.heldBytes, 0)
})

test('whatever old clients send gets the whole status, by name, while that fits', () => {
  const { clock, ask, pageOf } = kit(['b', 'a', 'c'])
  const replies = [ask(), ask({}), ask({ type: 'status' })]
  clock.advance(0)
  for (const reply of replies) {
    assert.equal(namesOf(pageOf(reply)), ['a', 'b', 'c'])
    assert.equal([pageOf(reply).more, pageOf(reply).after], [undefined, undefined])
  }
})

test('else a first page, and how to go on; pages by a limit, too', () => {
  const names = many(3000)
  const { clock, ask, pageOf, answered } = kit(names, { memberBytes: 1000 })
  const found: string[] = []
  let question: object | string = ''
  for (let count = 0; count < 20; count += 1) {
    const reply = ask(question)
    clock.advance(0)
    const page = pageOf(reply)
    found.push(...namesOf(page))
    if (!page.more) break
    question = { type: 'status', after: page.after }
  }
  assert.equal(found, names)
  assert.is(answered.length, 6)
  assert.ok(answered.every(({ bytes }) => bytes <= 512 * 1024), 'no page is larger')
  const reply = ask({ type: 'status', after: 's00009', limit: 2 })
  clock.advance(0)
  assert.equal([namesOf(pageOf(reply)), pageOf(reply).after], [['s00010', 's00011'], 's00011'])
})

test('one space, of a page or alone; one that is not held', () => {
  const { clock, ask, pageOf } = kit(['a', 'b', 'c'], { memberBytes: 2_000, maxPayload: 3_500 })
  const replies = [ask(), ask({ type: 'status', space: 'b' }), ask({ type: 'status', space: 'x' })]
  clock.advance(0)
  assert.equal(replies.map((reply) => namesOf(pageOf(reply))), [['a'], ['b'], []])
  assert.equal(replies.map((reply) => pageOf(reply).after), ['a', undefined, undefined])
})

test('the question `who` takes no look at any space', () => {
  const { clock, ask, pageOf, rendered } = kit(many(5000))
  const reply = ask({ type: 'who' })
  clock.advance(0)
  assert.equal(pageOf(reply), { type: 'who', spaces: 5000 })
  assert.equal(rendered, { heads: 0, members: 0 })
})

test('a burst costs one report; who asks once it has begun gets another', () => {
  const { clock, lanes, ask, answered, rendered } = kit(many(10))
  for (let count = 0; count < 5000; count += 1) ask()
  assert.is(answered.length, 0)
  clock.advance(0)
  assert.equal([answered.length, rendered], [5000, { heads: 1, members: 10 }])
  ask()
  clock.advance(0)
  assert.equal([answered.length, rendered.heads], [5001, 2])
  for (let count = 0; count < 10_000; count += 1) ask({ type: 'who' })
  const { heldBytes } = lanes.status
  assert.ok(heldBytes <= 4 * 1024 * 1024 && heldBytes > 4 * 1024 * 1024 - 1024, 'bounded')
  clock.advance(0)
  assert.is(answered.length, 15_001)
  const refused = answered.filter(({ page }) => page.code === 'OVERLOADED').length
  assert.ok(refused > 2000 && refused < 3000, 'everybody is answered')
})

test('a long report is put together in many turns; what comes meanwhile is in it', () => {
  const { clock, ask, pageOf, hold } = kit(many(50))
  let busyMs = 0
  const now = clock.monotonicMs.bind(clock)
  // Each look at the clock is a millisecond of work.
  clock.monotonicMs = () => now() + (busyMs += 1)
  let turns = 0
  const nextTurn = clock.nextTurn.bind(clock)
  clock.nextTurn = (run) => {
    turns += 1
    if (turns === 5) hold('s00049 and later')
    nextTurn(run)
  }
  const reply = ask()
  clock.advance(0)
  assert.is(namesOf(pageOf(reply)).length, 51)
  assert.ok(turns > 10, `${turns} turns of the event loop`)
})

test('questions that make no sense, and those that nobody may be answered', () => {
  const { clock, ask, pageOf, answered, service } = kit(['a'])
  const wrong = [
    '[',
    '"x"',
    'null',
    '7',
    { type: 'x' },
    { after: 7 },
    { limit: 0 },
    { limit: 10_001 },
    { limit: 'x' },
    { space: 7 },
    'x'.repeat(5000),
  ].map((question) => ask(question))
  service.onMessage(message(Buffer.from(''), {}, '$KV.engram.space.demo'))
  service.onMessage(message(Buffer.from('')))
  clock.advance(0)
  assert.equal(new Set(wrong.map((reply) => pageOf(reply).code)), new Set(['INVALID_OPERATION']))
  assert.is(answered.length, wrong.length)
})

test.run()
