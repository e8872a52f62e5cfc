/** `POST /api/orders`: what a page may ask of a cluster that was started with `--playground`. */
import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { nameFault } from '../../../machines/protocol/subjects.js'
import { isSameOrigin } from '../../http/eventStream.js'
import { json } from '../../http/server.js'
import type { Page, Route } from '../../http/server.js'
import type { CommandAnswer, OrderFrame, PageCommand } from '../protocol.js'

const bodyBytesMax = 64 * 1024
/** Carried out at a time; more are refused. */
const ordersMax = 32

const name = z.string().refine((text) => nameFault(text) === null,
  'must be 1 to 64 characters of A-Z a-z 0-9 _ -')

const orderSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('write'), space: name, id: z.string().min(1).max(256),
    content: z.string().max(16_384),
  }),
  z.strictObject({
    type: z.literal('steady'), space: name, perSecond: z.number().int().min(0).max(1_000),
  }),
  z.strictObject({ type: z.literal('killActor'), node: name, actor: z.string().min(1).max(256) }),
  z.strictObject({ type: z.literal('killNode'), node: name }),
  z.strictObject({ type: z.literal('startNode'), node: name }),
  z.strictObject({
    type: z.literal('pauseNode'), node: name, forMs: z.number().int().min(100).max(60_000),
  }),
  z.strictObject({ type: z.literal('handOver'), space: name, to: name.nullable() }),
])

export interface CommandsOptions {
  /** Carries an order out, or says why not; null: this server takes no orders. */
  readonly perform: ((order: PageCommand) => Promise<CommandAnswer>) | null
  /** Told of what was carried out. */
  readonly onDone: (frame: OrderFrame) => void
  /** Contents of memories are in the stream. */
  readonly payloads: boolean
}

/**
 * The route. A page of another site cannot order anything: it could only send a form or plain
 * text without asking first, and neither is JSON; and its Origin is looked at as well.
 */
export function commandsRoute({ perform, onDone, payloads }: CommandsOptions): Route {
  let underWay = 0
  return async (request) => {
    if (!isSameOrigin(request)) return refused(403, 'orders are taken from pages of this server')
    if (perform === null) {
      return refused(403, 'this server takes no orders: start the cluster with engram up '
        + '--playground')
    }
    if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
      return refused(415, 'an order is JSON: send Content-Type: application/json')
    }
    if (underWay >= ordersMax) return refused(503, `${ordersMax} orders are under way; wait`)
    const body = await bodyOf(request)
    if (body === null) return refused(413, `an order has at most ${bodyBytesMax} bytes`)
    const order = readOrder(body)
    if (typeof order === 'string') return refused(400, `no order: ${order}`)
    underWay += 1
    // What comes of it may come before it is done.
    const atMs = Date.now()
    try {
      const answer = await perform(order)
      if (!answer.ok) return json(409, answer)
      onDone({ kind: 'order', atMs, order: shown(order, payloads), answer })
      return json(200, answer)
    } finally {
      underWay -= 1
    }
  }
}

function refused(status: number, message: string): Page {
  return json(status, { ok: false, message } satisfies CommandAnswer)
}

function readOrder(body: string): PageCommand | string {
  let raw: unknown
  try {
    raw = JSON.parse(body)
  } catch {
    return 'the body is no JSON'
  }
  const parsed = orderSchema.safeParse(raw)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  return `${issue?.path.join('.') || 'order'}: ${issue?.message ?? 'not valid'}`
}

/** null: too large; it is read to its end all the same, so that the answer arrives. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= bodyBytesMax) chunks.push(chunk)
  }
  return bytes > bodyBytesMax ? null : Buffer.concat(chunks).toString('utf8')
}

function shown(order: PageCommand, payloads: boolean): PageCommand {
  if (order.type !== 'write' || payloads) return order
  return { ...order, content: `(${order.content.length} characters)` }
}
