/** One node of the simulated cluster: a process that can be killed, frozen, started again. */
import type { Boot, Recovered } from '../../actors/boot.js'
import { NodeActor } from '../../actors/node.js'
import type {
  BusConnection, Clock, FileSystem, Logger, TimerHandle,
} from '../../actors/ports.js'
import type { SpaceActor } from '../../actors/space.js'
import { createClientCodec } from '../../runtime/codec/client.js'
import { controlCodec } from '../../runtime/codec/control.js'
import { createFrameCodec } from '../../runtime/codec/frames.js'
import { createActorHost } from '../../runtime/host/index.js'
import { loadIdentity } from '../../runtime/journal/identity.js'
import { openJournal } from '../../runtime/journal/journal.js'
import { createSalvageFiles } from '../../runtime/journal/salvage.js'
import { MemoryFileSystem } from '../fakes/memoryFileSystem.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import type { VirtualClock } from '../fakes/virtualClock.js'
import type { SimCluster } from './simCluster.js'

/** A clock that dies with its process, and stands still while the process is stopped. */
export class ProcessClock implements Clock {
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
  /** From the next start on. */
  allowsChaos = true
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
      allowsChaos: this.allowsChaos,
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
