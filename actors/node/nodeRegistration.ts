import { judgeDirectory } from '../../machines/protocol/dataDirectoryVerdict.js'
import type { DirectoryIdentity,
  DirectoryVerdict } from '../../machines/protocol/dataDirectoryVerdict.js'
import type { NodeIdentity } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { isBelow } from '../messaging/answers.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { Arbiter, ArbiterRecord } from '../ports/arbiter.js'
import type { BusConnection, BusSubscription } from '../ports/bus.js'
import type { NodeIdentityInput, NodePorts } from '../ports/node.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import { FaultLog } from './faultLog.js'
import { StartRefusedError, SupersededError } from './startErrors.js'
import { refuseTwin } from './twins.js'
import { pause } from '../structures/pause.js'

export interface NodeRegistrationOptions {
  readonly boot: NodeDirectory
  readonly ports: Pick<NodePorts, 'clock' | 'random' | 'logger' | 'telemetry' | 'control'>
  readonly settings: ActorSettings
  /** Disk and incarnation are set here, by `identify` and whenever they have to change. */
  readonly self: NodeIdentityInput
  /** Answers go to subjects below these, or below the connection's own inbox prefix. */
  readonly replyPrefixes: readonly string[]
  /** If set, a node that the arbiter knows does not start with an empty data directory. */
  readonly requiresData: boolean
  /** Called when the arbiter has recorded this start. */
  readonly onRegistered: () => void
  /** Called when the directory proves, late, to be an old copy: all its sessions are void. */
  readonly onReidentified: (reason: string) => void
  readonly onSuperseded: (reason: string) => void
}

/** Attempts to write the record; each follows a definite refusal or an unknown outcome. */
const attemptsMax = 20
/** The number is raised this often while the node runs, so that a copy of its disk is detected. */
const raiseMs = 600_000

/**
 * Establishes which data directory this is, and which start of the node. The order matters. First
 * the directory is compared with the arbiter's record. Then disk id and number become durable in
 * one write, then in the record. Only then may the node acknowledge for the commit, or be a
 * candidate. See machines/protocol/dataDirectoryVerdict.ts.
 */
export class NodeRegistration {
  private isRecorded = false
  private warning: string | null = null
  /** As it was when this process took it; the record is compared with that, not with later ones. */
  private directory: DirectoryIdentity | null = null
  private isOwned = false
  private readonly nonce: string
  /** The id for a directory that needs another one: the same in every attempt. */
  private readonly freshDisk: string
  /** Its numbers are durable in the directory, and sent to the arbiter or about to be. */
  private verdict: DirectoryVerdict | null = null
  /** Number in the directory and in the record; `self.incarnation`, or raised since. */
  private number = 0
  private arbiter: Arbiter | null = null
  private isWorking = false
  private raisedAtMs = 0
  private readonly faults: FaultLog

  constructor(private readonly options: NodeRegistrationOptions) {
    this.faults = new FaultLog(options.ports.clock, options.ports.logger)
    this.nonce = options.ports.random.uuid()
    this.freshDisk = options.ports.random.uuid()
  }

  /** Whether the arbiter has recorded this start. */
  get isRegistered(): boolean {
    return this.isRecorded
  }

  /** Notice for operators about the directory, or null. */
  get notice(): string | null {
    return this.warning
  }

  /** Reads the directory. Rejects as `NodeDirectory.identity` does, and if it is another node's. */
  async prepare(): Promise<void> {
    const { boot, self } = this.options
    this.directory = await boot.identity()
    const owner = this.directory?.node ?? self.node
    if (owner === self.node) return
    throw new StartRefusedError(`the data directory ${self.data} belongs to node ${owner}, and `
      + `this is node ${self.node}. Start each node with its own directory`)
  }

  /** Reads the directory again, now that no other process can change it. */
  private async takeOver(): Promise<void> {
    if (this.isOwned) return
    await this.options.boot.confirmOwner()
    await this.prepare()
    this.isOwned = true
  }

  /**
   * Runs before this process sends its first message. Rejects with SupersededError and
   * StartRefusedError; for an empty directory also with the arbiter's error while the arbiter is
   * not available.
   */
  async identify(connection: BusConnection, arbiter: Arbiter): Promise<void> {
    const { ports: { clock }, self } = this.options
    await this.refuseTwin(connection, true)
    await this.takeOver()
    this.raisedAtMs = clock.monotonicMs()
    try {
      await this.register(connection, arbiter)
      this.isRecorded = true
    } catch (error) {
      // An empty directory has no earlier identity to use. An arbiter may be away for a while.
      const isAway = error instanceof ArbiterUnavailableError && !connection.isClosed
      if (this.directory === null || !isAway) throw error
      Object.assign(self, await this.unregisteredNumbers(this.directory))
      this.options.ports.logger.warn({ error: error.message },
        'the arbiter does not answer: this node follows, but is neither a candidate nor counted as '
          + 'in sync until it is registered there')
    }
  }

  /** Disk and number of a start that the arbiter has not confirmed. */
  private async unregisteredNumbers(
    { disk, incarnation, spoken: before }: DirectoryIdentity,
  ): Promise<Pick<DirectoryVerdict, 'disk' | 'incarnation'>> {
    // Already sent to the arbiter, which may have it: the directory must not fall behind.
    if (this.verdict) return numbersOf(this.verdict)
    const spoken = Math.max(incarnation, before) + 1
    await this.options.boot.saveIdentity({ disk, incarnation, spoken })
    return { disk, incarnation: spoken }
  }

  /** Answers pings while the node recovers: evidence that its earlier process is gone. */
  answerPings(connection: BusConnection, number: number): BusSubscription {
    const { self: { node, disk, incarnation }, ports: { control, telemetry } } = this.options
    const prefixes = [...this.options.replyPrefixes, connection.inboxPrefix]
    const answer = control.encode({
      node,
      disk,
      server: connection.serverId,
      incarnation,
      connection: number,
    })
    return connection.subscribe(subjects.ping(node), ({ reply }) => {
      if (reply === undefined || connection.isClosed) return
      if (isBelow(reply, prefixes)) connection.publish(reply, answer)
      else telemetry.count('repliesForbidden')
    })
  }

  /**
   * Called with each new connection. Checks the record over it, now or as soon as possible. A node
   * that comes back does not wait for the arbiter: its roles and sessions go on without it.
   */
  async attach(connection: BusConnection, arbiter: Arbiter): Promise<void> {
    this.arbiter = arbiter
    while (this.arbiter === arbiter && !connection.isClosed) {
      try {
        await this.work(() => this.confirm(connection, arbiter))
        return this.faults.over()
      } catch (error) {
        if (error instanceof SupersededError) return this.options.onSuperseded(error.message)
        this.faults.log(String(error), 'the arbiter\'s record of this node cannot be checked yet')
      }
      await pause(this.options.ports.clock, this.options.settings.heartbeatMs)
    }
  }

  detach(): void {
    this.arbiter = null
  }

  /** Once per heartbeat interval. */
  tick(): void {
    const { ports: { clock, logger } } = this.options
    const { arbiter } = this
    if (!arbiter || !this.isRegistered || this.isWorking) return
    if (clock.monotonicMs() - this.raisedAtMs < raiseMs) return
    this.raisedAtMs = clock.monotonicMs()
    this.work(() => this.raise(arbiter)).catch((error: unknown) => {
      if (error instanceof SupersededError) return this.options.onSuperseded(error.message)
      logger.warn({ error: String(error) }, 'the number of this node could not be raised')
    })
  }

  /** Called for a message in this node's name. If its incarnation is later, this process ends. */
  heardOwnName(incarnation: number): void {
    if (incarnation <= this.options.self.incarnation) return
    this.options.onSuperseded(`node ${this.options.self.node} was started again, as incarnation `
      + `${incarnation}`)
  }

  /** See twins.ts. */
  async refuseTwin(connection: BusConnection, outwait: boolean): Promise<void> {
    await refuseTwin(this.options, connection, outwait)
  }

  /** The first registration: judges the directory, makes its new number durable on both sides. */
  private async register(connection: BusConnection, arbiter: Arbiter): Promise<void> {
    const { boot, ports, requiresData } = this.options
    // First make sure of the bucket: a record that is missing with it was lost.
    await arbiter.bucketId()
    // An empty disk does not know how often this node was started before; the time is used instead.
    const incarnation = Math.floor(ports.clock.wallMs() / 1000)
    const fresh = { disk: this.freshDisk, incarnation }
    let mayHaveTwin = false
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const found = await arbiter.read(this.key)
      const recorded = this.decode(found)
      if (recorded?.nonce === this.nonce) return this.registered(this.verdict!)
      // The record has changed since: another process registers.
      if (mayHaveTwin) await this.refuseTwin(connection, true)
      const verdict = judgeDirectory(this.directory, recorded, fresh)
      if (verdict.kind === 'empty' && requiresData) {
        throw new StartRefusedError(`${verdict.reason}. (--require-data)`)
      }
      const numbers = numbersOf(verdict)
      await boot.saveIdentity({ ...numbers, spoken: numbers.incarnation })
      this.verdict = verdict
      const outcome = await arbiter.compareAndSet(
        this.key,
        this.encode(numbers.disk, numbers.incarnation),
        found?.revision ?? 0,
      )
      if (outcome.kind === 'applied') return this.registered(verdict)
      mayHaveTwin = outcome.kind === 'refused'
      if (outcome.kind === 'unknown') {
        await pause(ports.clock, this.options.settings.heartbeatMs / 2)
      }
    }
    throw new ArbiterUnavailableError('the arbiter did not confirm the identity of this node')
  }

  /** Runs only now: messages sent under other numbers until now become void with this. */
  private registered(verdict: DirectoryVerdict): void {
    const { kind, disk, incarnation, reason } = verdict
    const { self, self: { node } } = this.options
    Object.assign(self, numbersOf(verdict))
    this.number = incarnation
    this.directory = { node, disk, incarnation, spoken: incarnation }
    if (reason === null) return
    this.warning = reason
    const { logger, telemetry } = this.options.ports
    logger.error({ kind, disk, incarnation }, reason)
    telemetry.count('directoryNotices', 1, { kind })
  }

  /** On each connection: makes sure that the record is this process's. */
  private async confirm(connection: BusConnection, arbiter: Arbiter): Promise<void> {
    if (!this.isRegistered) return await this.registerLate(connection, arbiter)
    await arbiter.bucketId()
    const found = await arbiter.read(this.key)
    const recorded = this.decode(found)
    if (recorded?.nonce !== this.nonce) await this.rewrite(arbiter, found, recorded)
  }

  private async registerLate(connection: BusConnection, arbiter: Arbiter): Promise<void> {
    const { self, onRegistered, onReidentified } = this.options
    const { disk, incarnation } = self
    await this.register(connection, arbiter)
    this.isRecorded = true
    if (self.disk === disk && self.incarnation === incarnation) return onRegistered()
    onReidentified(`disk ${self.disk}, incarnation ${self.incarnation} from now on: the arbiter `
      + 'answers again, and its record of this disk is newer')
  }

  /** Directory first, then record: a crash in between leaves a directory that is trusted. */
  private async raise(arbiter: Arbiter): Promise<void> {
    const { boot, self: { disk } } = this.options
    const found = await arbiter.read(this.key)
    const recorded = this.decode(found)
    if (recorded !== null && recorded.nonce !== this.nonce) this.refuseLater(recorded)
    const next = this.number + 1
    await boot.saveIdentity({ disk, incarnation: next, spoken: next })
    this.number = next
    await this.rewrite(arbiter, found, recorded)
  }

  /** Tries once. The next connection, or the next raise, tries again. */
  private async rewrite(
    arbiter: Arbiter,
    found: ArbiterRecord | null,
    recorded: NodeIdentity | null,
  ): Promise<void> {
    if (recorded !== null && recorded.nonce !== this.nonce) this.refuseLater(recorded)
    const bytes = this.encode(this.options.self.disk, this.number)
    const outcome = await arbiter.compareAndSet(this.key, bytes, found?.revision ?? 0)
    if (outcome.kind !== 'applied') throw new ArbiterUnavailableError('the record was not written')
  }

  private refuseLater({ disk, incarnation }: NodeIdentity): void {
    const { self } = this.options
    if (incarnation < this.number) return
    throw new SupersededError(disk === self.disk
      ? `node ${self.node} was started again since, as incarnation ${incarnation}`
      : `node ${self.node} runs with another data directory, as incarnation ${incarnation}: give `
        + 'this node another id, or stop the other one')
  }

  private get key(): string {
    return `node.${this.options.self.node}`
  }

  /** Null if there is none, or none that can be read: it was lost, and is written anew. */
  private decode(found: ArbiterRecord | null): NodeIdentity | null {
    if (found === null) return null
    const { ports: { control, logger } } = this.options
    const decoded = control.nodeIdentity(found.value)
    if (decoded.ok) return decoded.value
    if (decoded.isNewer) {
      throw new StartRefusedError(`the arbiter's record of node ${this.options.self.node}: `
        + decoded.reason)
    }
    logger.error({ key: this.key, reason: decoded.reason },
      'the arbiter\'s record of this node cannot be read: it is written anew')
    return null
  }

  private encode(disk: string, incarnation: number): Uint8Array {
    const { self, ports: { control } } = this.options
    return control.encodeRecord({
      version: 1,
      node: self.node,
      disk,
      incarnation,
      pid: self.pid,
      host: self.hostname,
      http: self.http,
      nonce: this.nonce,
    })
  }

  /** Runs one piece of work on the record at a time. */
  private async work(run: () => Promise<void>): Promise<void> {
    this.isWorking = true
    try {
      await run()
    } finally {
      this.isWorking = false
    }
  }
}

function numbersOf(
  { disk, incarnation }: DirectoryVerdict,
): Pick<DirectoryVerdict, 'disk' | 'incarnation'> {
  return { disk, incarnation }
}

/** Trying again would not help: somebody has to act first. */
export function isFinal(error: unknown): boolean {
  return error instanceof StartRefusedError
    || (error instanceof Error && 'code' in error && error.code === 'DIRECTORY_OWNED')
}
