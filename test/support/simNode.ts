/** One node of the simulated cluster: a process that can be killed, frozen, started again. */
import { NodeActor } from '../../actors/node/node.js'
import { ArbiterUnavailableError } from '../../actors/ports/arbiter.js'
import type { Arbiter } from '../../actors/ports/arbiter.js'
import type { BusConnection } from '../../actors/ports/bus.js'
import type { Frame, FrameCodec } from '../../actors/ports/frames.js'
import type { Journal, SalvageFiles } from '../../actors/ports/journal.js'
import type { NodeDirectory, Recovered } from '../../actors/ports/nodeDirectory.js'
import type { Logger } from '../../actors/ports/system.js'
import type { SpaceActor } from '../../actors/space/space.js'
import { createClientCodec } from '../../runtime/codec/clientCodec.js'
import { controlCodec } from '../../runtime/codec/controlCodec.js'
import { createFrameCodec } from '../../runtime/codec/frames.js'
import { createActorHost } from '../../runtime/host/index.js'
import type { ActorHostRuntime } from '../../runtime/host/index.js'
import { NodeRecorder } from '../../runtime/inspect/recorder.js'
import { DataDirectory } from '../../runtime/journal/dataDirectory.js'
import { DirectoryOwnedError, type DirectoryOwner } from '../../runtime/journal/directoryOwner.js'
import { openCheckpoints } from '../../runtime/checkpoint/checkpoints.js'
import { createSalvageFiles } from '../../runtime/journal/salvage.js'
import { MemoryFileSystem } from '../fakes/memoryFileSystem.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import type { SimEnvironment } from './simEnvironment.js'
import { processArbiter, processConnection, processFiles, ProcessClock,
  processStore } from './simProcess.js'
import type { Caller, ClockFault, PortName } from './simProcess.js'

export { ProcessClock } from './simProcess.js'

/** As nodes have it beside clients: nobody else is answered below it. */
export const nodesInbox = '_INBOX_node'

/** The point where a process is to die: at the n-th call from now (1: the next) of one port or any. */
export interface CrashPoint {
  readonly port: PortName | 'any'
  /** Counted are calls of this operation only; null: all. */
  readonly operation: string | null
  calls: number
  /** `before` the call takes effect, or `after` it did and before the process hears of it. */
  readonly moment: 'before' | 'after'
  readonly die: () => void
}

/** One life of a node: from its start to its end. */
export interface Life extends Caller {
  readonly clock: ProcessClock
  readonly actor: NodeActor
  readonly host: ActorHostRuntime
  /** In memory: of this life only. */
  readonly events: NodeRecorder
  /** Counts the lives of this node, from 1. */
  readonly number: number
  connection: BusConnection | null
}

/** The process that has a disk, by its clock. */
const owners = new WeakMap<MemoryFileSystem, ProcessClock>()

export class SimNode {
  disk = new MemoryFileSystem()
  store = new MemoryStore()
  life: Life | null = null
  /** Code of the last exit; null while it never ended by itself. */
  exitCode: number | null = null
  /** Files that were still open when it exited by itself. */
  leftOpen: readonly string[] = []
  readonly log: { level: string; message: string; fields: object }[] = []
  readonly counts = new Map<string, number>()
  zone: string | null = null
  clocks: ClockFault = { rate: 1, wallOffsetMs: 0 }
  /** ms of each operation of this disk; null: an fdatasync takes the cluster's `fsyncMs`. */
  diskDelayMs: ((operation: string) => number) | null = null
  crash: CrashPoint | null = null
  lives = 0
  /** From the next start on. */
  allowsChaos = true
  /** Another process that has the disk is seen, as it is by its socket; not over a network. */
  seesOwner = true
  /** The disk is another process's: it goes on when this one ends. */
  private isTwin = false

  constructor(readonly id: string, private readonly cluster: SimEnvironment<SimNode>) {}

  start(): void {
    if (this.life) throw new Error(`${this.id} is running`)
    const { cluster, id } = this
    const clock = new ProcessClock(cluster.clock, this.clocks)
    const caller: Caller = {
      clock,
      onCall: (port, operation) => this.reached(port, operation, 'before'),
      onReturn: (port, operation) => {
        if (!clock.isDead) this.reached(port, operation, 'after')
      },
    }
    const random = cluster.random.fork(`${id}.${(this.lives += 1)}`)
    const host = createActorHost({
      node: id,
      clock,
      logger: this.logger(),
      onEscalation: (error) => actor.fatal(error),
    })
    const events = new NodeRecorder({ node: id, clock })
    events.begin(null)
    cluster.observer?.starting?.(this, host, events)
    const actor: NodeActor = new NodeActor({
      process: { node: id, pid: this.lives, hostname: 'sim', data: '/data', version: '0',
        zone: this.zone },
      cleanStopMs: 10_000,
      allowsChaos: this.allowsChaos,
      settings: cluster.settings,
      ports: {
        clock,
        random,
        host,
        events,
        logger: this.logger(),
        telemetry: {
          count: (name, by = 1) => this.counts.set(name, (this.counts.get(name) ?? 0) + by),
          observe: () => undefined,
        },
        bus: { connect: () => this.connect(life) },
        openArbiter: (connection) => this.openArbiter(connection, caller),
        frames: this.codec(),
        clients: createClientCodec(),
        control: controlCodec(),
      },
      boot: this.boot(caller, random),
      status: { who: () => ({}), head: () => ({}), member: () => ({}) },
      replyPrefixes: ['_INBOX'],
      program: {
        onRunning: () => undefined,
        onExit: (code, reason) => this.ended(life, code, reason),
        onConnection: (connection) => {
          if (connection) host.attachBus(connection)
          else host.detachBus()
        },
      },
    })
    const life: Life = { ...caller, actor, host, events, number: this.lives, connection: null }
    this.life = life
    actor.start()
  }

  get actor(): NodeActor {
    if (!this.life) throw new Error(`${this.id} does not run`)
    return this.life.actor
  }

  space(name = 'teams'): SpaceActor {
    const space = this.life?.actor.spaces.get(name)
    if (!space) throw new Error(`${this.id} does not hold ${name}`)
    return space
  }

  /** kill -9: the connection is cut, no timer runs on, what was written is in the page cache. */
  kill(): void {
    this.end('kill')
    if (!this.isTwin) this.disk.kill()
  }

  /** The machine loses power: what was not synced is gone, wholly or (`next`) in part. */
  powerCut(next: (() => number) | null = null): void {
    this.end('power cut')
    this.disk.powerCut(next)
  }

  /** SIGSTOP: nothing runs, the connection stays open. */
  freeze(): void {
    this.life!.clock.freeze()
  }

  thaw(): void {
    this.life!.clock.thaw()
  }

  /** The directory as it is now, as a backup has it; a copied store is thrown away at a start. */
  copyDirectory(): MemoryFileSystem {
    return this.disk.clone()
  }

  restoreDirectory(copy: MemoryFileSystem): void {
    this.disk = copy.clone()
    this.loseGraphs()
  }

  /** As after a power cut; what it remembers of the records is kept apart. */
  loseGraphs(): void {
    const { store } = this
    this.store = new MemoryStore()
    for (const [space, seen] of store.remembered()) void this.store.remember(space, seen)
  }

  /** Another process with this node's name and directory. `sees`: the first one's socket. */
  twin(sees: boolean): SimNode {
    const twin = new SimNode(this.id, this.cluster)
    twin.disk = this.disk
    twin.store = this.store
    twin.seesOwner = sees
    twin.isTwin = true
    // Chance is another for each life of a name.
    twin.lives = this.lives + 1000
    return twin
  }

  /** Another disk in the same node. */
  replaceDisk(): void {
    this.disk = new MemoryFileSystem()
    this.store = new MemoryStore()
  }

  private end(reason: string): void {
    const { life } = this
    if (!life) throw new Error(`${this.id} does not run`)
    this.cluster.observer?.ending?.(this, reason)
    this.life = null
    this.crash = null
    life.clock.isDead = true
    if (life.connection) this.cluster.broker.kill(life.connection, reason)
  }

  private ended(life: Life, code: number, reason: string): void {
    if (this.life !== life) return
    this.exitCode = code
    this.leftOpen = this.disk.opened('/data')
    this.cluster.observer?.exited?.(this, code, reason)
    this.end(`exit ${code}`)
    if (!this.isTwin) this.disk.kill()
  }

  private reached(port: PortName, operation: string, moment: 'before' | 'after'): void {
    const { crash } = this
    if (!crash || crash.moment !== moment || (crash.port !== 'any' && crash.port !== port)) return
    if (crash.operation !== null && crash.operation !== operation) return
    crash.calls -= 1
    if (crash.calls > 0) return
    this.crash = null
    crash.die()
  }

  private async connect(life: Life): Promise<BusConnection> {
    const { cluster } = this
    const connection = await cluster.broker.bus(nodesInbox).connect()
    if (life.clock.isDead) {
      cluster.broker.kill(connection)
      throw new Error('the process is dead')
    }
    life.connection = connection
    const gated = processConnection(connection, life,
      (subject, data) => cluster.observer?.published?.(this, subject, data))
    for (const each of [connection, gated]) {
      cluster.owners.set(each, { name: this.id, clock: life.clock })
    }
    return gated
  }

  private openArbiter(connection: BusConnection, caller: Caller): Arbiter {
    const { cluster } = this
    const { arbiterDelayMs } = cluster
    if (!arbiterDelayMs) return cluster.bucket.open(connection)
    return processArbiter(cluster.bucket.open(cluster.arbiterConnection), caller, {
      delayMs: (way) => arbiterDelayMs(this.id, way),
      timeoutMs: cluster.settings.casTimeoutMs,
      world: cluster.clock,
      isClosed: () => connection.isClosed,
      unavailable: (reason) => new ArbiterUnavailableError(reason),
    })
  }

  private boot(caller: Caller, random: SeededRandom): NodeDirectory {
    const { cluster, store } = this
    const logger = this.logger()
    const { clock } = caller
    const fileSystem = processFiles(this.disk, caller,
      (operation) =>
        this.diskDelayMs?.(operation) ?? (operation === 'datasync' ? cluster.fsyncMs : 0))
    const directory = new DataDirectory({
      directory: '/data',
      node: this.id,
      fileSystem,
      random,
      logger,
      nowMs: () => clock.monotonicMs(),
      pause: () => new Promise((resolve) => clock.nextTurn(resolve)),
      ...(cluster.segmentBytes !== null && { segmentBytes: cluster.segmentBytes }),
      reserveBytes: 4096,
      own: () => this.own(clock),
      openCheckpoints: (of) =>
        openCheckpoints({ ...of, fileSystem, random, nowMs: () => clock.wallMs() }),
      openStore: async () =>
        processStore(store, caller, (uuid, entries) =>
          cluster.observer?.applied?.(this, uuid, entries)),
    })
    return {
      identity: () => directory.identity(),
      own: () => directory.own(),
      confirmOwner: () => directory.confirmOwner(),
      saveIdentity: (numbers) => directory.saveIdentity(numbers),
      reserveBytes: directory.reserveBytes,
      keepReserve: () => directory.keepReserve(),
      releaseReserve: () => directory.releaseReserve(),
      freeBytes: () => directory.freeBytes(),
      salvageFiles: () => directory.salvageFiles(),
      recover: async (): Promise<Recovered> => {
        const recovered = await directory.recover()
        cluster.observer?.recovered?.(this, recovered.journal)
        return {
          journal: this.observed(recovered.journal),
          store: recovered.store,
          salvages: this.watched(recovered.salvages, caller),
          checkpoints: recovered.checkpoints,
        }
      },
      close: () => directory.close(),
    }
  }

  /** As the socket below a real directory does: the living process that has the disk keeps it. */
  private async own(clock: ProcessClock): Promise<DirectoryOwner> {
    const { disk } = this
    const owner = owners.get(disk)
    const isOwned = owner && owner !== clock && !owner.isDead
    if (this.seesOwner && isOwned) throw new DirectoryOwnedError('/data', null)
    owners.set(disk, clock)
    return {
      isConfirmed: true,
      confirm: () => Promise.resolve(),
      release: () => {
        if (owners.get(disk) === clock) owners.delete(disk)
        return Promise.resolve()
      },
    }
  }

  /** Salvages that the disk has now, read without the process knowing of it. */
  get salvageFiles(): SalvageFiles {
    return createSalvageFiles({
      directory: '/data/salvage',
      fileSystem: this.disk,
      logger: this.logger(),
    })
  }

  /** The codec, which reports to the observer what is numbered. */
  private codec(): FrameCodec {
    const codec = createFrameCodec()
    const { observer } = this.cluster
    if (!observer?.sealed) return codec
    const sealed = (frame: Frame): Frame => {
      observer.sealed?.(this, frame)
      return frame
    }
    return {
      ...codec,
      epochStart: (...args) => sealed(codec.epochStart(...args)),
      builder: () => {
        const builder = codec.builder()
        const seal = builder.seal.bind(builder)
        builder.seal = (origin) => sealed(seal(origin))
        return builder
      },
    }
  }

  private watched(salvages: SalvageFiles, { clock }: Caller): SalvageFiles {
    const { observer } = this.cluster
    if (!observer?.releasing) return salvages
    return {
      ...salvages,
      remove: async (name) => {
        if (!clock.isDead) await observer.releasing?.(this, name)
        await salvages.remove(name)
      },
    }
  }

  /** The journal, which reports to the observer what is written and what is durable. */
  private observed(journal: Journal): Journal {
    const { observer } = this.cluster
    if (!observer) return journal
    return {
      id: journal.id,
      recovery: journal.recovery,
      logs: () => journal.logs(),
      log: (uuid) => journal.log(uuid),
      dropped: () => journal.dropped(),
      forgetDrop: (uuid) => journal.forgetDrop(uuid),
      read: (uuid, from, maxBytes) => journal.read(uuid, from, maxBytes),
      stats: () => journal.stats(),
      segments: () => journal.segments(),
      useOf: (segment) => journal.useOf(segment),
      remove: async (segment) => {
        const isGone = await journal.remove(segment)
        if (isGone && this.life) observer.removed?.(this, journal)
        return isGone
      },
      close: () => journal.close(),
      write: async (records) => {
        observer.writing?.(this, records)
        await journal.write(records)
        observer.written?.(this, records)
      },
      sync: async () => {
        await journal.sync()
        observer.synced?.(this)
      },
    }
  }

  private logger(): Logger {
    const at = (level: string) => (fields: object, message: string) => {
      this.log.push({ level, message, fields })
      this.cluster.observer?.logged?.(this, level, message, fields)
      if (process.env['SIM_LOG']) {
        console.log(this.cluster.clock.monotonicMs().toFixed(1), this.id, level, message,
          JSON.stringify(fields))
      }
    }
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  }
}
