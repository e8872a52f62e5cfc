import type { Life, NodeIdentity } from '../machines/protocol.js'
import { subjects } from '../machines/subjects.js'
import type { NodeContext } from './context.js'
import type { BusConnection } from './ports.js'

/** Another process has this node's id, or took it. */
export class SupersededError extends Error {
  readonly code = 'SUPERSEDED'
  constructor(message: string) {
    super(message)
    this.name = 'SupersededError'
  }
}

/**
 * Makes sure that this process is the node of its id, before it says anything for the first time:
 * nobody else answers its ping subject, and the arbiter's record of the node names this disk and
 * start. Rejects with SupersededError, or as the arbiter does while it is away.
 */
export async function claimIdentity(
  context: NodeContext, connection: BusConnection, life: Life,
): Promise<void> {
  await refuseLivingTwin(context, connection)
  await claimRecord(context, life)
}

/**
 * The same for a node that comes back with an incarnation that the record has named before. It
 * does not wait for the arbiter, which may be electing a leader for longer than a grant lasts: a
 * later start of the same id has a higher incarnation, and peers take no notice of a lower one.
 * Resolves once nobody answered its ping; `settled` ends as `claimIdentity` does, or when the
 * connection has closed.
 */
export async function returnIdentity(
  context: NodeContext, connection: BusConnection, life: Life,
): Promise<{ settled: Promise<void> }> {
  await refuseLivingTwin(context, connection)
  return { settled: settleRecord(context, connection, life) }
}

async function settleRecord(
  context: NodeContext, connection: BusConnection, life: Life,
): Promise<void> {
  const { ports, settings } = context
  while (!connection.isClosed) {
    try {
      return await claimRecord(context, life)
    } catch (error) {
      if (error instanceof SupersededError) throw error
      ports.logger.debug({ error: String(error) }, 'the own record cannot be read yet')
    }
    await new Promise<void>((resolve) => {
      ports.clock.setTimeout(resolve, settings.heartbeatMs)
    })
  }
}

async function claimRecord(context: NodeContext, life: Life): Promise<void> {
  const { self, ports, records, settings } = context
  const key = `node.${self.node}`
  const nonce = ports.random.uuid()
  for (let attempt = 0; attempt < 20; attempt++) {
    const found = await records.lookUp(key)
    const decoded = found ? ports.control.nodeIdentity(found.value) : null
    if (decoded && !decoded.ok) {
      throw new Error(`the arbiter's record of node ${self.node} is not understood: `
        + decoded.reason)
    }
    const known = decoded?.value ?? null
    if (known && known.nonce === nonce) return
    if (known && isOurs(known, context)) return
    if (known && known.incarnation >= life.incarnation) {
      throw new SupersededError(known.disk === self.disk
        ? `node ${self.node} was started again since, as incarnation ${known.incarnation}`
        : `node ${self.node} runs with another data directory, as incarnation `
          + `${known.incarnation}; give this one another id, or stop that one`)
    }
    const next: NodeIdentity = {
      version: 1, node: self.node, disk: self.disk, incarnation: life.incarnation,
      pid: self.pid, host: self.hostname, http: self.http, nonce,
    }
    const outcome = await records.compareAndSetRaw(
      key, ports.control.encodeRecord(next), found?.revision ?? 0)
    if (outcome.kind === 'applied') return
    await new Promise<void>((resolve) => {
      ports.clock.setTimeout(resolve, settings.heartbeatMs / 2)
    })
  }
  throw new Error(`the arbiter did not settle the identity of ${self.node}`)
}

function isOurs(known: NodeIdentity, { self }: NodeContext): boolean {
  return known.disk === self.disk && known.incarnation === self.incarnation
    && known.pid === self.pid && known.host === self.hostname
}

async function refuseLivingTwin(
  { self, ports }: NodeContext, connection: BusConnection,
): Promise<void> {
  try {
    const answer = await connection.request(subjects.ping(self.node), new Uint8Array(0), {
      timeoutMs: 300,
    })
    const decoded = ports.control.pingAnswer(answer.data)
    const life = decoded.ok ? ` (incarnation ${decoded.value.incarnation})` : ''
    throw new SupersededError(`a living process has the id ${self.node}${life}: give this one `
      + 'another id, or stop that one first')
  } catch (error) {
    // 503 or silence: nobody answers to my name.
    if (error instanceof SupersededError) throw error
  }
}
