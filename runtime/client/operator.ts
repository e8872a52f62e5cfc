/** What operators ask of nodes: status of all, and changes (`engram.v1.admin.<node>`). */
import { setTimeout as delay } from 'node:timers/promises'
import { createInbox } from 'nats'
import type { NatsConnection } from 'nats'
import type { AckLevel, SpaceSettings } from '../../machines/protocol.js'
import { subjects } from '../../machines/subjects.js'
import { asStatusReport, mergeStatus, statusOfAll } from '../status.js'
import type { ClusterStatus, NodeStatusReport } from '../status.js'
import { denialIn, onDenial } from './denials.js'
import type { DeniedError } from './denials.js'
import { AdminError } from './errors.js'
import { lookUpSpace } from './lookup.js'

export type AdminRequest =
  | {
    readonly type: 'createSpace'
    readonly space: string
    readonly replicas: number
    readonly ack: AckLevel
    readonly minInSync: number
    /** Answers wait while so much is acknowledged and not yet safe. */
    readonly maxLoss?: SpaceSettings['maxLoss']
    readonly keys?: SpaceSettings['keys']
    /** Default `accept`. */
    readonly whenUnderReplicated?: SpaceSettings['whenUnderReplicated']
    /** Default `automatic`. */
    readonly reconcile?: SpaceSettings['reconcile']
  }
  | { readonly type: 'listSpaces' }
  | {
    readonly type: 'promote'
    readonly space: string
    /** Default: the most advanced in-sync replica. */
    readonly to?: string
    /** Over I2 and I5: `to` reigns even if it lacks what was committed. */
    readonly force?: boolean
  }
  /** It hands over what it is primary of, and is not made primary; with `stop` it ends then. */
  | { readonly type: 'drain'; readonly stop?: boolean; readonly by?: string }
  | { readonly type: 'undrain'; readonly by?: string }
  /** No other member takes over by itself, until it is resumed. Any node may be asked. */
  | { readonly type: 'pause' | 'resume'; readonly space: string; readonly by?: string }
  /** Takes the salvages of the node into the log, where the space waits for that order. */
  | { readonly type: 'reconcile'; readonly space: string }
  | SpaceOrder
  /** Names of the actors that run. Only where the node was started with chaos allowed. */
  | { readonly type: 'listActors' }
  /** Ends an actor as if it had thrown. Only where the node was started with chaos allowed. */
  | { readonly type: 'killActor'; readonly actor: string }

/** For the node that reigns over the space. */
export type SpaceOrder =
  /** Gives a fork report up. */
  | { readonly type: 'closeFork'; readonly space: string; readonly epoch: number }
  | {
    readonly type: 'applyQuarantined' | 'discardQuarantined'
    readonly space: string
    readonly id: string
  }
  | { readonly type: 'setSpace'; readonly space: string; readonly settings: SettingsChange }

/** What is to change, and nothing else; null removes a bound. */
export interface SettingsChange extends Partial<Pick<
  SpaceSettings, 'ack' | 'minInSync' | 'whenUnderReplicated' | 'reconcile'>> {
  readonly maxLoss?: Bounds<NonNullable<SpaceSettings['maxLoss']>>
  readonly keys?: Bounds<NonNullable<SpaceSettings['keys']>>
}

type Bounds<T> = { readonly [K in keyof T]?: number | null }

export interface SpaceListing {
  readonly space: string
  readonly uuid: string
  readonly epoch: number
  readonly state: string
  readonly primary: string | null
  readonly members: readonly string[]
  readonly inSync: readonly string[]
  readonly settings: SpaceSettings
}

/** What else a request gives stands beside `ok`: `created`, `spaces`, `epoch`, `primary`. */
export interface AdminAnswer {
  readonly ok: true
  readonly created?: boolean
  readonly spaces?: readonly SpaceListing[]
  /** Records that cannot be read, or are of a newer version. */
  readonly unreadable?: readonly { readonly space: string; readonly reason: string }[]
  readonly actors?: readonly string[]
  readonly epoch?: number
  readonly primary?: string | null
  readonly drained?: boolean
  /** Of a space: since when failover is paused, and by whom; null: it is not. */
  readonly paused?: { readonly since: string; readonly by: string } | null
  /** False: it was so already. */
  readonly changed?: boolean
  /** The node has begun to take its salvages in. */
  readonly started?: boolean
  /** As they are now. */
  readonly settings?: SpaceSettings
  readonly message?: string
}

/** Answers come within a heartbeat or so; past this quiet, whoever has not answered is away. */
const quietMs = 150
const gatherMs = 600
/** A failover is over long before. */
const primaryDeadlineMs = 8000
const lookAgainMs = 100
/** Refused for who was asked, before anything was done. */
const elsewhere: ReadonlySet<string> = new Set(['NOT_PRIMARY', 'NO_RESPONDERS', 'NO_NODES'])

export class Operator {
  constructor(readonly connection: NatsConnection, readonly inboxPrefix: string) {}

  /** One report of each node that answers, by id. @throws AdminError when it may not be asked */
  async reports(): Promise<NodeStatusReport[]> {
    const found = new Map<string, NodeStatusReport>()
    const inbox = createInbox(this.inboxPrefix)
    let denied: DeniedError | null = null
    const endDenials = onDenial(this.connection, (one) => {
      if (one.subject === statusOfAll) denied = one
    })
    const unheard = await gather(this.connection, inbox, (data) => {
      const report = asStatusReport(parse(data))
      if (report) found.set(report.node.id, report)
      return allAnswered(found)
    })
    endDenials()
    denied ??= denialIn(unheard)
    if (denied) throw new AdminError('FORBIDDEN', denied.message, false, denied)
    return [...found.values()]
  }

  async status(): Promise<ClusterStatus> {
    return mergeStatus(await this.reports())
  }

  /** @throws AdminError */
  async admin(
    request: AdminRequest, options: { node?: string; timeoutMs?: number } = {},
  ): Promise<AdminAnswer> {
    const node = options.node ?? await this.#anyNode()
    const answer = parse(await this.#request(node, request, options.timeoutMs ?? 15_000))
    const said = answer as AdminAnswer | {
      ok: false; code?: string; message?: string; retryable?: boolean
    } | null
    if (said?.ok === true) return said
    throw new AdminError(said?.code ?? 'INTERNAL',
      said?.message ?? `the answer of ${node} is not understood`, said?.retryable ?? false)
  }

  /**
   * To the node that reigns over the space; looks again while none does.
   * @throws AdminError
   */
  async adminAtPrimary(
    request: SpaceOrder, options: { timeoutMs?: number; deadlineMs?: number } = {},
  ): Promise<AdminAnswer> {
    const endMs = performance.now() + (options.deadlineMs ?? primaryDeadlineMs)
    for (;;) {
      try {
        return await this.admin(request, { ...options, node: await this.#primaryOf(request.space) })
      } catch (error) {
        // What was not answered may have been done.
        const isElsewhere = error instanceof AdminError && elsewhere.has(error.code)
        if (!isElsewhere || performance.now() + lookAgainMs > endMs) throw error
      }
      await delay(lookAgainMs)
    }
  }

  async #primaryOf(space: string): Promise<string> {
    const { nodes, spaces } = mergeStatus(await this.reports())
    const found = spaces.find(({ id }) => id === space)
    const reigns = found?.members.find(({ role }) => role === 'primary')
    if (reigns) return reigns.node
    if (nodes.length === 0) {
      throw new AdminError('NO_NODES', 'no Engram node answers on this NATS server', true)
    }
    if (!found) {
      // Those who answer tell of what they hold only.
      const isThere = await lookUpSpace(this.connection, space) === 'there'
      throw isThere ? new AdminError('NOT_PRIMARY', `no member of ${space} answers`, true)
        : new AdminError('UNKNOWN_SPACE', `no node knows the space ${space}`, false)
    }
    throw new AdminError('NOT_PRIMARY',
      `${space} has no primary that answers${found.blocked ? `: ${found.blocked}` : ''}`, true)
  }

  async #request(node: string, request: AdminRequest, timeoutMs: number): Promise<Uint8Array> {
    try {
      const message = await this.connection.request(
        subjects.admin(node), Buffer.from(JSON.stringify(request)), { timeout: timeoutMs })
      return message.data
    } catch (error) {
      const denied = denialIn(error)
      if (denied) throw new AdminError('FORBIDDEN', denied.message, false, denied)
      const none = (error as { code?: string }).code === '503'
      throw none
        ? new AdminError('NO_RESPONDERS', `the node ${node} does not run`, true, error)
        : new AdminError('TIMEOUT', `${node} did not answer within ${timeoutMs} ms`, true, error)
    }
  }

  async #anyNode(): Promise<string> {
    const reports = await this.reports()
    const running = reports.find((report) => report.node.state === 'running') ?? reports[0]
    if (running) return running.node.id
    throw new AdminError('NO_NODES', 'no Engram node answers on this NATS server', true)
  }
}

/** Every node that some node hears has answered. */
function allAnswered(found: ReadonlyMap<string, NodeStatusReport>): boolean {
  for (const { node } of found.values()) {
    for (const [id, peer] of Object.entries(node.peers)) {
      if (peer.state === 'alive' && !found.has(id)) return false
    }
  }
  // A single one that knows no peer may just not have heard of them yet.
  return found.size > 1
}

/**
 * Asks all nodes for their status and hands over all answers, until told that it is enough. Gives
 * the error of who may not listen for them.
 */
async function gather(
  connection: NatsConnection, inbox: string, take: (data: Uint8Array) => boolean,
): Promise<Error | null> {
  return await new Promise((resolve) => {
    let quiet: NodeJS.Timeout | undefined
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error || message.headers?.code === 503) return finish(error)
        clearTimeout(quiet)
        quiet = setTimeout(finish, quietMs)
        if (take(message.data)) finish()
      },
    })
    const limit = setTimeout(finish, gatherMs)
    function finish(error: Error | null = null): void {
      clearTimeout(quiet)
      clearTimeout(limit)
      subscription.unsubscribe()
      resolve(error)
    }
    connection.publish(statusOfAll, new Uint8Array(), { reply: inbox })
  })
}

function parse(data: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'))
  } catch {
    return null
  }
}
