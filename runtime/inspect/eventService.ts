/**
 * Serves the events that a node keeps, as pages of JSON.
 *
 * | message | source → target | subject |
 * |---|---|---|
 * | events request; its answer | operator → node | `engram.v1.status.<node>.events` |
 * | the same | operator → all nodes | `engram.v1.status._all.events` |
 */
import { z } from 'zod'
import type { NodeContext } from '../../actors/member/context.js'
import { keptBytes } from '../../actors/messaging/headers.js'
import type { BusConnection, BusMessage, BusSubscription } from '../../actors/ports/bus.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { statusOfAll } from '../status/status.js'
import type { NodeRecorder } from './recorder.js'
import { faultOf } from './schema.js'

/** The services of a node that answer requests. */
export interface Serving extends Pick<NodeContext, 'answers'> {
  readonly lanes: Pick<NodeContext['lanes'], 'status'>
}

export const eventsOfAll = `${statusOfAll}.events`

const eventsRequest = z.object({
  /** Only events of this space, and those of nodes. */
  space: z.string().max(64).optional(),
  types: z.array(z.string().max(64)).max(16).optional(),
  /** `before` of the previous answer. null for the latest events. */
  before: z.number().nullable().default(null),
})
export type EventsRequest = z.input<typeof eventsRequest>

export const eventsAnswer = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true),
    node: z.string(),
    events: z.array(z.unknown()),
    before: z.number().nullable(),
  }),
  z.object({ ok: z.literal(false), node: z.string(), code: z.string(), message: z.string() }),
])

/** Length of a page in UTF-16 units: at most 192 KiB as UTF-8, below NATS's message limit. */
const pageLength = 64 * 1024
const requestBytesMax = 4_096
/** Memory of a waiting request beside its payload and reply subject. */
const requestBytes = 512

export interface EventServiceOptions {
  readonly node: string
  readonly recorder: NodeRecorder
  /** null while the node is starting, before it has a connection. */
  readonly serving: () => Serving | null
}

export class EventService {
  private subscriptions: BusSubscription[] = []

  constructor(private readonly options: EventServiceOptions) {}

  /** Called when a connection is open, or (null) closed. */
  attach(connection: BusConnection | null): void {
    for (const subscription of this.subscriptions) subscription.unsubscribe()
    const all = [subjects.events(this.options.node), eventsOfAll]
    this.subscriptions = connection === null
      ? []
      : all.map((subject) =>
        connection.subscribeSide(subject, (message) => this.onRequest(message))
      )
  }

  private onRequest(message: BusMessage): void {
    const serving = this.options.serving()
    const sender = serving?.answers.asker(message, 'commands')
    if (!serving || sender?.reply === undefined) return
    const { answers, lanes: { status } } = serving
    const asker = { ...sender, encoding: 'json' } as const
    if (message.data.length > requestBytesMax) {
      return answers.answer(asker, this.refused('MALFORMED', 'the request is too long'))
    }
    const bytes = message.data.length + requestBytes + keptBytes(message)
    if (!status.enter(bytes)) {
      return answers.answer(asker,
        this.refused('OVERLOADED', 'too many requests wait: try again later'))
    }
    // Copied, since the bytes are a view of the receive buffer and invalid in a later turn.
    const data = Uint8Array.from(message.data)
    status.push(() => {
      status.leave(bytes)
      answers.answer(asker, this.answerTo(data))
    })
  }

  private answerTo(data: Uint8Array): object | Uint8Array {
    const { node, recorder } = this.options
    const request = read(data)
    if (typeof request === 'string') return this.refused('MALFORMED', request)
    const { space, types, before } = request
    const page = recorder.page({ space, types, before, lengthMax: pageLength })
    const head = JSON.stringify({ ok: true, node, before: page.before })
    return Buffer.from(`${head.slice(0, -1)},"events":[${page.texts.join(',')}]}`)
  }

  private refused(code: string, message: string): object {
    return { ok: false, node: this.options.node, code, message }
  }
}

function read(data: Uint8Array): z.output<typeof eventsRequest> | string {
  let raw: unknown
  try {
    raw = data.length === 0 ? {} : JSON.parse(Buffer.from(data).toString('utf8'))
  } catch {
    return 'a request for events must be a JSON object'
  }
  const parsed = eventsRequest.safeParse(raw)
  return parsed.success ? parsed.data : faultOf(parsed.error)
}
