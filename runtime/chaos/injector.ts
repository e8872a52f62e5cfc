/** Injects faults, one at a time, each undone before the next, and records them. */
import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../../machines/base/thrown.js'
import type { EngramClient } from '../client/client.js'
import type { ClusterSpace } from '../status/status.js'
import type { Control } from './control.js'
import type { FaultMeans } from './faultCommands.js'
import type { Excuse, Span } from './outage.js'
import { Dealer, describeFault, faultLongestMs, isReplaced, victimOf } from './plan.js'
import type { Fault, FaultKind, Scene } from './plan.js'
import type { Watch } from './watch.js'

export interface FaultDone {
  readonly kind: FaultKind
  /** "kill n1 for 800 ms". */
  readonly what: string
  readonly atMs: number
  /** Time until it was undone, or until a killed actor ran again. */
  readonly ms: number
  /** Reason why it could not be injected. null if it was. */
  readonly refused: string | null
}

export interface SkippedFault {
  readonly fault: FaultKind
  readonly why: string
}

export interface InjectorOptions {
  readonly client: EngramClient
  readonly control: Control | null
  readonly watch: Watch
  readonly space: string
  readonly kinds: readonly FaultKind[]
  readonly random: () => number
  readonly nowMs: () => number
  readonly log: (line: string) => void
}

const replacedWithinMs = 10_000
/** The next fault comes at the latest after this time, whether or not the space has recovered. */
const settledWithinMs = 15_000
const dueWithinMs = 3000
const againMs = 100
/**
 * Supervisors give up after five restarts within 30 s (space.ts), and the node stops with them, as
 * designed. The restart is what is tested here, so no actor is killed more often than this.
 */
const killsMax = 3
const killsWithinMs = 35_000
const listMs = 2000

export class Injector {
  readonly done: FaultDone[] = []
  readonly skipped: SkippedFault[] = []
  /** Promises that were broken while faults were injected. */
  readonly broken: string[] = []
  readonly excuses: Excuse[] = []
  readonly down: (Span & { readonly node: string })[] = []
  readonly filled: (Span & { readonly node: string })[] = []
  /** Times of kills, by "node actor". */
  readonly #kills = new Map<string, number[]>()
  #means: FaultMeans | null = null

  constructor(private readonly options: InjectorOptions) {}

  /** Returns the kinds of faults that can be injected here, and lists the others as skipped. */
  async prepare(found: ClusterSpace): Promise<FaultKind[]> {
    const { kinds, control } = this.options
    this.#means = await control?.means() ?? null
    for (const fault of kinds) {
      const why = fault !== 'broker' && found.members.length < 2
        ? 'the space has no second member that could take over'
        : fault === 'actor'
        ? await this.#actorRefusal(found)
        : this.#refusal(fault, found)
      if (why !== null) this.skipped.push({ fault, why })
    }
    return kinds.filter((kind) => !this.skipped.some(({ fault }) => fault === kind))
  }

  /** Runs until no time is left for the longest fault. Resolves when the last one is undone. */
  async run(kinds: readonly FaultKind[], leftMs: () => number): Promise<void> {
    const { random } = this.options
    const dealer = new Dealer(kinds, random)
    while (leftMs() > faultLongestMs) {
      const fault = await this.#deal(dealer)
      if (!fault) continue
      await this.#inject(fault)
      // Sometimes the next one comes while the space is still recovering.
      await this.#settled(random() < 0.25 ? 2 : Infinity, leftMs)
      await pause(Math.min(200 + random() * 600, Math.max(0, leftMs())))
    }
  }

  async #deal(dealer: Dealer): Promise<Fault | null> {
    const { nowMs } = this.options
    for (const giveUpAt = nowMs() + dueWithinMs;;) {
      const scene = await this.#scene()
      const fault = scene && dealer.next(scene)
      if (fault) return fault
      if (nowMs() > giveUpAt) {
        dealer.skip()
        return null
      }
      await pause(againMs)
    }
  }

  async #scene(): Promise<Scene | null> {
    const { watch, space } = this.options
    const found = await watch.look()
    if (!found) return null
    const nodes = this.#means?.nodes ?? []
    return {
      space,
      primary: found.primary,
      inSync: found.inSync,
      members: found.members.filter(({ role }) => role === 'primary' || role === 'replica')
        .map(({ node }) => node),
      actors: await this.#actors(found),
      fillable: nodes.filter((node) => node.fillRefusal === null).map(({ id }) => id),
      linked: nodes.filter((node) => node.hasLink).map(({ id }) => id),
    }
  }

  /** Actors that may be killed now, by node, without nodes that refuse or do not answer. */
  async #actors(found: ClusterSpace): Promise<ReadonlyMap<string, readonly string[]>> {
    const byNode = new Map<string, readonly string[]>()
    if (!this.options.kinds.includes('actor')) return byNode
    await Promise.all(found.members.map(async ({ node }) => {
      const running = await this.#running(node).catch(() => null)
      if (running) byNode.set(node, running.filter((actor) => this.#mayKill(node, actor)))
    }))
    return byNode
  }

  /** Reason why no actor can be killed on any node. If only some nodes refuse, logs them. */
  async #actorRefusal(found: ClusterSpace): Promise<string | null> {
    const refusals = await Promise.all(found.members.map(({ node }) =>
      this.#running(node).then(
        () => null,
        (error: unknown) => `${node}: ${(error as Error).message}`,
      )
    ))
    if (!refusals.includes(null)) return refusals.join('; ')
    for (const refusal of refusals) {
      if (refusal !== null) this.options.log(`actors of one node are not killed: ${refusal}`)
    }
    return null
  }

  #mayKill(node: string, actor: string): boolean {
    const { nowMs } = this.options
    const recent = (this.#kills.get(`${node} ${actor}`) ?? [])
      .filter((atMs) => nowMs() - atMs < killsWithinMs)
    return recent.length < killsMax
  }

  async #running(node: string): Promise<readonly string[]> {
    const running: string[] = []
    let after = 0
    for (;;) {
      const page = await this.options.client.admin(
        { type: 'listActors', after },
        { node, timeoutMs: listMs },
      )
      running.push(...page.actors ?? [])
      if (!page.more) return running
      after = Number(page.after)
    }
  }

  #refusal(fault: Exclude<FaultKind, 'actor'>, found: ClusterSpace): string | null {
    const means = this.#means
    if (!means) {
      return 'the cluster does not belong to an engram up on this machine'
    }
    const mine = means.nodes.filter(({ id }) => found.members.some(({ node }) => node === id))
    switch (fault) {
      case 'kill':
      case 'pause':
        return mine.length > 0 ? null : 'no member of the space is a node of this engram up'
      case 'broker':
        return means.ownsBroker ? null : 'the NATS server was not started by engram up'
      case 'network':
        return mine.some(({ hasLink }) => hasLink)
          ? null
          : 'no connection of a node can be cut: start the cluster with engram up --chaos, '
            + 'without --nats'
      case 'disk':
        return mine.some(({ fillRefusal }) => fillRefusal === null)
          ? null
          : `no node has a small file system of its own: ${
            mine[0]?.fillRefusal
              ?? 'no member is a node of this engram up'
          }`
    }
  }

  async #inject(fault: Fault): Promise<void> {
    const { nowMs, log } = this.options
    const atMs = nowMs()
    const what = describeFault(fault)
    log(what)
    let refused: string | null = null
    try {
      if (fault.kind === 'actor') await this.#killActor(fault.node, fault.actor)
      else await this.#command(fault, atMs)
    } catch (error) {
      refused = messageOf(error)
      log(`${what}: ${refused}`)
    }
    this.done.push({ kind: fault.kind, what, atMs, ms: Math.round(nowMs() - atMs), refused })
  }

  async #command(fault: Exclude<Fault, { kind: 'actor' }>, atMs: number): Promise<void> {
    const { control, watch, nowMs } = this.options
    const { command } = fault
    const node = victimOf(fault)
    const isPrimary = node !== null && watch.found?.primary === node
    try {
      await control?.inject(command)
      if (command.type === 'kill') await this.#isUp(command.node)
    } finally {
      const span = { fromMs: atMs, toMs: nowMs() }
      if (node === null) this.excuses.push({ ...span, why: 'the broker was down' })
      else if (command.type === 'fill') this.filled.push({ ...span, node })
      else this.down.push({ ...span, node })
      if (command.type === 'fill' && isPrimary) {
        this.excuses.push({ ...span, why: `the disk of ${node} was full` })
      }
    }
  }

  async #killActor(node: string, actor: string): Promise<void> {
    const { client, space, nowMs } = this.options
    const name = `${node} ${actor}`
    this.#kills.set(name, [...this.#kills.get(name) ?? [], nowMs()])
    await client.admin({ type: 'killActor', actor }, { node, timeoutMs: listMs })
    for (const giveUpAt = nowMs() + replacedWithinMs;;) {
      const running = await this.#running(node).catch(() => [])
      if (isReplaced(space, actor, running)) return
      if (nowMs() > giveUpAt) {
        this.broken.push(
          `${actor} on ${node} was killed and did not run again within ${
            replacedWithinMs / 1000
          } s; running: ${running.join(' ') || 'no answer'}`,
        )
        return
      }
      await pause(againMs)
    }
  }

  /** Waits until a started node reports that it runs. */
  async #isUp(id: string): Promise<void> {
    const { watch, nowMs } = this.options
    for (const giveUpAt = nowMs() + settledWithinMs; nowMs() < giveUpAt; await pause(againMs)) {
      await watch.look()
      if (watch.status?.nodes.find((node) => node.id === id)?.state === 'running') return
    }
  }

  async #settled(inSyncWanted: number, leftMs: () => number): Promise<void> {
    const { watch, nowMs } = this.options
    const giveUpAt = nowMs() + Math.min(settledWithinMs, leftMs())
    for (; nowMs() < giveUpAt && leftMs() > 0; await pause(againMs)) {
      const found = await watch.look()
      if (!found || found.primary === null) continue
      if (found.inSync.length >= Math.min(found.rf, inSyncWanted)) return
    }
  }
}
