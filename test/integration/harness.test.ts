/** The tests' own tools: a checker that finds nothing proves nothing. */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { LogEntry } from '../../machines/log/entries.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { Link } from '../../runtime/cluster/faultProxy.js'
import { Broker } from '../support/broker.js'
import { Client, connectTo, decodeBody, encodeBody, refused } from '../support/client.js'
import { space } from '../support/cluster.js'
import { removeTemporary, temporaryDirectory } from '../support/environment.js'
import { History, type FinalState } from '../support/history.js'
import { scenario, suite } from '../support/scenario.js'
import { lasting, waitFor } from '../support/wait.js'
import { LoadWriter } from '../support/writer.js'

const harness = suite('integration: the harness itself')

interface Said {
  key: string
  epoch: number
  sequence: number
  level?: AckLevel
  node?: string
  duplicate?: boolean
}

/** A history of the answers in this order, each request sent just before its answer. */
function historyOf(...answers: Said[]): History {
  const history = new History()
  for (const { key, epoch, sequence, level = 'durable', node, duplicate = false } of answers) {
    const sentTick = history.tick()
    history.records.push({
      key,
      nodeId: key,
      level,
      outcome: 'taken',
      attempts: [{
        sentTick,
        sentAtMs: sentTick,
        answeredTick: history.tick(),
        answeredAtMs: sentTick + 1,
        answer: { ok: true, space, epoch, sequence, count: 1, ack: level, safeSequence: 0,
          node: node ?? `n${epoch}`, duplicate },
      }],
    })
  }
  return history
}

const entry = (sequence: number, epoch: number, writeId: string | null): LogEntry => ({
  sequence,
  epoch,
  writeId,
  timestamp: 1,
  vectorClock: {},
  operation: { type: 'UpdateActivation', nodeId: 'x', activation: 0 },
})

function stateOf(logs: Record<string, LogEntry[]>, salvaged: LogEntry[] = []): FinalState {
  return {
    logs: new Map(Object.entries(logs)),
    salvaged: salvaged.map((one) => ({ ...one, file: 'f' })),
  }
}

const a = { key: 'a', epoch: 1, sequence: 1 }
const b = { key: 'b', epoch: 2, sequence: 2 }
const whole = [entry(1, 1, 'a'), entry(2, 2, 'b')]

harness('a sound history has no violations', () => {
  assert.equal(historyOf(a, b).violations(stateOf({ n1: whole, n2: whole })), [])
  const forked = [entry(1, 2, 'b')]
  const final = stateOf({ n1: forked, n2: forked }, [entry(1, 1, 'a')])
  assert.equal(historyOf(a, { ...b, sequence: 1 }).violations(final), [])
  assert.equal(historyOf(a, b, { ...a, duplicate: true, node: 'n2' })
    .violations(stateOf({ n1: whole })), [], 'a duplicate states the epoch of the first taking')
})

const faults: readonly (readonly [what: string, History, FinalState, RegExp])[] = [
  ['a committed write is missing', historyOf({ ...a, level: 'committed' }),
    stateOf({ n1: [entry(1, 1, 'a')], n2: [] }), /lost on n2 \(I5\)/],
  ['a committed write is only salvaged', historyOf({ ...a, level: 'committed' }),
    stateOf({ n1: [] }, [entry(1, 1, 'a')]), /I5/],
  ['a durable write is nowhere', historyOf(a), stateOf({ n1: [entry(1, 1, 'z')] }), /I6/],
  ['a durable write is in another place', historyOf(a),
    stateOf({ n1: [entry(1, 1, 'z'), entry(2, 1, 'a')] }), /I6/],
  ['a key has two entries', historyOf(a), stateOf({ n1: [entry(1, 1, 'a'), entry(2, 1, 'a')] }),
    /I7/],
  ['the epoch goes back', historyOf(b, a), stateOf({ n1: whole }), /I2/],
  ['an epoch has two holders', historyOf(a, { ...b, epoch: 1, node: 'n2' }),
    stateOf({ n1: [entry(1, 1, 'a'), entry(2, 1, 'b')] }), /I1/],
  ['a place has two keys', historyOf(a, { ...a, key: 'b' }), stateOf({ n1: whole }), /two keys/],
  ['logs differ', historyOf(a), stateOf({ n1: whole, n2: [entry(1, 1, 'a'), entry(2, 2, 'c')] }),
    /I3/],
  ['a log is shorter', historyOf(a), stateOf({ n1: whole, n2: whole.slice(0, 1) }), /I3/],
  ['a log has a hole', historyOf(a), stateOf({ n1: [entry(1, 1, 'a'), entry(3, 1, 'b')] }),
    /3 at place 2/],
]
for (const [what, history, final, expected] of faults) {
  harness(`found: ${what}`, () => {
    const wrong = history.violations(final)
    assert.match(wrong.join('\n'), expected)
    assert.throws(() => history.assertSound(final), expected)
  })
}

harness('an old answer that was asked for before the new one is no violation', () => {
  const history = historyOf(b, a)
  const [, late] = history.records
  assert.ok(late?.attempts[0])
  late.attempts[0] = { ...late.attempts[0], sentTick: 0 }
  assert.equal(history.violations(stateOf({ n1: whole })), [])
})

scenario(harness, 'the writer keeps its key over losses, delays and restarts', async (stage) => {
  const directory = temporaryDirectory('harness')
  stage.onEnd(() => removeTemporary(directory))
  const broker = await Broker.start(join(directory, 'broker'))
  stage.onEnd(() => broker.kill())
  const link = await Link.open(broker.url)
  stage.onEnd(() => link.close())

  const nc = await connectTo(link.url, 'stand-in for a primary')
  stage.onEnd(() => nc.close())
  refused(await new Client(nc, space).read({}), 'NO_RESPONDERS', 'nobody serves yet')
  const log: LogEntry[] = []
  const known = new Map<string, number>()
  let requests = 0
  nc.subscribe(subjects.write(space), {
    callback: (_error, message) => {
      requests += 1
      const key = message.headers?.get('Nats-Msg-Id') ?? ''
      const { type } = decodeBody(message.data) as { type: string }
      assert.is(type, 'StoreNode')
      const duplicate = known.has(key)
      const sequence = known.get(key) ?? log.length + 1
      if (!duplicate) {
        log.push(entry(sequence, 1, key))
        known.set(key, sequence)
      }
      // Every seventh answer is lost, every eleventh refused.
      if (requests % 7 === 0) return
      message.respond(encodeBody(requests % 11 === 0
        ? { ok: false, code: 'LEASE_LAPSED', message: 'm', outcome: 'unknown', retryable: true }
        : { ok: true, space, epoch: 1, sequence, count: 1, ack: 'durable', safeSequence: 0,
          node: 'n1', duplicate }))
    },
  })
  await nc.flush()
  const writer = await LoadWriter.start(
    { url: broker.url, ratePerSecond: 400, attemptTimeoutMs: 150 },
  )
  stage.onEnd(() => writer.close())
  await writer.taken(100)
  link.stall()
  await lasting(400)
  link.heal()
  await writer.taken(100)
  link.cut()
  await waitFor('503 for lack of a primary', () => writer.history.failures().has('NO_RESPONDERS'))
  link.heal()
  await writer.taken(100)
  await broker.kill()
  await broker.start()
  await writer.taken(100)
  const history = await writer.stop()
  assert.is(history.takenCount, history.records.length, history.summary())
  assert.ok(history.failures().has('LEASE_LAPSED'), history.summary())
  assert.ok(history.positives().some(({ answer }) => answer.duplicate), history.summary())
  history.assertSound(stateOf({ n1: log }))
})

harness.run()
