/**
 * The notable events that a node keeps, for who comes late: JSON, a page at a time.
 *
 * | message | source → target | subject |
 * |---|---|---|
 * | events request; its answer | operator → node | `engram.v1.status.<node>.events` |
 * | the same | operator → all nodes | `engram.v1.status._all.events` |
 */
import { z } from 'zod'
import type {
  BusConnection, BusMessage, BusSubscription, Clock, Logger,
} from '../../actors/ports.js'
import { subjects } from '../../machines/subjects.js'
import { statusOfAll } from '../status.js'
import type { NodeRecorder } from './recorder.js'
import { faultOf } from './schema.js'

export const eventsOfAll = `${statusOfAll}.events`

const eventsRequest = z.object({
  /** Events of this space, and those of nodes. */
  space: z.string().max(64).optional(),
  types: z.array(z.string().max(64)).max(16).optional(),
  /** As the answer before said; null: the latest ones. */
  before: z.number().nullable().default(null),
})
export type EventsRequest = z.input<typeof eventsRequest>

export const eventsAnswer = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true), node: z.string(), events: z.array(z.unknown()),
    before: z.number().nullable(),
  }),
  z.object({ ok: z.literal(false), node: z.string(), code: z.string(), message: z.string() }),
])

/** Of a page, in UTF-16 units: at most 192 KiB as UTF-8, below any message that nodes need. */
const pageLength = 64 * 1024
const requestBytesMax = 4_096
/** Requests that wait for their turn; more are refused. */
const waitingMax = 256
/** Answered in one turn of the event loop: some 0.1 ms each. */
const answersPerTurn = 16

export interface EventServiceOptions {
  readonly node: string
  readonly clock: Clock
  readonly logger: Logger
  readonly recorder: NodeRecorder
}

export class EventService {
  private connection: BusConnection | null = null
  private subscriptions: BusSubscription[] = []
  private waiting: { readonly reply: string; readonly data: Uint8Array }[] = []
  private isTurnDue = false

  constructor(private readonly options: EventServiceOptions) {}

  /** A connection is open, or (null) gone. */
  attach(connection: BusConnection | null): void {
    for (const subscription of this.subscriptions) subscription.unsubscribe()
    this.waiting = []
    this.connection = connection
    const all = [subjects.events(this.options.node), eventsOfAll]
    this.subscriptions = connection === null ? [] : all.map((subject) =>
      connection.subscribe(subject, (message) => this.onRequest(message)))
  }

  private onRequest({ reply, data }: BusMessage): void {
    if (reply === undefined) return
    if (data.length > requestBytesMax) return this.refuse(reply, 'MALFORMED', 'it is too long')
    if (this.waiting.length >= waitingMax) {
      return this.refuse(reply, 'OVERLOADED', `${waitingMax} such requests wait: ask later`)
    }
    // The bytes are a view of what was received, and gone in a later turn.
    this.waiting.push({ reply, data: Uint8Array.from(data) })
    this.arm()
  }

  private arm(): void {
    if (this.isTurnDue) return
    this.isTurnDue = true
    this.options.clock.setTimeout(() => {
      this.isTurnDue = false
      for (const message of this.waiting.splice(0, answersPerTurn)) this.answer(message)
      if (this.waiting.length > 0) this.arm()
    }, 0)
  }

  private answer({ data, reply }: { reply: string; data: Uint8Array }): void {
    const { node, recorder } = this.options
    const request = read(data)
    if (typeof request === 'string') return this.refuse(reply, 'MALFORMED', request)
    const { space, types, before } = request
    const page = recorder.page({ space, types, before, lengthMax: pageLength })
    const head = JSON.stringify({ ok: true, node, before: page.before })
    this.publish(reply, `${head.slice(0, -1)},"events":[${page.texts.join(',')}]}`)
  }

  private refuse(reply: string, code: string, message: string): void {
    this.publish(reply, JSON.stringify({ ok: false, node: this.options.node, code, message }))
  }

  private publish(subject: string, text: string): void {
    const { connection, options } = this
    if (connection === null || connection.isClosed) return
    try {
      connection.publish(subject, Buffer.from(text))
    } catch (error) {
      options.logger.warn({ subject, error: String(error) }, 'kept events could not be published')
    }
  }
}

function read(data: Uint8Array): z.output<typeof eventsRequest> | string {
  let raw: unknown
  try {
    raw = data.length === 0 ? {} : JSON.parse(Buffer.from(data).toString('utf8'))
  } catch {
    return 'a request for events is a JSON object'
  }
  const parsed = eventsRequest.safeParse(raw)
  return parsed.success ? parsed.data : faultOf(parsed.error)
}
