/** The subjects an answer may go to, its size, and the headers that are refused. */
import { decode } from '@msgpack/msgpack'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { errorAnswer, prefixFault } from '../../../actors/messaging/answers.js'
import { headerFault, readHeaders, writeHeaders } from '../../../actors/messaging/headers.js'
import type { BusMessage } from '../../../actors/ports/bus.js'
import type { Telemetry } from '../../../actors/ports/system.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { answersOver, message, quiet } from '../../support/actorKit.js'

const test = suite('answers')

function kit(over: Parameters<typeof answersOver>[2] = {}) {
  const clock = new VirtualClock()
  const sent: { to: string; data: Uint8Array }[] = []
  const counts = new Map<string, number>()
  const warnings: object[] = []
  const telemetry: Telemetry = {
    count: (name, by = 1) => void counts.set(name, (counts.get(name) ?? 0) + by),
    observe: () => undefined,
  }
  const answers = answersOver(clock, (to, data) => void sent.push({ to, data }), {
    telemetry,
    logger: { ...quiet, warn: (fields) => void warnings.push(fields) },
    ...over,
  })
  return { clock, answers, sent, counts, warnings }
}

const from = (reply: string | undefined): BusMessage => message({}, {}, reply)

test('clients are answered below their prefixes, nodes below their own, too', () => {
  const { answers, counts } = kit({ replyPrefixes: ['_INBOX', 'team.replies'] })
  const inboxes = ['_INBOX.a', '_INBOX.a.b', '_INBOX.HJZU.1', 'team.replies.x', '_INBOX.é']
  const ofNodes = ['_INBOX_node.a.1']
  const none = [
    '',
    '$KV.engram.space.demo',
    '$JS.API.STREAM.CREATE.x',
    '$SYS.x',
    'engram.v1.write.demo',
    '_INBOX',
    '_INBOX.',
    '_INBOX.a.',
    '_INBOX..a',
    '_INBOX.>',
    '_INBOX.*',
    '_INBOX.a.*.b',
    '_INBOX.a b',
    '_INBOX.a\0',
    '_INBOXES.a',
    '_INBOX_node',
    'team.a',
    'team.replies',
    'x',
  ]
  for (const reply of inboxes) {
    assert.is(answers.asker(from(reply))?.reply, reply, reply)
    for (const asking of ['reads', 'commands', 'nodes'] as const) {
      assert.is(answers.asker(from(reply), asking)?.reply, reply, reply)
    }
  }
  for (const reply of ofNodes) {
    assert.is(answers.asker(from(reply)), null, reply)
    assert.is(answers.asker(from(reply), 'reads'), null, reply)
    assert.is(answers.asker(from(reply), 'commands')?.reply, reply, reply)
    assert.is(answers.asker(from(reply), 'nodes')?.reply, reply, reply)
  }
  for (const reply of none) {
    assert.is(answers.asker(from(reply)), null, reply)
    assert.is(answers.asker(from(reply), 'nodes'), null, reply)
  }
  assert.is(counts.get('repliesForbidden'), 2 * (ofNodes.length + none.length))
  assert.is(answers.asker(from(undefined))?.reply, undefined, 'nobody waits: no harm')
})

test('answers that clients do not take hold up no other node, and reads hold up no write', () => {
  const ways: unknown[] = []
  const answers = answersOver(new VirtualClock(), (to, _, way) => void ways.push([to, way]))
  for (const asking of ['writes', 'reads', 'commands', 'nodes'] as const) {
    const asker = answers.asker(from(`_INBOX.${asking}`), asking)!
    answers.answer(asker, { ok: true })
    answers.answer(asker, errorAnswer('OVERLOADED', 'much to do'))
  }
  answers.refuse(from('_INBOX.refused'), 'OVERLOADED', 'much to do')
  assert.equal(ways, [
    ['_INBOX.writes', 'writes'],
    ['_INBOX.writes', 'writes'],
    ['_INBOX.reads', 'reads'],
    ['_INBOX.reads', 'reads'],
    ['_INBOX.commands', 'reads'],
    ['_INBOX.commands', 'reads'],
    ['_INBOX.nodes', undefined],
    ['_INBOX.nodes', undefined],
    ['_INBOX.refused', 'writes'],
  ])
})

test('many of them are one line in the log, with their number', () => {
  const { answers, clock, warnings } = kit()
  for (let count = 0; count < 1000; count += 1) answers.asker(from('$KV.engram.space.demo'))
  assert.is(warnings.length, 1)
  clock.advance(10_000)
  answers.asker(from('$KV.engram.space.demo'))
  assert.equal(warnings.map((fields) => (fields as { requests: number }).requests), [1, 1000])
})

test('an answer that does not fit is an error that does, in the same encoding', () => {
  for (const encoding of ['json', 'msgpack'] as const) {
    const { answers, sent, counts } = kit({ maxPayload: 1000 })
    const asker = { reply: '_INBOX.a', encoding }
    answers.answer(asker, { ok: true, value: 'x'.repeat(900) })
    answers.answer(asker, { ok: true, value: 'x'.repeat(1000) })
    answers.answer(asker, new Uint8Array(1001))
    assert.equal(sent.map(({ to }) => to), ['_INBOX.a', '_INBOX.a', '_INBOX.a'])
    const [fits, ...errors] = sent.map(({ data }) =>
      encoding === 'json'
        ? JSON.parse(Buffer.from(data).toString()) as Record<string, unknown>
        : decode(data) as Record<string, unknown>
    )
    assert.is(fits!['ok'], true)
    for (const error of errors) {
      assert.equal([error['code'], error['outcome']], ['PAYLOAD_TOO_LARGE', 'notTaken'])
      assert.match(error['message'] as string, /of at most 1000 \(max_payload.*raise max_payload/)
    }
    assert.is(counts.get('answersTooLarge'), 2)
  }
})

test('without a connection nothing is sent, and nothing is logged', () => {
  const { answers, sent, warnings } = kit({ maxPayload: 0 })
  answers.answer({ reply: '_INBOX.a', encoding: 'json' }, errorAnswer('INTERNAL', 'x'))
  assert.equal([sent.length, warnings.length], [0, 0])
})

test('a refusal is answered as the request looks', () => {
  const { answers, sent } = kit()
  answers.refuse(message(Buffer.from([0x81]), {}, '_INBOX.a'), 'INTERNAL', 'no')
  answers.refuse(message(Buffer.from('hello'), {}, '_INBOX.a'), 'INTERNAL', 'no')
  answers.refuse(message({}, { 'Content-Type': 'application/msgpack' }, '_INBOX.a'), 'INTERNAL',
    'no')
  assert.equal(sent.map(({ data }) => data[0] === 0x7b), [false, true, false])
})

test('prefixes that would lead to what NATS and Engram use are refused', () => {
  for (const fine of ['_INBOX', '_INBOX.writer', 'team.replies', '_INBOX_node']) {
    assert.is(prefixFault(fine), null, fine)
  }
  for (const bad of ['', '$KV', '$JS.API', 'engram', 'engram.v1', '>', '*', 'a.*', 'a..b', 'a b']) {
    assert.ok(prefixFault(bad), bad)
  }
})

test('headers that would be overlooked are refused, and named', () => {
  const fault = (names: readonly string[] | null, known = writeHeaders as readonly string[]) =>
    headerFault({ ...message({}), headerNames: () => names }, known)
  for (const fine of [
    [],
    ['Nats-Msg-Id', 'Engram-Ack', 'Engram-Epoch', 'Engram-Origin', 'Engram-Forwarded'],
    ['Content-Type', 'content-type', 'X-Trace', 'Nats-Expected-Stream', 'Engrams', 'K', 'K'],
  ]) assert.is(fault(fine), null, fine.join())
  assert.match(fault(null)!, /malformed/)
  assert.match(fault(['nats-msg-id'])!, /nats-msg-id must be spelt Nats-Msg-Id/)
  assert.match(fault(['ENGRAM-ACK'])!, /ENGRAM-ACK must be spelt Engram-Ack/)
  assert.match(fault(['Engram-Ack', 'K', 'Engram-Ack'])!, /Engram-Ack is given twice/)
  const unknown = fault(['Engram-Acks'])!
  assert.match(unknown, /unknown header Engram-Acks; this request may have Nats-Msg-Id, Engram-Ack/)
  assert.not.match(unknown, /Forwarded/, 'that one is not for clients')
  assert.match(fault(['engram-x'])!, /unknown header engram-x;/)
  assert.match(fault([`Engram-${'x'.repeat(5000)}`])!, /^.{0,200}$/)
  assert.match(fault(['Engram-Ack'], readHeaders)!, /unknown header Engram-Ack;/)
  assert.is(fault(['Engram-Read', 'Nats-Msg-Id'], readHeaders), null)
})

test.run()
