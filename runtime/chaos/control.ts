/**
 * Control of the process of `engram up` by `engram chaos`: HTTP on 127.0.0.1 with a random token.
 * The token is in `up.json`, which only the owner of the data directory can read. That user could
 * kill these processes anyway; a web page cannot.
 *
 * `GET /` returns FaultMeans. `POST /` takes a FaultCommand and answers `{"ok":true,"ms":…}` when
 * the fault is over, or `{"ok":false,"message":"…"}`. One fault is injected at a time, since one of
 * a second `engram chaos` could stop the last in-sync member.
 *
 * `GET /nodes` returns all nodes as NodeEntry. `POST /nodes` takes a NodeCommand and answers
 * likewise.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import type { Cluster } from '../cluster/cluster.js'
import type { ControlAddress } from '../cluster/clusterFile.js'
import { FaultRefusedError } from './errors.js'
import { meansOf, performFault } from './faults.js'
import { nodeCommandSchema, nodeEntries, performNodeCommand } from './nodeCommands.js'
import type { NodeCommand, NodeEntry } from './nodeCommands.js'
import { faultCommandSchema, faultMsMax } from './faultCommands.js'
import type { FaultCommand, FaultMeans } from './faultCommands.js'

export interface ControlServer {
  readonly address: ControlAddress
  close(): Promise<void>
}

const bodyBytesMax = 4096
/** Time for killing and starting, beyond the duration of the command. */
const performMs = 30_000

/** Listens on a free port. */
export async function startControl(cluster: Cluster): Promise<ControlServer> {
  const token = randomBytes(24).toString('base64url')
  const faults = new FaultRunner(cluster)
  const server = createServer((request, response) => {
    void answer(faults, token, request).then(
      ({ status, body }) => send(response, status, body),
      (error: unknown) => send(response, 500, { ok: false, message: String(error) }),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port: 0 }, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    address: { url: `http://127.0.0.1:${port}/`, token },
    close: () => closed(server),
  }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

class FaultRunner {
  #underWay: FaultCommand | null = null

  constructor(readonly cluster: Cluster) {}

  /** @throws FaultRefusedError */
  async perform(command: FaultCommand): Promise<number> {
    if (this.#underWay) {
      throw new FaultRefusedError(`another fault is under way: ${this.#underWay.type}`)
    }
    this.#underWay = command
    try {
      return await performFault(this.cluster, command)
    } finally {
      this.#underWay = null
    }
  }
}

interface Reply {
  readonly status: number
  readonly body: object
}

async function answer(
  faults: FaultRunner,
  token: string,
  request: IncomingMessage,
): Promise<Reply> {
  if (!isKey(request.headers.authorization, token)) {
    return refusal(403, 'send the token of up.json')
  }
  const isOfNodes = request.url === '/nodes'
  if (request.method === 'GET') {
    const body = isOfNodes ? { nodes: nodeEntries(faults.cluster) } : meansOf(faults.cluster)
    return { status: 200, body }
  }
  if (request.method !== 'POST') return refusal(405, 'use GET or POST')
  const body = await bodyOf(request)
  try {
    const ms = isOfNodes ? await commanded(faults.cluster, body) : await fault(faults, body)
    return { status: 200, body: { ok: true, ms } }
  } catch (error) {
    if (error instanceof z.ZodError) {
      return refusal(400, `not a valid command: ${error.issues[0]?.message ?? ''}`)
    }
    if (error instanceof FaultRefusedError) return refusal(409, error.message)
    throw error
  }
}

async function fault(faults: FaultRunner, body: unknown): Promise<number> {
  return await faults.perform(faultCommandSchema.parse(body))
}

async function commanded(cluster: Cluster, body: unknown): Promise<number> {
  const begun = performance.now()
  await performNodeCommand(cluster, nodeCommandSchema.parse(body))
  return Math.round(performance.now() - begun)
}

function refusal(status: number, message: string): Reply {
  return { status, body: { ok: false, message } }
}

function isKey(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${token}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bodyBytesMax) return null
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
  } catch {
    return null
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json', Connection: 'close' })
  response.end(JSON.stringify(body))
}

/** Client of a ControlServer. */
export class Control {
  constructor(private readonly address: ControlAddress) {}

  /** @throws FaultRefusedError when the server does not answer */
  means(): Promise<FaultMeans> {
    return this.ask('GET', '', undefined, 5000) as Promise<FaultMeans>
  }

  /** @throws FaultRefusedError when the server does not answer */
  async nodes(): Promise<readonly NodeEntry[]> {
    const said = await this.ask('GET', 'nodes', undefined, 5000)
    return (said as { nodes: readonly NodeEntry[] }).nodes
  }

  /** @throws FaultRefusedError */
  async commandNode(command: NodeCommand): Promise<void> {
    const forMs = command.type === 'pause' ? command.forMs : 0
    await this.ask('POST', 'nodes', JSON.stringify(command), forMs + performMs)
  }

  /**
   * Resolves when the fault is over.
   * @throws FaultRefusedError
   */
  async inject(command: FaultCommand): Promise<void> {
    await this.ask('POST', '', JSON.stringify(command), command.forMs + performMs)
  }

  private async ask(
    method: string,
    path: string,
    body: string | undefined,
    timeoutMs: number,
  ): Promise<unknown> {
    const { url, token } = this.address
    let reply: Response
    let said: unknown
    try {
      reply = await fetch(`${url}${path}`, {
        method,
        signal: AbortSignal.timeout(Math.min(timeoutMs, faultMsMax + performMs)),
        headers: { Authorization: `Bearer ${token}` },
        ...(body === undefined ? {} : { body }),
      })
      said = await reply.json()
    } catch (error) {
      throw new FaultRefusedError(
        `engram up does not answer at ${url}: ${error instanceof Error ? error.message : ''}`,
        error,
      )
    }
    if (reply.ok) return said
    throw new FaultRefusedError((said as { message?: string }).message ?? `status ${reply.status}`)
  }
}
