/** Requests of operators to nodes: status, and commands (`engram.v1.admin.<node>`). */
import { setTimeout as delay } from 'node:timers/promises'
import { createInbox } from 'nats'
import type { NatsConnection } from 'nats'
import type { AckLevel, SpaceSettings } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { mergeStatus } from '../status/mergeStatus.js'
import { asStatusReport, statusOfAll } from '../status/status.js'
import type { ClusterStatus, MemberStatus, NodeStatusReport } from '../status/status.js'
import { asWhoAnswer } from '../status/who.js'
import { jsonOrNull } from '../system/json.js'
import { denialIn, onDenial } from './denials.js'
import type { DeniedError } from './denials.js'
import { AdminError } from './errors.js'
import { lookUpSpace } from './lookup.js'
import type { MembersAnswer, MembersCommand } from './membersCommand.js'

export type AdminRequest =
  | {
    readonly type: 'createSpace'
    readonly space: string
    readonly replicas: number
    readonly ack: AckLevel
    readonly minInSync: number
    /** Delay answers while this much is acknowledged and not yet safe. */
    readonly maxLoss?: SpaceSettings['maxLoss']
    readonly keys?: SpaceSettings['keys']
    readonly retain?: SpaceSettings['retain']
    /** Default `accept`. */
    readonly whenUnderReplicated?: SpaceSettings['whenUnderReplicated']
    /** Default `automatic`. */
    readonly reconcile?: SpaceSettings['reconcile']
  }
  /** Ends a space for good. `uuid`: only if it is still this one. Any node takes this command. */
  | {
    readonly type: 'dropSpace'
    readonly space: string
    readonly uuid?: string
    readonly by?: string
  }
  /** Lists one page of the spaces, by name. */
  | { readonly type: 'listSpaces'; readonly after?: string; readonly limit?: number }
  | {
    readonly type: 'promote'
    readonly space: string
    /** Default: the most advanced in-sync replica. */
    readonly to?: string
    /** Overrides I2 and I5: `to` becomes primary even if it lacks committed writes. */
    readonly force?: boolean
    readonly by?: string
  }
  /**
   * Hands over every space of the node, and keeps it from becoming primary. `evacuate`: its spaces
   * replace it by other nodes. `stop` ends it.
   */
  | {
    readonly type: 'drain'
    readonly stop?: boolean
    readonly evacuate?: boolean
    readonly by?: string
  }
  | { readonly type: 'undrain'; readonly by?: string }
  /** Has all nodes forget one that is gone for good. Any node takes this command. */
  | { readonly type: 'forgetNode'; readonly node: string; readonly by?: string }
  /** While paused, no other member takes over by itself. Any node takes this command. */
  | { readonly type: 'pause' | 'resume'; readonly space: string; readonly by?: string }
  /** Reconciles the salvages of the node, if the space waits for this command. */
  | { readonly type: 'reconcile'; readonly space: string }
  | SpaceCommand
  /** Names of the actors that run. Only where the node was started with chaos allowed. */
  | { readonly type: 'listActors'; readonly after?: number }
  /** Ends an actor as if it had thrown. Only where the node was started with chaos allowed. */
  | { readonly type: 'killActor'; readonly actor: string }

/** A command for the primary of the space. */
export type SpaceCommand =
  /** Closes a fork report without waiting for its node. */
  | { readonly type: 'closeFork'; readonly space: string; readonly epoch: number }
  | {
    readonly type: 'applyQuarantined' | 'discardQuarantined'
    readonly space: string
    readonly id: string
  }
  | { readonly type: 'setSpace'; readonly space: string; readonly settings: SettingsChange }
  | MembersCommand

/** The settings to change; null removes a bound. */
export interface SettingsChange extends Partial<Pick<
  SpaceSettings,
  'ack' | 'minInSync' | 'whenUnderReplicated' | 'reconcile'
>> {
  readonly maxLoss?: Bounds<NonNullable<SpaceSettings['maxLoss']>>
  readonly keys?: Bounds<NonNullable<SpaceSettings['keys']>>
  readonly retain?: Bounds<NonNullable<SpaceSettings['retain']>>
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

/** A space whose record cannot be read, or is of a newer version. */
export interface UnreadableSpace {
  readonly space: string
  readonly reason: string
}

export interface SpaceList {
  readonly spaces: readonly SpaceListing[]
  readonly unreadable: readonly UnreadableSpace[]
}

/** Further results of a command are beside `ok`: `created`, `spaces`, `epoch`, `primary`. */
export interface AdminAnswer extends Partial<MembersAnswer> {
  readonly ok: true
  readonly created?: boolean
  /** The space that was dropped. */
  readonly uuid?: string
  readonly spaces?: readonly SpaceListing[]
  readonly unreadable?: readonly UnreadableSpace[]
  readonly actors?: readonly string[]
  /** For a list: there is more; repeat the request with this `after`. */
  readonly more?: true
  readonly after?: string | number
  readonly epoch?: number
  readonly primary?: string | null
  readonly drained?: boolean
  /** Nodes that knew the node and have forgotten it, and those that did not do so. */
  readonly forgottenBy?: readonly string[]
  readonly missed?: readonly { readonly node: string; readonly reason: string }[]
  /** For a space: since when failover is paused, and by whom; null: it is not paused. */
  readonly paused?: { readonly since: string; readonly by: string } | null
  /** False: nothing had to be changed. */
  readonly changed?: boolean
  /** The node has begun to upload its salvages. */
  readonly started?: boolean
  /** The present settings. */
  readonly settings?: SpaceSettings
  readonly message?: string
}

/** Answers come within about a heartbeat; after this silence, no further node is expected. */
const quietMs = 150
const gatherMs = 600
/** Time limit of one node's page. */
const pageMs = 2000
/** Much longer than a failover. */
const primaryDeadlineMs = 8000
const lookAgainMs = 100
/** Refusals by a node that cannot help; nothing was done. */
const elsewhere: ReadonlySet<string> = new Set(['NOT_PRIMARY', 'NO_RESPONDERS', 'NO_NODES'])

/** The part of the status to fetch. */
export interface StatusOf {
  /** Only this space. Default: all. */
  readonly space?: string
}

export class Operator {
  constructor(readonly connection: NatsConnection, readonly inboxPrefix: string) {}

  /**
   * Fetches one report of each node that answers, with all its spaces or one, page by page: the
   * report of a node with thousands of spaces does not fit into one message.
   * @throws AdminError when these credentials may not ask
   */
  async reports(of: StatusOf = {}): Promise<NodeStatusReport[]> {
    const found = await this.#find()
    const reports = await Promise.all(
      [...found].map(([id, seen]) => seen.report ?? this.#report(id, of)),
    )
    return reports.filter((report) => report !== null)
  }

  async status(of: StatusOf = {}): Promise<ClusterStatus> {
    return mergeStatus(await this.reports(of))
  }

  /** Lists all spaces that the arbiter knows, page by page. @throws AdminError */
  async listSpaces(): Promise<SpaceList> {
    const [spaces, unreadable]: [SpaceListing[], UnreadableSpace[]] = [[], []]
    const node = await this.#anyNode()
    let after: string | undefined
    do {
      const page = await this.admin(
        { type: 'listSpaces', ...(after !== undefined && { after }) },
        { node },
      )
      spaces.push(...page.spaces ?? [])
      unreadable.push(...page.unreadable ?? [])
      after = page.more ? String(page.after) : undefined
    } while (after !== undefined)
    return { spaces, unreadable }
  }

  /** Nodes that answer, by id. @throws AdminError */
  async #find(): Promise<ReadonlyMap<string, Seen>> {
    const found = new Map<string, Seen>()
    const inbox = createInbox(this.inboxPrefix)
    let denied: DeniedError | null = null
    const endDenials = onDenial(this.connection, (one) => {
      if (one.subject === statusOfAll) denied = one
    })
    const unheard = await gather(this.connection, inbox, (data) => {
      const seen = seenOf(jsonOrNull(data))
      if (seen) found.set(seen.id, seen)
      return allAnswered(found)
    })
    endDenials()
    denied ??= denialIn(unheard)
    if (denied) throw new AdminError('FORBIDDEN', denied.message, false, denied)
    return found
  }

  /** null: it no longer answers. */
  async #report(id: string, { space }: StatusOf): Promise<NodeStatusReport | null> {
    const spaces: MemberStatus[] = []
    let after: string | undefined
    for (;;) {
      const question = { type: 'status', ...(space && { space }), ...(after && { after }) }
      const page = await this.#page(id, Buffer.from(JSON.stringify(question)))
      if (page === null) return null
      spaces.push(...page.spaces)
      if (!page.more || page.after === undefined) return { ...page, spaces }
      ;({ after } = page)
    }
  }

  /** Asks again if the node is overloaded. */
  async #page(id: string, question: Uint8Array): Promise<NodeStatusReport | null> {
    const endMs = performance.now() + pageMs
    for (;;) {
      const leftMs = endMs - performance.now()
      if (leftMs <= 0) return null
      const answer = await this.connection.request(
        subjects.status(id),
        question,
        { timeout: leftMs },
      ).catch(() => null)
      if (answer === null) return null
      const said = jsonOrNull(answer.data)
      const isBusy = (said as { code?: unknown } | null)?.code === 'OVERLOADED'
      if (!isBusy) return asStatusReport(said)
      await delay(lookAgainMs)
    }
  }

  /** @throws AdminError */
  async admin(
    request: AdminRequest,
    options: { node?: string; timeoutMs?: number } = {},
  ): Promise<AdminAnswer> {
    const node = options.node ?? await this.#anyNode()
    const answer = jsonOrNull(await this.#request(node, request, options.timeoutMs ?? 15_000))
    const said = answer as AdminAnswer | {
      ok: false
      code?: string
      message?: string
      retryable?: boolean
      reason?: string
    } | null
    if (said?.ok === true) return said
    throw new AdminError(said?.code ?? 'INTERNAL',
      said?.message ?? `the answer of ${node} cannot be understood`, said?.retryable ?? false,
      undefined, said?.reason)
  }

  /**
   * Sends a command to the primary of the space; looks again while there is none.
   * @throws AdminError
   */
  async adminAtPrimary(
    request: SpaceCommand,
    options: { timeoutMs?: number; deadlineMs?: number } = {},
  ): Promise<AdminAnswer> {
    const endMs = performance.now() + (options.deadlineMs ?? primaryDeadlineMs)
    for (;;) {
      try {
        return await this.admin(request, { ...options, node: await this.#primaryOf(request.space) })
      } catch (error) {
        // A command without an answer may have been carried out.
        const isElsewhere = error instanceof AdminError && elsewhere.has(error.code)
        if (!isElsewhere || performance.now() + lookAgainMs > endMs) throw error
      }
      await delay(lookAgainMs)
    }
  }

  async #primaryOf(space: string): Promise<string> {
    const { nodes, spaces } = await this.status({ space })
    const found = spaces.find(({ id }) => id === space)
    const primary = found?.members.find(({ role }) => role === 'primary')
    if (primary) return primary.node
    if (nodes.length === 0) {
      throw new AdminError('NO_NODES', 'no Engram node answers on this NATS server', true)
    }
    if (!found) {
      // Nodes report only the spaces that they hold.
      const isThere = await lookUpSpace(this.connection, space) === 'there'
      throw isThere
        ? new AdminError('NOT_PRIMARY', `no member of ${space} answers`, true)
        : new AdminError('UNKNOWN_SPACE', `no node knows the space ${space}`, false)
    }
    throw new AdminError('NOT_PRIMARY',
      `${space} has no primary that answers${found.blocked ? `: ${found.blocked}` : ''}`, true)
  }

  async #request(node: string, request: AdminRequest, timeoutMs: number): Promise<Uint8Array> {
    try {
      const message = await this.connection.request(
        subjects.admin(node),
        Buffer.from(JSON.stringify(request)),
        { timeout: timeoutMs },
      )
      return message.data
    } catch (error) {
      const denied = denialIn(error)
      if (denied) throw new AdminError('FORBIDDEN', denied.message, false, denied)
      const none = (error as { code?: string }).code === '503'
      throw none
        ? new AdminError('NO_RESPONDERS', `the node ${node} is not running`, true, error)
        : new AdminError('TIMEOUT', `${node} did not answer within ${timeoutMs} ms`, true, error)
    }
  }

  async #anyNode(): Promise<string> {
    const found = [...(await this.#find()).values()]
    const running = found.find(({ state }) => state === 'running') ?? found[0]
    if (running) return running.id
    throw new AdminError('NO_NODES', 'no Engram node answers on this NATS server', true)
  }
}

/** A node, by its answer to the discovery request. */
interface Seen {
  readonly id: string
  readonly state: string
  /** Peers that it hears. */
  readonly alive: readonly string[]
  /** From a node of an earlier release, which answers with its whole report. */
  readonly report: NodeStatusReport | null
}

function seenOf(answer: unknown): Seen | null {
  const report = asStatusReport(answer)
  if (report === null) {
    const who = asWhoAnswer(answer)
    return who && { id: who.id, state: who.state, alive: who.alive, report: null }
  }
  const { node } = report
  const alive = Object.entries(node.peers).filter(([, peer]) => peer.state === 'alive')
  return { id: node.id, state: node.state, alive: alive.map(([id]) => id), report }
}

/** Every node that another node hears has answered. */
function allAnswered(found: ReadonlyMap<string, Seen>): boolean {
  for (const { alive } of found.values()) {
    if (alive.some((id) => !found.has(id))) return false
  }
  // A single node that knows no peer may just not have heard from them yet.
  return found.size > 1
}

/**
 * Asks all nodes to identify themselves and hands over all answers, until `isEnough`. Rejects if
 * these credentials may not listen for them.
 */
async function gather(
  connection: NatsConnection,
  inbox: string,
  take: (data: Uint8Array) => boolean,
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
    connection.publish(statusOfAll, Buffer.from('{"type":"who"}'), { reply: inbox })
  })
}
