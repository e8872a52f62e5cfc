/** One run's world: a cluster in virtual time, its network, its arbiter, and what watches them. */
import { MemoryBucket } from '../fakes/memoryArbiter.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { SimCluster } from '../support/simCluster.js'
import type { SimNode } from '../support/simNode.js'
import { LiveChecks } from './checkers/live.js'
import { SimViolation } from './checkers/violation.js'
import { ClientConnection } from './clientConnection.js'
import { EventHash } from './eventHash.js'
import { History } from './history.js'
import { Network } from './network.js'
import { space } from './plan.js'
import type { Plan } from './plan.js'
import { Recording } from './recording.js'
import type { Transcript } from './transcript.js'

/** A process that ended by itself is started again after this long, ms. */
const restartMs = 700

export class World {
  readonly hash = new EventHash()
  readonly history = new History()
  readonly random: SeededRandom
  readonly network: Network
  readonly checks: LiveChecks
  readonly bucket: MemoryBucket
  cluster!: SimCluster
  recording: Recording | null = null
  violation: SimViolation | null = null
  /** Nodes that must not be started before a time. */
  readonly notBefore = new Map<string, number>()
  operator!: ClientConnection
  /** The faults are over: what was planned for later does not happen. */
  isPeace = false
  /** Nodes that may end by themselves, for what was done to their disks or to their name. */
  readonly excused = new Set<string>()
  /** When a node's wall clock was last set back. */
  readonly setBackAtMs = new Map<string, number>()

  private constructor(readonly plan: Plan, readonly transcript: Transcript | null) {
    this.random = new SeededRandom(plan.seed).fork('world')
    this.network = new Network(this.random.fork('network'), plan.latencyMs)
    this.checks = new LiveChecks(this)
    this.bucket = new MemoryBucket({
      onApplied: (key, value, revision) => {
        this.hash.add(revision)
        this.hash.bytes(value)
        this.checks.record.applied(key, value)
      },
    })
  }

  /** All nodes are up, and the space has a primary. */
  static async open(
    plan: Plan,
    transcript: Transcript | null = null,
    records = false,
  ): Promise<World> {
    const world = new World(plan, transcript)
    world.cluster = SimCluster.create({
      nodes: plan.nodes,
      seed: plan.seed,
      fsyncMs: plan.fsyncMs,
      settings: {
        ...(plan.checkpointBytes && { checkpointBytes: plan.checkpointBytes }),
        ...(plan.retainBytes !== undefined && { retainBytes: plan.retainBytes }),
        ...(plan.coveredSpansMax && { coveredSpansMax: plan.coveredSpansMax }),
        ...(plan.removedKeepMs !== undefined && { removedKeepMs: plan.removedKeepMs }),
        ...(plan.autoBalance && { autoBalance: plan.autoBalance }),
        ...(plan.balanceAfterMs && { balanceAfterMs: plan.balanceAfterMs }),
        ...(plan.replaceAfterMs !== undefined && { replaceAfterMs: plan.replaceAfterMs }),
      },
      ...(plan.segmentBytes && { segmentBytes: plan.segmentBytes }),
      bucket: world.bucket,
      transit: world.network.transit,
      arbiterDelayMs: (node, way) => world.network.arbiterDelayMs(node, way),
      observer: {
        delivered: (from, to, subject, data) => {
          world.hash.message(world.now, from, to, subject, data)
          transcript?.delivered(world.now, from, to, subject, data)
        },
        sealed: (_, frame) => world.checks.entries.sealed(frame),
        releasing: (node, name) => world.releasing(node, name),
        published: (node, subject, data) => {
          world.checks.published(node, subject, data)
          world.recording?.published(node, subject, data)
        },
        writing: (node, records) => world.checks.logs.writing(node, records),
        written: (node, records) => world.checks.logs.written(node, records),
        synced: (node) => world.checks.logs.synced(node),
        removed: (node, journal) => world.checks.removals.removed(node, journal),
        recovered: (node, journal) => world.checks.logs.recovered(node, journal),
        applied: (node, uuid, entries) => world.checks.logs.applied(node, uuid, entries),
        starting: (node, host, events) => {
          transcript?.watch(world.cluster.clock, node.id, host)
          world.recording?.starting(node, host, events)
        },
        ending: (node, reason) => {
          world.hash.text(`${node.id} ${reason}`)
          world.note(`${node.id} ends: ${reason}`)
          world.recording?.ended(node)
        },
        exited: (node, code, reason) => world.exited(node, code, reason),
        logged: (node, level, message, fields) => {
          transcript?.logged(world.now, node.id, level, message, fields)
          world.checks.logged(node, level, message, fields)
        },
      },
      clocks: plan.clocks,
    })
    if (records) world.recording = new Recording(world.cluster.clock)
    world.cluster.clock.afterStep = () => world.afterStep()
    await world.cluster.boot()
    world.operator = new ClientConnection(world, 'operator')
    const { replicas, minInSync, maxLoss, whenUnderReplicated, reconcile } = plan
    await world.cluster.createSpace({
      replicas,
      minInSync,
      whenUnderReplicated,
      reconcile,
      ...(maxLoss && { maxLoss }),
    }, space)
    return world
  }

  get now(): number {
    return this.cluster.clock.monotonicMs()
  }

  get nodes(): SimNode[] {
    return [...this.cluster.nodes.values()]
  }

  isUp(node: string): boolean {
    return this.cluster.node(node).life !== null
  }

  /** Something happened that is no message of the protocol. */
  note(text: string): void {
    this.transcript?.note(this.now, text)
    this.recording?.note(text)
  }

  /** Noted where it is found, inside of a node's own call; the run ends at the next step. */
  violate(invariant: string, details: string): void {
    if (this.checks.record.excuse) return
    this.violation ??= new SimViolation(invariant, details, this.now)
  }

  /** Runs `run` after `ms` of the world's time. */
  after(ms: number, run: () => void): void {
    this.cluster.clock.setTimeout(run, ms)
  }

  async run(ms: number): Promise<void> {
    await this.cluster.run(ms)
    if (this.violation) throw this.violation
  }

  /** False when it is not so within `maxMs`. */
  async until(isSo: () => boolean, maxMs: number, stepMs = 5): Promise<boolean> {
    const limit = this.now + maxMs
    while (!isSo()) {
      if (this.now >= limit) return false
      await this.run(stepMs)
    }
    return true
  }

  /** The result of a promise while time goes on; a violation when that takes more than `maxMs`. */
  async outcome<T>(what: string, work: Promise<T>, maxMs = 5000): Promise<T> {
    let isSettled = false
    const settled = work.finally(() => {
      isSettled = true
    })
    settled.catch(() => undefined)
    if (!await this.until(() => isSettled, maxMs)) {
      throw new SimViolation('defect', `${what} takes more than ${maxMs} ms`, this.now)
    }
    return await settled
  }

  startNode(node: SimNode): void {
    if (node.life || this.now < (this.notBefore.get(node.id) ?? 0)) return
    this.note(`${node.id} is started`)
    node.start()
  }

  private async releasing(node: SimNode, name: string): Promise<void> {
    const { life } = node
    try {
      await this.checks.salvages.releasing(node, name)
    } catch (error) {
      // The node takes what is thrown here for a fault of its disk; dead, it has no log to look at.
      if (node.life === life) this.violate('defect', (error as Error).stack ?? String(error))
    }
  }

  private afterStep(): void {
    this.checks.afterStep()
    if (this.violation) throw this.violation
  }

  private exited(node: SimNode, code: number, reason: string): void {
    this.note(`${node.id} exits with ${code}: ${reason}`)
    // An actor that dies again and again gives up, and its process with it (supervision).
    const isKilled = reason.includes('killed by the simulator')
    if (code !== 0 && !isKilled && !this.excused.has(node.id)) {
      this.violate('exit', `${node.id} ended itself (${code}) though nothing was done to its `
        + `disk: ${reason}`)
    }
    this.after(restartMs, () => this.startNode(node))
  }
}
