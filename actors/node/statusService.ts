import { compareUtf8 } from '../../machines/graph/utf8.js'
import type { NodeContext } from '../member/context.js'
import { errorAnswer } from '../messaging/answers.js'
import type { ReplyTarget } from '../messaging/answers.js'
import { keptBytes } from '../messaging/headers.js'
import type { BusMessage } from '../ports/bus.js'
import type { SpaceActor } from '../space/space.js'
import type { Sorted } from '../structures/sorted.js'

/** Makes the status of a node, as JSON, in pieces that are cheap: the node, and each space. */
export interface StatusReporter {
  /** A short answer for the discovery of nodes. */
  who(): object
  /** The node without its spaces. */
  head(): object
  member(space: SpaceActor): object
}

export interface StatusServiceOptions {
  readonly context: NodeContext
  readonly reporter: StatusReporter
  readonly spaces: ReadonlyMap<string, SpaceActor>
  /** Names of the spaces, sorted. */
  readonly names: Sorted<string>
}

/** Memory of a waiting request, besides its question and its reply subject. */
const askerBytes = 512
const limitMax = 10_000
const questionBytesMax = 4096
/** Part of a page beside the node and its spaces: the place to go on. */
const envelopeBytes = 1024

type Question =
  | { readonly type: 'who' }
  | {
    readonly type: 'status'
    /** Spaces by name, after this one. */
    readonly after: string
    readonly limit: number
    /** Only this one, if the node holds it. */
    readonly space: string | null
  }

interface Waiter {
  readonly asker: ReplyTarget
  readonly bytes: number
}

/**
 * Answers `engram.v1.status.<node>` and `…status._all`. Equal requests share one answer until it is
 * begun, so that a burst of requests costs one report, and their answers.
 */
export class StatusService {
  private readonly waiting = new Map<string, Waiter[]>()

  constructor(private readonly options: StatusServiceOptions) {}

  onMessage(message: BusMessage): void {
    const { answers, lanes: { status } } = this.options.context
    const asked = answers.asker(message, 'commands')
    if (asked?.reply === undefined) return
    const asker: ReplyTarget = { ...asked, encoding: 'json' }
    const question = questionOf(message.data)
    if (typeof question === 'string') {
      return answers.answer(asker, errorAnswer('INVALID_OPERATION', question))
    }
    const key = JSON.stringify(question)
    const bytes = askerBytes + keptBytes(message) + 2 * key.length
    if (!status.enter(bytes)) {
      return answers.answer(asker,
        errorAnswer('OVERLOADED', 'too many requests for status wait', { retryAfterMs: 100 }))
    }
    const others = this.waiting.get(key)
    if (others) {
      others.push({ asker, bytes })
      return
    }
    const askers = [{ asker, bytes }]
    this.waiting.set(key, askers)
    status.push(() => {
      this.waiting.delete(key)
      if (question.type === 'who') return this.send(askers, encode(this.options.reporter.who()))
      this.render(askers, this.pages(question))
    })
  }

  /** Makes a piece of the report in each slice. */
  private render(askers: readonly Waiter[], report: Generator<undefined, Uint8Array>): void {
    const { lanes: { status, queue } } = this.options.context
    for (;;) {
      const next = report.next()
      if (next.done) return this.send(askers, next.value)
      if (queue.isSliceOver) return status.push(() => this.render(askers, report))
    }
  }

  /** Sends as many answers in each slice as there is time for, and room on their way. */
  private send(askers: readonly Waiter[], bytes: Uint8Array, from = 0): void {
    const { answers, lanes: { status, queue } } = this.options.context
    for (let index = from; index < askers.length; index += 1) {
      if (index > from && queue.isSliceOver) {
        return status.push(() => this.send(askers, bytes, index))
      }
      const waiter = askers[index]!
      status.leave(waiter.bytes)
      answers.answer(waiter.asker, bytes)
    }
  }

  /** Adds spaces until the page is full, and at least one, so that paging gets on. */
  private *pages(
    { after, limit, space }: Extract<Question, { type: 'status' }>,
  ): Generator<undefined, Uint8Array> {
    const { reporter, spaces, context: { wire, settings } } = this.options
    const head = JSON.stringify(reporter.head()).slice(0, -1)
    const room = Math.min(settings.answerBytesMax, wire.maxPayload)
      - Buffer.byteLength(head) - envelopeBytes
    const members: string[] = []
    let bytes = 0
    let last = ''
    let isMore = false
    for (const name of space === null ? this.namesAfter(after) : [space]) {
      const held = spaces.get(name)
      if (!held) continue
      const text = JSON.stringify(reporter.member(held))
      bytes += Buffer.byteLength(text) + 1
      isMore = members.length >= limit || (bytes > room && members.length > 0)
      if (isMore) break
      members.push(text)
      last = name
      yield
    }
    const goOn = isMore ? `,"more":true,"after":${JSON.stringify(last)}` : ''
    return Buffer.from(`${head},"spaces":[${members.join(',')}]${goOn}}`)
  }

  /** Looked up one by one, since spaces may be added while a report is made. */
  private *namesAfter(after: string): Generator<string, undefined> {
    const { names } = this.options
    for (let last = after;;) {
      const next = names.from((name) => compareUtf8(name, last) <= 0).next()
      if (next.done) return
      yield next.value
      last = next.value
    }
  }
}

function encode(answer: object): Uint8Array {
  return Buffer.from(JSON.stringify(answer))
}

/** An empty payload, or an object without a type, requests the status. A string is the fault. */
function questionOf(data: Uint8Array): Question | string {
  if (data.length > questionBytesMax) return `a request takes ${questionBytesMax} bytes at most`
  let asked: unknown = {}
  try {
    if (data.length > 0) asked = JSON.parse(new TextDecoder().decode(data))
  } catch {
    return 'a request must be a JSON object'
  }
  if (typeof asked !== 'object' || asked === null) return 'a request must be a JSON object'
  const { type = 'status', after = '', limit = limitMax, space = null } = asked as Record<string,
    unknown>
  if (type === 'who') return { type }
  if (type !== 'status') return 'type must be who or status'
  if (typeof after !== 'string') return 'after must be the name of a space'
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > limitMax) {
    return `limit must be a whole number from 1 to ${limitMax}`
  }
  if (space !== null && typeof space !== 'string') return 'space must be the name of a space'
  return { type, after, limit: limit as number, space }
}
