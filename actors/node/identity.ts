import { judgeDirectory } from '../../machines/protocol/directory.js'
import type { DirectoryIdentity, DirectoryVerdict } from '../../machines/protocol/directory.js'
import type { NodeIdentity } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { isBelow } from '../messaging/answers.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { Arbiter, ArbiterRecord } from '../ports/arbiter.js'
import { NoRespondersError } from '../ports/bus.js'
import type { BusConnection, BusSubscription } from '../ports/bus.js'
import type { NodeIdentityInput, NodePorts } from '../ports/node.js'
import type { ActorSettings } from '../ports/settings.js'
import type { NodeDirectory } from './dataDirectory.js'
import { FaultLog } from './faultLog.js'
import { StartRefusedError, SupersededError } from './identityErrors.js'

export interface IdentityOptions {
  readonly boot: NodeDirectory
  readonly ports: Pick<NodePorts, 'clock' | 'random' | 'logger' | 'telemetry' | 'control'>
  readonly settings: ActorSettings
  /** Disk and incarnation are set here, by `identify` and when they have to change. */
  readonly self: NodeIdentityInput
  /** Whoever asks is answered below these, or below the connection's own inbox prefix. */
  readonly replyPrefixes: readonly string[]
  /** An empty data directory stops the start of a node that the arbiter knows. */
  readonly requiresData: boolean
  /** The arbiter knows this start now. */
  readonly onRegistered: () => void
  /** It was found out late that the directory is a copy of the past: its sessions are void. */
  readonly onReidentified: (reason: string) => void
  readonly onSuperseded: (reason: string) => void
}

/** How long a living process of the same name may take to answer. */
const twinPatienceMs = 300
/** Attempts to write the record, each after a definite refusal or an unknown outcome. */
const attemptsMax = 20
/** The number is raised this often while the node runs, so that a copy of its disk is known. */
const raiseMs = 600_000

/**
 * Whose data directory it is, and which start of the node this is. The order matters: the
 * directory is compared with the arbiter's record, then disk id and number become durable in one
 * write, then the record; only then may the node acknowledge for the commit, or stand. See
 * machines/protocol/directory.ts.
 */
export class Identity {
  /** The arbiter knows this start. */
  isRegistered = false
  /** What operators have to know of the directory, or null. */
  notice: string | null = null
  /** As it was when this process took it: the record is compared with that, and nothing later. */
  private directory: DirectoryIdentity | null = null
  private isOwned = false
  private readonly nonce: string
  /** For a directory that is given another disk id: one, however often it is tried. */
  private readonly freshDisk: string
  /** Its numbers are durable in the directory, and were sent to the arbiter, or are about to be. */
  private verdict: DirectoryVerdict | null = null
  /** Number in the directory and in the record; `self.incarnation`, or raised since. */
  private number = 0
  private arbiter: Arbiter | null = null
  private isWorking = false
  private raisedAtMs = 0
  private readonly faults: FaultLog

  constructor(private readonly options: IdentityOptions) {
    this.faults = new FaultLog(options.ports.clock, options.ports.logger)
    this.nonce = options.ports.random.uuid()
    this.freshDisk = options.ports.random.uuid()
  }

  /** Looks at the directory. Rejects as `Boot.identity` does, and when it is another node's. */
  async prepare(): Promise<void> {
    const { boot, self } = this.options
    this.directory = await boot.identity()
    const owner = this.directory?.node ?? self.node
    if (owner === self.node) return
    throw new StartRefusedError(`the data directory ${self.data} is that of node ${owner}, this is `
      + `node ${self.node}: start ${self.node} with its own directory, or ${owner} with this one`)
  }

  /** Once more, now that no other process can change it. */
  private async takeOver(): Promise<void> {
    if (this.isOwned) return
    await this.options.boot.confirmOwner()
    await this.prepare()
    this.isOwned = true
  }

  /**
   * Before this process says anything for the first time. Rejects with SupersededError,
   * StartRefusedError, and as long as an empty directory has no arbiter to ask, with what that
   * says.
   */
  async identify(connection: BusConnection, arbiter: Arbiter): Promise<void> {
    const { ports: { clock }, self } = this.options
    await this.refuseTwin(connection, true)
    await this.takeOver()
    this.raisedAtMs = clock.monotonicMs()
    try {
      await this.register(connection, arbiter)
      this.isRegistered = true
    } catch (error) {
      // What is empty has nothing to go on with. An arbiter may be away for a while.
      const isAway = error instanceof ArbiterUnavailableError && !connection.isClosed
      if (this.directory === null || !isAway) throw error
      Object.assign(self, await this.unregisteredNumbers(this.directory))
      this.options.ports.logger.warn({ error: error.message },
        'the arbiter does not answer: this node follows, and neither stands nor counts as in sync '
        + 'until it is registered there')
    }
  }

  /** Disk and number of a start that the arbiter has not confirmed. */
  private async unregisteredNumbers(
    { disk, incarnation, spoken: before }: DirectoryIdentity,
  ): Promise<Pick<DirectoryVerdict, 'disk' | 'incarnation'>> {
    // Sent to the arbiter, which may have it: the directory must not fall behind.
    if (this.verdict) return numbersOf(this.verdict)
    const spoken = Math.max(incarnation, before) + 1
    await this.options.boot.saveIdentity({ disk, incarnation, spoken })
    return { disk, incarnation: spoken }
  }

  /** While the node recovers: evidence that the process of before is gone. */
  answerPings(connection: BusConnection, number: number): BusSubscription {
    const { self: { node, disk, incarnation }, ports: { control, telemetry } } = this.options
    const prefixes = [...this.options.replyPrefixes, connection.inboxPrefix]
    const answer = control.encode({
      node, disk, server: connection.serverId, incarnation, connection: number,
    })
    return connection.subscribe(subjects.ping(node), ({ reply }) => {
      if (reply === undefined || connection.isClosed) return
      if (isBelow(reply, prefixes)) connection.publish(reply, answer)
      else telemetry.count('repliesForbidden')
    })
  }

  /**
   * A connection stands: the record is looked at over it, now or as soon as that is possible.
   * A node that comes back needs no arbiter: its roles and sessions go on without it.
   */
  async attach(connection: BusConnection, arbiter: Arbiter): Promise<void> {
    this.arbiter = arbiter
    while (this.arbiter === arbiter && !connection.isClosed) {
      try {
        await this.work(() => this.confirm(connection, arbiter))
        return this.faults.over()
      } catch (error) {
        if (error instanceof SupersededError) return this.options.onSuperseded(error.message)
        this.faults.tell(String(error), 'the arbiter\'s record of this node cannot be settled yet')
      }
      await this.pause(this.options.settings.heartbeatMs)
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

  /** Somebody speaks in this node's name. A later start of it is the node from now on. */
  heardOwnName(incarnation: number): void {
    if (incarnation <= this.options.self.incarnation) return
    this.options.onSuperseded(`node ${this.options.self.node} was started again, as incarnation `
      + `${incarnation}`)
  }

  // ---------------------------------------------------------------- twins

  /**
   * Rejects with SupersededError while another process answers to the name. `outwait`: nobody may
   * do so for a while, if nobody says that there is none; a former connection of this very process
   * is silent, too.
   */
  async refuseTwin(connection: BusConnection, outwait: boolean): Promise<void> {
    const { self, ports } = this.options
    let isSilent = false
    try {
      const answer = await connection.request(subjects.ping(self.node), new Uint8Array(0), {
        timeoutMs: twinPatienceMs,
      })
      const decoded = ports.control.pingAnswer(answer.data)
      throw livingTwin(self.node, decoded.ok ? decoded.value.incarnation : null)
    } catch (error) {
      if (error instanceof SupersededError) throw error
      isSilent = !(error instanceof NoRespondersError)
      if (isSilent && connection.isClosed) throw error
    }
    if (isSilent && outwait) await this.outwaitTwin(connection)
  }

  /**
   * Somebody subscribes to the ping subject and says nothing: a process of this name may be
   * stopped, and its lease may last. It is over when it was not heard for one lease.
   */
  private async outwaitTwin(connection: BusConnection): Promise<void> {
    const { self, settings, ports: { control, logger } } = this.options
    let heard: number | null = null
    const subscription = connection.subscribe(subjects.heartbeat(self.node), (message) => {
      const decoded = control.heartbeat(message.data)
      if (decoded.ok) heard = decoded.value.incarnation
    })
    const waitMs = settings.grantMs * settings.grantMargin
    logger.warn({ waitMs }, 'a process may live that has this node\'s name: waiting for one lease')
    try {
      await Promise.race([this.pause(waitMs), connection.closed])
      await connection.flush()
    } finally {
      subscription.unsubscribe()
    }
    if (heard !== null) throw livingTwin(self.node, heard)
  }

  // ---------------------------------------------------------------- the record

  /** The first time: judges the directory, and makes its new number durable on both sides. */
  private async register(connection: BusConnection, arbiter: Arbiter): Promise<void> {
    const { boot, ports, requiresData } = this.options
    // It must not be missing for want of a bucket: then nothing was lost.
    await arbiter.bucketId()
    // On an empty disk nothing tells how often this node was started before; the time does.
    const incarnation = Math.floor(ports.clock.wallMs() / 1000)
    const fresh = { disk: this.freshDisk, incarnation }
    let mayHaveTwin = false
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const found = await arbiter.read(this.key)
      const recorded = this.decode(found)
      if (recorded?.nonce === this.nonce) return this.registered(this.verdict!)
      // The record has moved since: somebody else registers.
      if (mayHaveTwin) await this.refuseTwin(connection, true)
      const verdict = judgeDirectory(this.directory, recorded, fresh)
      if (verdict.kind === 'empty' && requiresData) {
        throw new StartRefusedError(`${verdict.reason}. (--require-data)`)
      }
      const numbers = numbersOf(verdict)
      await boot.saveIdentity({ ...numbers, spoken: numbers.incarnation })
      this.verdict = verdict
      const outcome = await arbiter.compareAndSet(
        this.key, this.encode(numbers.disk, numbers.incarnation), found?.revision ?? 0)
      if (outcome.kind === 'applied') return this.registered(verdict)
      mayHaveTwin = outcome.kind === 'refused'
      if (outcome.kind === 'unknown') await this.pause(this.options.settings.heartbeatMs / 2)
    }
    throw new ArbiterUnavailableError('the arbiter did not settle the identity of this node')
  }

  /** Not before: what was said under other numbers until now is void only then. */
  private registered(verdict: DirectoryVerdict): void {
    const { kind, disk, incarnation, reason } = verdict
    const { self, self: { node } } = this.options
    Object.assign(self, numbersOf(verdict))
    this.number = incarnation
    this.directory = { node, disk, incarnation, spoken: incarnation }
    if (reason === null) return
    this.notice = reason
    const { logger, telemetry } = this.options.ports
    logger.error({ kind, disk, incarnation }, reason)
    telemetry.count('directoryNotices', 1, { kind })
  }

  /** On each connection: the record is still this process's, or becomes it. */
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
    this.isRegistered = true
    if (self.disk === disk && self.incarnation === incarnation) return onRegistered()
    onReidentified(`disk ${self.disk}, incarnation ${self.incarnation} from now on: the arbiter `
      + 'answered, and knows a later state of this disk')
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

  /** Once; what is not applied is tried again by the next connection, or the next raise. */
  private async rewrite(
    arbiter: Arbiter, found: ArbiterRecord | null, recorded: NodeIdentity | null,
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
        + 'this one another id, or stop that one')
  }

  private get key(): string {
    return `node.${this.options.self.node}`
  }

  /** Null where there is none, or none that can be read: then it was lost, and is written anew. */
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
      version: 1, node: self.node, disk, incarnation, pid: self.pid, host: self.hostname,
      http: self.http, nonce: this.nonce,
    })
  }

  /** One piece of work on the record at a time. */
  private async work(run: () => Promise<void>): Promise<void> {
    this.isWorking = true
    try {
      await run()
    } finally {
      this.isWorking = false
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise<void>((resolve) => {
      this.options.ports.clock.setTimeout(resolve, ms)
    })
  }
}

function numbersOf(
  { disk, incarnation }: DirectoryVerdict,
): Pick<DirectoryVerdict, 'disk' | 'incarnation'> {
  return { disk, incarnation }
}

function livingTwin(node: string, incarnation: number | null): SupersededError {
  return new SupersededError(`a living process has the id ${node}`
    + `${incarnation === null ? '' : ` (incarnation ${incarnation})`}: give this one another id, `
    + 'or stop that one first')
}

/** Trying again would not help: somebody has to do something first. */
export function isFinal(error: unknown): boolean {
  return error instanceof StartRefusedError
    || (error instanceof Error && 'code' in error && error.code === 'DIRECTORY_OWNED')
}
