/** `POST /api/orders`: commands of a page to a cluster that was started with `--playground`. */
import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { nameFault } from '../../../machines/protocol/subjects.js'
import { isSameOrigin } from '../../http/eventStream.js'
import { json } from '../../http/server.js'
import type { Page, Route } from '../../http/server.js'
import type { CommandAnswer, OrderFrame, PageCommand } from '../protocol.js'

const bodyBytesMax = 64 * 1024
/** Commands at a time. More are refused. */
const commandsMax = 32

const name = z.string().refine((text) => nameFault(text) === null,
  'must be 1 to 64 characters of A-Z a-z 0-9 _ -')

const commandSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('write'),
    space: name,
    id: z.string().min(1).max(256),
    content: z.string().max(16_384),
  }),
  z.strictObject({
    type: z.literal('steady'),
    space: name,
    perSecond: z.number().int().min(0).max(1_000),
  }),
  z.strictObject({ type: z.literal('killActor'), node: name, actor: z.string().min(1).max(256) }),
  z.strictObject({ type: z.literal('killNode'), node: name }),
  z.strictObject({ type: z.literal('startNode'), node: name }),
  z.strictObject({
    type: z.literal('pauseNode'),
    node: name,
    forMs: z.number().int().min(100).max(60_000),
  }),
  z.strictObject({ type: z.literal('handOver'), space: name, to: name.nullable() }),
])

export interface CommandsOptions {
  /** Performs a command, or says why not. null if this server accepts none. */
  readonly perform: ((command: PageCommand) => Promise<CommandAnswer>) | null
  /** Called after each command that was performed. */
  readonly onDone: (frame: OrderFrame) => void
  /** True if contents of memories are in the stream. */
  readonly payloads: boolean
}

/**
 * The route. A page of another site cannot send a command: without a preflight request it could
 * only send a form or plain text, and neither is JSON. Its Origin is checked as well.
 */
export function commandsRoute({ perform, onDone, payloads }: CommandsOptions): Route {
  let underWay = 0
  return async (request) => {
    if (!isSameOrigin(request)) return refused(403, 'only pages of this server may send commands')
    if (perform === null) {
      return refused(403, 'this server accepts no commands: start the cluster with engram up '
        + '--playground')
    }
    if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
      return refused(415, 'a command must be JSON: send Content-Type: application/json')
    }
    if (underWay >= commandsMax) {
      return refused(503, `${commandsMax} commands are under way: try again later`)
    }
    const body = await bodyOf(request)
    if (body === null) return refused(413, `a command has at most ${bodyBytesMax} bytes`)
    const command = readCommand(body)
    if (typeof command === 'string') return refused(400, `not a valid command: ${command}`)
    underWay += 1
    // Noted before, since its effects may be seen before it has ended.
    const atMs = Date.now()
    try {
      const answer = await perform(command)
      if (!answer.ok) return json(409, answer)
      onDone({ kind: 'order', atMs, order: shown(command, payloads), answer })
      return json(200, answer)
    } finally {
      underWay -= 1
    }
  }
}

function refused(status: number, message: string): Page {
  return json(status, { ok: false, message } satisfies CommandAnswer)
}

function readCommand(body: string): PageCommand | string {
  let raw: unknown
  try {
    raw = JSON.parse(body)
  } catch {
    return 'the body is not JSON'
  }
  const parsed = commandSchema.safeParse(raw)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  return `${issue?.path.join('.') || 'command'}: ${issue?.message ?? 'not valid'}`
}

/** The body, read to its end so that the answer arrives. null if it is too large. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= bodyBytesMax) chunks.push(chunk)
  }
  return bytes > bodyBytesMax ? null : Buffer.concat(chunks).toString('utf8')
}

function shown(command: PageCommand, payloads: boolean): PageCommand {
  if (command.type !== 'write' || payloads) return command
  return { ...command, content: `(${command.content.length} characters)` }
}
