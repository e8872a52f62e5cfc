/**
 * Whole nodes in one process and in virtual time: the actors, codecs, host, journal and salvage
 * of production over fakes of the bus, the arbiter, the disk, the store, the clock and chance.
 * One seed gives one run. Faults are done to a node (kill, powerCut, freeze), to the network
 * (`weather`), to the arbiter (`bucket`) or to a disk (`node.disk`); then time is let pass.
 */
import type { Boot, Recovered } from '../../actors/boot.js'
import { NodeActor } from '../../actors/node.js'
import type {
  BusConnection, Clock, ErrorAnswer, FileSystem, Logger, ReadAnswer, TimerHandle, WriteAnswer,
} from '../../actors/ports.js'
import { defaultSettings } from '../../actors/settings.js'
import type { ActorSettings } from '../../actors/settings.js'
import type { SpaceActor } from '../../actors/space.js'
import type { LogEntry } from '../../machines/memory.js'
import type { Assignment } from '../../machines/protocol.js'
import { subjects } from '../../machines/subjects.js'
import { createClientCodec } from '../../runtime/codec/client.js'
import { controlCodec } from '../../runtime/codec/control.js'
import { createFrameCodec } from '../../runtime/codec/frames.js'
import { createActorHost } from '../../runtime/host/index.js'
import { loadIdentity } from '../../runtime/journal/identity.js'
import { openJournal } from '../../runtime/journal/journal.js'
import { createSalvageFiles } from '../../runtime/journal/salvage.js'
import { MemoryBucket } from '../fakes/memoryArbiter.js'
import { MemoryBroker } from '../fakes/memoryBus.js'
import { MemoryFileSystem } from '../fakes/memoryFileSystem.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { VirtualClock } from '../fakes/virtualClock.js'

export interface SimOptions {
  readonly nodes?: readonly string[]
  readonly seed?: number
  readonly settings?: Partial<ActorSettings>
  /** Time of one message, and of one fdatasync, ms. */
  readonly latencyMs?: number
  readonly fsyncMs?: number
}

/** What becomes of a message between two nodes (or a client): lost, or this much later, ms. */
export type Weather = (from: string, to: string) => 'lost' | number

export type Answer = WriteAnswer | ErrorAnswer

/** A positive answer to a write, and the entry's node id: what the books are held against. */
export interface Acknowledged {
  readonly answer: WriteAnswer
  readonly ids: readonly string[]
}

/** A clock that dies with its process, and stands still while the process is stopped. */
class ProcessClock implements Clock {
  isDead = false
  isFrozen = false
  private due: (() => void)[] = []

  constructor(private readonly clock: VirtualClock) {}

  wallMs(): number {
    return this.clock.wallMs()
  }

  monotonicMs(): number {
    return this.clock.monotonicMs()
  }

  setTimeout(run: () => void, ms: number): TimerHandle {
    const handle: { timer?: TimerHandle; cleared?: boolean } = {}
    handle.timer = this.clock.setTimeout(() => this.run(() => {
      if (!handle.cleared) run()
    }), ms)
    return handle
  }

  clearTimeout(timer: TimerHandle): void {
    const handle = timer as { timer?: TimerHandle; cleared?: boolean }
    handle.cleared = true
    if (handle.timer) this.clock.clearTimeout(handle.timer)
  }

  /** Now, when the process goes on again, or never. */
  run(run: () => void): void {
    if (this.isDead) return
    if (this.isFrozen) this.due.push(run)
    else run()
  }

  thaw(): void {
    this.isFrozen = false
    for (const run of this.due.splice(0)) this.run(run)
  }
}

/** The disk with a price on fdatasync, so that a crash can fall between write and sync. */
function withLatency(disk: FileSystem, clock: Clock, fsyncMs: () => number): FileSystem {
  return {
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (path) => disk.list(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    open: async (path, mode) => {
      const handle = await disk.open(path, mode)
      return {
        write: (buffers, offset) => handle.write(buffers, offset),
        read: (into, offset) => handle.read(into, offset),
        truncate: (length) => handle.truncate(length),
        size: () => handle.size(),
        close: () => handle.close(),
        datasync: async () => {
          const ms = fsyncMs()
          if (ms > 0) await new Promise<void>((resolve) => clock.setTimeout(resolve, ms))
          await handle.datasync()
        },
      }
    },
  }
}

/** One life of a node: from its start to its end. */
interface Life {
  readonly clock: ProcessClock
  readonly actor: NodeActor
  connection: BusConnection | null
}

export class SimNode {
  disk = new MemoryFileSystem()
  store = new MemoryStore()
  life: Life | null = null
  /** Code of the last exit; null while it never ended by itself. */
  exitCode: number | null = null
  readonly log: { level: string; message: string; fields: object }[] = []
  readonly counts = new Map<string, number>()
  private lives = 0

  constructor(readonly id: string, private readonly cluster: SimCluster) {}

  start(): void {
    if (this.life) throw new Error(`${this.id} is running`)
    const { cluster, id } = this
    const clock = new ProcessClock(cluster.clock)
    const random = cluster.random.fork(`${id}.${(this.lives += 1)}`)
    const host = createActorHost({
      node: id, clock, logger: this.logger(), onEscalation: (error) => actor.fatal(error),
    })
    const actor: NodeActor = new NodeActor({
      node: id, pid: this.lives, hostname: 'sim', data: '/data', version: '0', cleanStopMs: 10_000,
      settings: cluster.settings,
      ports: {
        clock, random, host, logger: this.logger(),
        telemetry: {
          count: (name, by = 1) => this.counts.set(name, (this.counts.get(name) ?? 0) + by),
          observe: () => undefined,
        },
        bus: { connect: () => this.connect(life) },
        openArbiter: cluster.bucket.open,
        frames: createFrameCodec(), clients: createClientCodec(), control: controlCodec(),
      },
      boot: this.boot(clock, random),
      report: () => Buffer.from('{}'),
      onRunning: () => undefined,
      onExit: (code) => this.ended(life, code),
      onConnection: (connection) => {
        if (connection) host.attachBus(connection)
        else host.detachBus()
      },
    })
    const life: Life = { clock, actor, connection: null }
    this.life = life
    actor.start()
  }

  get actor(): NodeActor {
    if (!this.life) throw new Error(`${this.id} does not run`)
    return this.life.actor
  }

  space(name = 'demo'): SpaceActor {
    const space = this.life?.actor.spaces.get(name)
    if (!space) throw new Error(`${this.id} does not hold ${name}`)
    return space
  }

  /** kill -9: the connection is cut, no timer runs on, what was written is in the page cache. */
  kill(): void {
    this.end('kill')
    this.disk.kill()
  }

  /** The machine loses power: what was not synced is gone, wholly or (`next`) in part. */
  powerCut(next: (() => number) | null = null): void {
    this.end('power cut')
    this.disk.powerCut(next)
  }

  /** SIGSTOP: nothing runs, the connection stands. */
  freeze(): void {
    this.life!.clock.isFrozen = true
  }

  thaw(): void {
    this.life!.clock.thaw()
  }

  /** Another disk in the same node. */
  replaceDisk(): void {
    this.disk = new MemoryFileSystem()
    this.store = new MemoryStore()
  }

  private end(reason: string): void {
    const { life } = this
    if (!life) throw new Error(`${this.id} does not run`)
    this.life = null
    life.clock.isDead = true
    if (life.connection) this.cluster.broker.kill(life.connection, reason)
  }

  private ended(life: Life, code: number): void {
    if (this.life !== life) return
    this.exitCode = code
    this.end(`exit ${code}`)
    this.disk.kill()
  }

  private async connect(life: Life): Promise<BusConnection> {
    const connection = await this.cluster.broker.bus().connect()
    if (life.clock.isDead) {
      this.cluster.broker.kill(connection)
      throw new Error('the process is dead')
    }
    life.connection = connection
    this.cluster.owners.set(connection, { name: this.id, clock: life.clock })
    return connection
  }

  private boot(clock: Clock, random: SeededRandom): Boot {
    const { cluster, store } = this
    const logger = this.logger()
    const fileSystem = withLatency(this.disk, clock, () => cluster.fsyncMs)
    return {
      open: () => loadIdentity('/data', fileSystem, random, Math.floor(clock.wallMs() / 1000)),
      recover: async (): Promise<Recovered> => ({
        journal: await openJournal({ directory: '/data/journal', fileSystem, random, logger }),
        store,
        salvages: createSalvageFiles({ directory: '/data/salvage', fileSystem, logger }),
      }),
      close: () => Promise.resolve(),
    }
  }

  private logger(): Logger {
    const at = (level: string) => (fields: object, message: string) => {
      this.log.push({ level, message, fields })
      if (process.env['SIM_LOG']) {
        console.log(this.cluster.clock.monotonicMs().toFixed(1), this.id, level, message,
          JSON.stringify(fields))
      }
    }
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  }
}

export class SimCluster {
  readonly clock = new VirtualClock()
  readonly bucket = new MemoryBucket()
  readonly broker: MemoryBroker
  readonly random: SeededRandom
  readonly settings: ActorSettings
  readonly nodes = new Map<string, SimNode>()
  readonly owners = new Map<BusConnection, { name: string; clock: ProcessClock | null }>()
  readonly acknowledged: Acknowledged[] = []
  fsyncMs: number
  weather: Weather
  /** The broker, as seen by no node: clients ask over it. */
  client!: BusConnection
  private readonly lastDue = new Map<string, number>()
  private written = 0

  private constructor(options: SimOptions) {
    const { seed = 1, latencyMs = 0.2, fsyncMs = 1, nodes = ['n1', 'n2', 'n3'] } = options
    this.random = new SeededRandom(seed)
    this.settings = { ...defaultSettings, ...options.settings }
    this.fsyncMs = fsyncMs
    this.weather = () => latencyMs
    this.broker = new MemoryBroker({
      clock: this.clock, random: this.random.fork('broker'),
      schedule: (run, from, to) => this.deliver(run, from, to),
      onHandlerError: (error, subject) => {
        throw new Error(`a handler of ${subject} threw`, { cause: error })
      },
    })
    for (const id of nodes) this.nodes.set(id, new SimNode(id, this))
  }

  /** All nodes running and known to each other. */
  static async start(options: SimOptions = {}): Promise<SimCluster> {
    const cluster = new SimCluster(options)
    cluster.client = await cluster.broker.bus().connect()
    cluster.owners.set(cluster.client, { name: 'client', clock: null })
    for (const node of cluster.nodes.values()) node.start()
    const all = cluster.nodes.size
    await cluster.until('all nodes are up', () => [...cluster.nodes.values()]
      .every((node) => node.actor.context?.peers.living().length === all))
    return cluster
  }

  node(id: string): SimNode {
    const node = this.nodes.get(id)
    if (!node) throw new Error(`there is no node ${id}`)
    return node
  }

  get running(): SimNode[] {
    return [...this.nodes.values()].filter((node) => node.life !== null)
  }

  private deliver(run: () => void, from: BusConnection | null, to: BusConnection): void {
    const sender = from ? this.owners.get(from)?.name ?? '?' : 'broker'
    const receiver = this.owners.get(to)
    const fate = sender === 'broker' ? 0 : this.weather(sender, receiver?.name ?? '?')
    if (fate === 'lost') return
    // In order per pair, whatever the weather: that is NATS's promise.
    const pair = `${sender} ${receiver?.name ?? '?'}`
    const now = this.clock.monotonicMs()
    const due = Math.max(now + fate, this.lastDue.get(pair) ?? 0)
    this.lastDue.set(pair, due)
    this.clock.setTimeout(() => {
      if (receiver?.clock) receiver.clock.run(run)
      else run()
    }, due - now)
  }

  // ---------------------------------------------------------------- time

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

  describe(name = 'demo'): string {
    return this.running.map(({ id, actor }) => {
      const space = actor.spaces.get(name)
      return `${id}: ${actor.state} ${space
        ? JSON.stringify([space.roleState, space.member.log.end, space.member.log.commitSequence,
          space.member.record?.assignment]) : 'holds nothing'}`
    }).join('\n')
  }

  // ---------------------------------------------------------------- what clients do

  /** An operator's order. */
  async order(node: string, order: object): Promise<Record<string, unknown>> {
    const data = Buffer.from(JSON.stringify(order))
    const answer = await this.wait(this.client.request(subjects.admin(node), data, {
      timeoutMs: 12_000,
    }))
    return JSON.parse(Buffer.from(answer.data).toString()) as Record<string, unknown>
  }

  async createSpace(settings: object = {}, space = 'demo'): Promise<void> {
    const [first] = this.running
    const answer = await this.order(first!.id, { type: 'createSpace', space, ...settings })
    if (answer['ok'] !== true) throw new Error(JSON.stringify(answer))
    await this.until(`${space} has a primary`, () => this.primary(space) !== null)
  }

  /** Sends a write; resolves with its answer, or null (503, silence). Nothing waits for it. */
  async send(
    headers: Record<string, string> = {}, count = 1, space = 'demo',
  ): Promise<Answer | null> {
    const ids = Array.from({ length: count }, () => `w${(this.written += 1)}`)
    const operations = ids.map((id) => ({ type: 'StoreNode', node: { id, content: id } }))
    const body = JSON.stringify(count === 1 ? operations[0] : { operations })
    try {
      const message = await this.client.request(subjects.write(space), Buffer.from(body), {
        timeoutMs: 8000, headers,
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
      Array.from({ length: count }, () => this.send({ 'Engram-Ack': ack }))))
    return answers.map((answer) => {
      if (!answer?.ok) throw new Error(`refused: ${JSON.stringify(answer)}`)
      return answer
    })
  }

  async read(
    query: object, headers: Record<string, string> = {}, subject = subjects.read('demo'),
  ): Promise<ReadAnswer | ErrorAnswer> {
    const message = await this.wait(this.client.request(
      subject, Buffer.from(JSON.stringify(query)), { timeoutMs: 5000, headers }))
    return JSON.parse(Buffer.from(message.data).toString()) as ReadAnswer | ErrorAnswer
  }

  // ---------------------------------------------------------------- what is seen

  primary(space = 'demo'): SimNode | null {
    const serving = this.running.filter((node) => node.life?.actor.spaces.get(space)?.serves)
    if (serving.length > 1) {
      throw new Error(`I2: ${serving.map((node) => node.id).join(' and ')} serve ${space}`)
    }
    return serving[0] ?? null
  }

  record(space = 'demo'): Assignment | null {
    const found = this.bucket.snapshot().get(`space.${space}`)
    return found ? JSON.parse(Buffer.from(found.value).toString()) as Assignment : null
  }

  async entries(id: string, space = 'demo'): Promise<LogEntry[]> {
    const { log } = this.node(id).space(space).member
    const codec = createFrameCodec()
    const entries: LogEntry[] = []
    while (entries.length < log.written.sequence) {
      const frames = await log.framesFrom(entries.length + 1, 1 << 20)
      if (frames.length === 0) break
      for (const frame of frames) entries.push(...codec.entries(frame))
    }
    return entries
  }

  /** Every running member follows or reigns, and has applied the same. */
  async converged(space = 'demo', maxMs = 10_000): Promise<void> {
    await this.until('the members are level', () => {
      const primary = this.primary(space)
      if (!primary) return false
      const { log } = primary.space(space).member
      return this.running.every((node) => {
        const member = node.life?.actor.spaces.get(space)?.member
        return member !== undefined && member.log.durable.sequence === log.end.sequence
          && member.store.applied.sequence === log.end.sequence
          && (node === primary || member.isFollowing)
      })
    }, maxMs)
  }

  /**
   * The books (I3, I5, I6, I8), once level: logs and digests are equal; what was answered is in
   * the log under its epoch, or for `durable` and less in a salvage; `memory` may be lost.
   */
  async check(space = 'demo'): Promise<void> {
    await this.converged(space)
    const primary = this.primary(space)!
    const log = JSON.stringify(await this.entries(primary.id, space))
    const { digest } = primary.space(space).member.store
    for (const { id } of this.running) {
      if (JSON.stringify(await this.entries(id, space)) !== log) throw new Error(`I3: log of ${id}`)
      if (this.node(id).space(space).member.store.digest !== digest) {
        throw new Error(`I8: digest of ${id}`)
      }
    }
    const kept = await this.salvaged(space)
    const placed = new Map((await this.entries(primary.id, space)).map((e) => [idOf(e), e]))
    for (const { answer, ids } of this.acknowledged) {
      if (answer.space !== space || answer.ack === 'memory') continue
      for (const id of ids) {
        const entry = placed.get(id)
        if (entry ? entry.sequence <= answer.sequence
          : answer.ack === 'durable' && kept.has(id)) continue
        throw new Error(`lost: ${id}, answered ${JSON.stringify(answer)}`)
      }
    }
  }

  /** Ids in the salvages of the running nodes. */
  async salvaged(space = 'demo'): Promise<Set<string>> {
    const codec = createFrameCodec()
    const found = new Set<string>()
    for (const node of this.running) {
      const { salvages } = node.actor.context!.ports
      for (const { name, header } of await salvages.list()) {
        if (header.space !== space) continue
        const { frames } = await salvages.read(name)
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
