/**
 * Whole nodes in one process and in virtual time: the actors, codecs, host, journal and salvage
 * of production over fakes of the bus, the arbiter, the disk, the store, the clock and chance.
 * One seed gives one run. Faults are done to a node (kill, powerCut, freeze), to the network
 * (`weather`), to the arbiter (`bucket`) or to a disk (`node.disk`); then time is let pass.
 */
import type { BusConnection } from '../../actors/ports/bus.js'
import type { ErrorAnswer, ReadAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import { defaultSettings } from '../../actors/ports/defaultSettings.js'
import type { ActorSettings } from '../../actors/ports/defaultSettings.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { controlCodec } from '../../runtime/codec/controlCodec.js'
import { createFrameCodec } from '../../runtime/codec/frames.js'
import { wireOverheadBytes } from '../../runtime/config/options.js'
import { MemoryBucket } from '../fakes/memoryArbiter.js'
import { MemoryBroker } from '../fakes/memoryBus.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { VirtualClock } from '../fakes/virtualClock.js'
import { readSalvage } from './salvages.js'
import type { SimEnvironment, SimEvents } from './simEnvironment.js'
import { SimNode } from './simNode.js'
import type { ClockFault, ProcessClock } from './simProcess.js'

const control = controlCodec()

export type SimObserver = SimEvents<SimNode>

export interface SimOptions {
  readonly nodes?: readonly string[]
  readonly seed?: number
  readonly settings?: Partial<ActorSettings>
  /** Size of a segment of the journals. */
  readonly segmentBytes?: number
  /** Time of one message, and of one fdatasync, ms. */
  readonly latencyMs?: number
  readonly fsyncMs?: number
  readonly observer?: SimObserver
  /** Takes the place of `weather`, for every message, the broker's own included. */
  readonly transit?: Transit
  /** ms of a request to the arbiter, or of its answer; null: lost. Without it: at once. */
  readonly arbiterDelayMs?: (node: string, way: 'request' | 'answer') => number | null
  readonly bucket?: MemoryBucket
  /** Limit of the broker; frames are as large as it lets them be, 512 KiB at most. */
  readonly maxPayload?: number
  /** Clock rates and offsets by node; the world's own where there is none. */
  readonly clocks?: Readonly<Record<string, ClockFault>>
  /** Failure domains by node. */
  readonly zones?: Readonly<Record<string, string>>
}

/** When a message arrives, ms from now: never (none), once, or more than once. */
export type Transit = (from: string, to: string, subject: string) => readonly number[]

/** The fate of a message between two nodes (or a client): lost, or this much later, ms. */
export type Weather = (from: string, to: string) => 'lost' | number

export type Answer = WriteAnswer | ErrorAnswer

/** A positive answer to a write, and the ids of its nodes, for the final check. */
export interface Acknowledged {
  readonly answer: WriteAnswer
  readonly ids: readonly string[]
}

export class SimCluster implements SimEnvironment<SimNode> {
  readonly clock = new VirtualClock()
  readonly bucket: MemoryBucket
  readonly observer: SimObserver | null
  readonly arbiterDelayMs: SimOptions['arbiterDelayMs'] | null
  /** The arbiter takes requests as long as it runs, whatever became of their senders. */
  readonly arbiterConnection = { isClosed: false } as BusConnection
  readonly broker: MemoryBroker
  readonly random: SeededRandom
  readonly settings: ActorSettings
  readonly segmentBytes: number | null
  readonly nodes = new Map<string, SimNode>()
  readonly owners = new Map<BusConnection, { name: string; clock: ProcessClock | null }>()
  readonly acknowledged: Acknowledged[] = []
  fsyncMs: number
  weather: Weather
  /** The broker, as seen by no node: clients ask over it. */
  client!: BusConnection
  transit: Transit | null
  private readonly lastDue = new Map<string, number>()
  private written = 0

  private constructor(options: SimOptions) {
    const { seed = 1, latencyMs = 0.2, fsyncMs = 1, nodes = ['n1', 'n2', 'n3'] } = options
    this.random = new SeededRandom(seed)
    const { maxPayload } = options
    const { frameBytesMax } = defaultSettings
    this.settings = {
      ...defaultSettings,
      // Primaries stay where a test has them, unless it is about that.
      autoBalance: 'off',
      frameBytesMax: Math.min(frameBytesMax, (maxPayload ?? Infinity) - wireOverheadBytes),
      ...options.settings,
    }
    this.segmentBytes = options.segmentBytes ?? null
    this.fsyncMs = fsyncMs
    this.weather = () => latencyMs
    this.observer = options.observer ?? null
    this.transit = options.transit ?? null
    this.arbiterDelayMs = options.arbiterDelayMs ?? null
    this.bucket = options.bucket ?? new MemoryBucket()
    this.broker = new MemoryBroker({
      clock: this.clock,
      random: this.random.fork('broker'),
      ...(maxPayload && { maxPayload }),
      schedule: (run, from, to, message) => this.deliver(run, from, to, message),
      onHandlerError: (error, subject) => {
        throw new Error(`a handler of ${subject} threw`, { cause: error })
      },
    })
    for (const id of nodes) {
      const node = new SimNode(id, this)
      node.clocks = options.clocks?.[id] ?? node.clocks
      node.zone = options.zones?.[id] ?? null
      this.nodes.set(id, node)
    }
  }

  /** All nodes running and known to each other. */
  static async start(options: SimOptions = {}): Promise<SimCluster> {
    const cluster = SimCluster.create(options)
    await cluster.boot()
    return cluster
  }

  /** The same with the space `teams`: all are in sync, and have so many writes. */
  static async serving(
    { space, writes, ...options }: SimOptions & { space?: object; writes: number },
  ): Promise<SimCluster> {
    const cluster = await SimCluster.start(options)
    await cluster.createSpace(space)
    await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
    await cluster.writes(writes, 'committed')
    await cluster.converged()
    return cluster
  }

  /** Nothing runs yet. */
  static create(options: SimOptions = {}): SimCluster {
    return new SimCluster(options)
  }

  async boot(): Promise<void> {
    this.client = await this.broker.bus().connect()
    this.owners.set(this.client, { name: 'client', clock: null })
    for (const node of this.nodes.values()) node.start()
    const all = this.nodes.size
    await this.until('all nodes are up', () =>
      [...this.nodes.values()]
        .every((node) => node.life?.actor.context?.peers.living().length === all))
  }

  node(id: string): SimNode {
    const node = this.nodes.get(id)
    if (!node) throw new Error(`there is no node ${id}`)
    return node
  }

  get running(): SimNode[] {
    return [...this.nodes.values()].filter((node) => node.life !== null)
  }

  private deliver(
    run: () => void,
    from: BusConnection | null,
    to: BusConnection,
    { subject, data }: { readonly subject: string; readonly data: Uint8Array },
  ): void {
    const sender = from ? this.owners.get(from)?.name ?? '?' : 'broker'
    const owner = this.owners.get(to)
    const receiver = owner?.name ?? '?'
    const arrive = (): void => {
      this.observer?.delivered?.(sender, receiver, subject, data)
      if (owner?.clock) owner.clock.run(run)
      else run()
    }
    // In order per pair, whatever the weather: that is NATS's promise.
    const pair = `${sender} ${receiver}`
    const now = this.clock.monotonicMs()
    for (const delayMs of this.fatesOf(sender, receiver, subject)) {
      const due = Math.max(now + delayMs, this.lastDue.get(pair) ?? 0)
      this.lastDue.set(pair, due)
      this.clock.setTimeout(arrive, due - now)
    }
  }

  private fatesOf(sender: string, receiver: string, subject: string): readonly number[] {
    if (this.transit) return this.transit(sender, receiver, subject)
    const fate = sender === 'broker' ? 0 : this.weather(sender, receiver)
    return fate === 'lost' ? [] : [fate]
  }

  async run(ms: number): Promise<void> {
    await this.clock.advanceAsync(ms)
  }

  /** Lets time pass until it is so; returns how long it took, ms. */
  async until(what: string, isSo: () => boolean, maxMs = 10_000): Promise<number> {
    const begun = this.clock.monotonicMs()
    while (!isSo()) {
      if (this.clock.monotonicMs() - begun > maxMs) {
        throw new Error(`not within ${maxMs} ms (seed ${this.random.seed}): ${what}\n`
          + this.describe())
      }
      await this.run(5)
    }
    return this.clock.monotonicMs() - begun
  }

  async wait<T>(work: Promise<T>, maxMs = 15_000): Promise<T> {
    let settled = false
    const noted = work.finally(() => {
      settled = true
    })
    noted.catch(() => undefined)
    await this.until('the answer is there', () => settled, maxMs)
    return await noted
  }

  describe(name = 'teams'): string {
    return this.running.map(({ id, actor }) => {
      const space = actor.spaces.get(name)
      return `${id}: ${actor.state} ${
        space
          ? JSON.stringify([space.roleState, space.member.log.end, space.member.log.commitSequence,
            space.member.known.record?.assignment])
          : 'holds nothing'
      }`
    }).join('\n')
  }

  /** Sends an operator's command to a node, and returns its answer. */
  async command(node: string, command: object): Promise<Record<string, unknown>> {
    const data = Buffer.from(JSON.stringify(command))
    const answer = await this.wait(this.client.request(subjects.admin(node), data, {
      timeoutMs: 12_000,
    }))
    return JSON.parse(Buffer.from(answer.data).toString()) as Record<string, unknown>
  }

  async createSpace(settings: object = {}, space = 'teams'): Promise<void> {
    const [first] = this.running
    const answer = await this.command(first!.id, { type: 'createSpace', space, ...settings })
    if (answer['ok'] !== true) throw new Error(JSON.stringify(answer))
    await this.until(`${space} has a primary`, () => this.primary(space) !== null)
  }

  /** Sends a write; resolves with its answer, or null (503, silence). Nothing waits for it. */
  async send(
    headers: Record<string, string> = {},
    count = 1,
    space = 'teams',
  ): Promise<Answer | null> {
    const ids = Array.from({ length: count }, () => `w${(this.written += 1)}`)
    const operations = ids.map((id) => ({ type: 'StoreNode', node: { id, content: id } }))
    const body = JSON.stringify(count === 1 ? operations[0] : { operations })
    try {
      const message = await this.client.request(subjects.write(space), Buffer.from(body), {
        timeoutMs: 8000,
        headers,
      })
      const answer = JSON.parse(Buffer.from(message.data).toString()) as Answer
      if (answer.ok && !answer.duplicate) this.acknowledged.push({ answer, ids })
      return answer
    } catch {
      return null
    }
  }

  async write(ack = 'durable', headers: Record<string, string> = {}): Promise<Answer | null> {
    return await this.wait(this.send({ 'Engram-Ack': ack, ...headers }))
  }

  /** Writes that must succeed. */
  async writes(count: number, ack = 'durable'): Promise<WriteAnswer[]> {
    const answers = await this.wait(Promise.all(
      Array.from({ length: count }, () => this.send({ 'Engram-Ack': ack })),
    ))
    return answers.map((answer) => {
      if (!answer?.ok) throw new Error(`refused: ${JSON.stringify(answer)}`)
      return answer
    })
  }

  async read(
    query: object,
    headers: Record<string, string> = {},
    subject = subjects.read('teams'),
  ): Promise<ReadAnswer | ErrorAnswer> {
    const message = await this.wait(this.client.request(
      subject,
      Buffer.from(JSON.stringify(query)),
      { timeoutMs: 5000, headers },
    ))
    return JSON.parse(Buffer.from(message.data).toString()) as ReadAnswer | ErrorAnswer
  }

  primary(space = 'teams'): SimNode | null {
    const serving = this.running.filter((node) => node.life?.actor.spaces.get(space)?.serves)
    if (serving.length > 1) {
      throw new Error(`I2: ${serving.map((node) => node.id).join(' and ')} serve ${space}`)
    }
    return serving[0] ?? null
  }

  /** null: there is none, or none that can be read. */
  record(space = 'teams'): Assignment | null {
    const found = this.bucket.snapshot().get(`space.${space}`)
    const decoded = found && control.assignment(found.value)
    return decoded?.ok ? decoded.value : null
  }

  async entries(id: string, space = 'teams'): Promise<LogEntry[]> {
    const { log } = this.node(id).space(space).member
    const codec = createFrameCodec()
    const entries: LogEntry[] = []
    // A log that was installed has no entries up to its base.
    for (let last = log.base; last < log.written.sequence; last = entries.at(-1)!.sequence) {
      const frames = await log.framesFrom(last + 1, 1 << 20)
      if (frames.length === 0) break
      for (const frame of frames) entries.push(...codec.entries(frame))
    }
    return entries
  }

  /** Running members; all nodes while there is no record. */
  members(space = 'teams'): SimNode[] {
    const members = this.record(space)?.members.map(({ node }) => node)
    return this.running.filter(({ id }) => members?.includes(id) ?? true)
  }

  /** Every running member is primary or follows, and has applied the same. */
  async converged(space = 'teams', maxMs = 10_000): Promise<void> {
    await this.until('the members are level', () => {
      const primary = this.primary(space)
      if (!primary) return false
      const { log } = primary.space(space).member
      return this.members(space).every((node) => {
        const member = node.life?.actor.spaces.get(space)?.member
        return member !== undefined && member.log.durable.sequence === log.end.sequence
          && member.store.applied.sequence === log.end.sequence
          && (node === primary || member.following.isFollowing)
      })
    }, maxMs)
  }

  /**
   * The final check (I3, I5, I6, I8), once level: logs and digests are equal; what was answered is in
   * the log under its epoch, or for `durable` and less in a salvage; `memory` may be lost.
   */
  async check(space = 'teams'): Promise<void> {
    await this.converged(space)
    const primary = this.primary(space)!
    const baseOf = ({ id }: SimNode) => this.node(id).space(space).member.log.base
    const fullest = this.members(space).toSorted((a, b) => baseOf(a) - baseOf(b))[0]!
    const log = await this.entries(fullest.id, space)
    const stored = primary.space(space).member.store
    for (const each of this.members(space)) {
      const { id } = each
      const kept = JSON.stringify(log.filter(({ sequence }) => sequence > baseOf(each)))
      if (JSON.stringify(await this.entries(id, space)) !== kept)
        throw new Error(`I3: log of ${id}`)
      if (this.node(id).space(space).member.store.digest !== stored.digest) {
        throw new Error(`I8: digest of ${id}`)
      }
    }
    const kept = await this.salvaged(space)
    const entries = log.filter(({ operation }) => operation.type === 'StoreNode')
    const placed = new Map(entries.map((entry) => [idOf(entry), entry]))
    // Every write is sent once: none may take effect twice.
    if (placed.size !== entries.length) throw new Error('a write is in the log twice')
    for (const { answer, ids } of this.acknowledged) {
      if (answer.space !== space || answer.ack === 'memory') continue
      for (const id of ids) {
        if (answer.sequence <= baseOf(fullest) && stored.node(id)) continue
        const entry = placed.get(id)
        if (entry
          ? entry.sequence <= answer.sequence || entry.reconciliation
          : answer.ack === 'durable' && kept.has(id)) continue
        throw new Error(`lost: ${id}, answered ${JSON.stringify(answer)}`)
      }
    }
  }

  /** Ids in the salvages of the running nodes. */
  async salvaged(space = 'teams'): Promise<Set<string>> {
    const codec = createFrameCodec()
    const found = new Set<string>()
    for (const node of this.running) {
      const { salvages } = node.actor.context!.ports
      for (const { name, header } of await salvages.list()) {
        if (header.space !== space) continue
        const { frames } = await readSalvage(salvages, name)
        for (const frame of frames) {
          for (const entry of codec.entries(frame)) found.add(idOf(entry))
        }
      }
    }
    return found
  }
}

function idOf({ operation }: LogEntry): string {
  return operation.type === 'StoreNode' ? operation.node.id : operation.type
}
