/**
 * A simulated process: its clock, and the gates through which all its calls to the world go. Whatever
 * a dead process calls never happens and never returns; what a stopped one waits for comes when
 * it goes on. So no promise of an earlier life acts on the world.
 */
import type { Arbiter } from '../../actors/ports/arbiter.js'
import type { BusConnection } from '../../actors/ports/bus.js'
import type { FileHandle, FileSystem } from '../../actors/ports/fileSystem.js'
import type { Store } from '../../actors/ports/store.js'
import type { Clock, TimerHandle } from '../../actors/ports/system.js'
import type { KeyRetention } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'

/** Ports whose calls can be counted, and at whose n-th call a process can be made to die. */
export type PortName = 'disk' | 'bus' | 'arbiter' | 'store'

/** The difference between this machine's clocks and the world's. */
export interface ClockFault {
  /** Its time per time of the world: 1.05 runs fast. */
  readonly rate: number
  /** Wall clock ahead of the world's, ms. */
  readonly wallOffsetMs: number
}

/** A clock that dies with its process, and stops while the process is stopped. */
export class ProcessClock implements Clock {
  isDead = false
  isFrozen = false
  /** Time that the monotonic clock has missed while the machine was suspended, ms. */
  private missedMs = 0
  private wallOffsetMs: number
  private due: (() => void)[] = []
  private suspendedAtMs: number | null = null

  constructor(
    private readonly clock: Clock,
    private readonly fault: ClockFault = { rate: 1, wallOffsetMs: 0 },
  ) {
    this.wallOffsetMs = fault.wallOffsetMs
  }

  wallMs(): number {
    const elapsed = this.clock.monotonicMs()
    return this.clock.wallMs() + this.wallOffsetMs + elapsed * (this.fault.rate - 1)
  }

  monotonicMs(): number {
    return (this.suspendedAtMs ?? this.clock.monotonicMs()) * this.fault.rate - this.missedMs
  }

  setTimeout(run: () => void, ms: number): TimerHandle {
    const handle: { timer?: TimerHandle; cleared?: boolean } = {}
    handle.timer = this.clock.setTimeout(() =>
      this.run(() => {
        if (!handle.cleared) run()
      }), ms / this.fault.rate)
    return handle
  }

  clearTimeout(timer: TimerHandle): void {
    const handle = timer as { timer?: TimerHandle; cleared?: boolean }
    handle.cleared = true
    if (handle.timer) this.clock.clearTimeout(handle.timer)
  }

  cpuMs(): number {
    return this.clock.cpuMs()
  }

  nextTurn(run: () => void): void {
    this.setTimeout(run, 0)
  }

  /** Now, when the process goes on again, or never. */
  run(run: () => void): void {
    if (this.isDead) return
    if (this.isFrozen) this.due.push(run)
    else run()
  }

  /** Stops the process; with `suspend`, the machine: its monotonic clock stops too. */
  freeze(suspend = false): void {
    this.isFrozen = true
    if (suspend) this.suspendedAtMs ??= this.clock.monotonicMs()
  }

  thaw(): void {
    this.isFrozen = false
    if (this.suspendedAtMs !== null) {
      this.missedMs += (this.clock.monotonicMs() - this.suspendedAtMs) * this.fault.rate
      this.suspendedAtMs = null
    }
    // One after the other, promises settling in between, as Node's timers do. Stopped again
    // meanwhile: the rest waits, in order.
    for (const run of this.due.splice(0)) this.clock.setTimeout(() => this.run(run), 0)
  }

  /** The wall clock is set: `ms` later than it was. */
  jumpWall(ms: number): void {
    this.wallOffsetMs += ms
  }
}

/** The life whose calls are let through. */
export interface Caller {
  readonly clock: ProcessClock
  /** Before the call takes effect: it may end the process, and then it never does. */
  readonly onCall: (port: PortName, operation: string) => void
  /** After it took effect, before the process hears of it. */
  readonly onReturn: (port: PortName, operation: string) => void
}

function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined)
}

/** Passes the outcome to the process when it can hear it. */
function heard<T>(clock: ProcessClock, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    work.then(
      (value) => clock.run(() => resolve(value)),
      (error: unknown) => clock.run(() => reject(error as Error)),
    )
  })
}

/** One asynchronous call of a process through a port. */
export function call<T>(
  caller: Caller,
  port: PortName,
  operation: string,
  work: () => Promise<T>,
): Promise<T> {
  if (caller.clock.isDead) return never()
  caller.onCall(port, operation)
  if (caller.clock.isDead) return never()
  const done = work()
  const returned = done.then((value) => {
    caller.onReturn(port, operation)
    return value
  })
  return heard(caller.clock, returned)
}

/** `delayMs`: of an operation of this disk, in the process's own time; 0 is at once. */
export function processFiles(
  disk: FileSystem,
  caller: Caller,
  delayMs: (operation: string) => number,
): FileSystem {
  const on = <T>(operation: string, work: () => Promise<T>): Promise<T> =>
    call(caller, 'disk', operation, async () => {
      const ms = delayMs(operation)
      if (ms > 0) await new Promise<void>((resolve) => caller.clock.setTimeout(resolve, ms))
      return await work()
    })
  return {
    makeDirectory: (path) => on('makeDirectory', () => disk.makeDirectory(path)),
    list: (path) => on('list', () => disk.list(path)),
    syncDirectory: (path) => on('syncDirectory', () => disk.syncDirectory(path)),
    rename: (from, to) => on('rename', () => disk.rename(from, to)),
    remove: (path) => on('remove', () => disk.remove(path)),
    link: (from, to) => on('link', () => disk.link(from, to)),
    freeBytes: (path) => on('freeBytes', () => disk.freeBytes(path)),
    open: async (path, mode) => {
      const handle = await on('open', () => disk.open(path, mode))
      const files: FileHandle = {
        write: (buffers, offset) => on('write', () => handle.write(buffers, offset)),
        read: (into, offset) => on('read', () => handle.read(into, offset)),
        truncate: (length) => on('truncate', () => handle.truncate(length)),
        size: () => on('size', () => handle.size()),
        close: () => on('close', () => handle.close()),
        datasync: () => on('datasync', () => handle.datasync()),
      }
      return files
    },
  }
}

export interface ArbiterTransit {
  /** ms until a request arrives, or an answer is heard; null: it is lost. */
  readonly delayMs: (way: 'request' | 'answer') => number | null
  readonly timeoutMs: number
  readonly world: Clock
  readonly isClosed: () => boolean
  /** Rejection of a read that got no answer. */
  readonly unavailable: (reason: string) => Error
}

/**
 * The arbiter over a connection: requests take their time, and are carried out even when their
 * sender is dead by then.
 */
export function processArbiter(
  arbiter: Arbiter,
  caller: Caller,
  transit: ArbiterTransit,
): Arbiter {
  const { world } = transit
  const sleep = (ms: number) => new Promise<void>((resolve) => world.setTimeout(resolve, ms))
  const ask = <T>(operation: string, work: () => Promise<T>, silent: () => T): Promise<T> =>
    call(caller, 'arbiter', operation, async () => {
      if (transit.isClosed()) return silent()
      const begun = world.monotonicMs()
      const rest = async (): Promise<T> => {
        await sleep(Math.max(0, transit.timeoutMs - (world.monotonicMs() - begun)))
        return silent()
      }
      const there = transit.delayMs('request')
      if (there === null) return await rest()
      await sleep(there)
      const outcome = await work()
      const back = transit.delayMs('answer')
      if (back === null || world.monotonicMs() - begun + back > transit.timeoutMs) {
        return await rest()
      }
      await sleep(back)
      return transit.isClosed() ? silent() : outcome
    })
  const fail = (): never => {
    throw transit.unavailable('no answer from the arbiter in time')
  }
  return {
    read: (key) => ask('read', () => arbiter.read(key), fail),
    keys: (prefix) => ask('keys', () => arbiter.keys(prefix), fail),
    mark: () => ask('mark', () => arbiter.mark(), fail),
    bucketId: () => ask('bucketId', () => arbiter.bucketId(), fail),
    faults: () => ask('faults', () => arbiter.faults(), fail),
    compareAndSet: (key, value, revision) => {
      const copy = value.slice()
      return ask('compareAndSet', () => arbiter.compareAndSet(key, copy, revision),
        () => ({ kind: 'unknown', reason: 'no answer from the arbiter in time' }))
    },
  }
}

/** A connection as its process has it: a dead one sends nothing, a stopped one hears nothing. */
export function processConnection(
  connection: BusConnection,
  caller: Caller,
  onPublish: (subject: string, data: Uint8Array) => void,
): BusConnection {
  const { clock } = caller
  const closed = heard(clock, connection.closed)
  const publish: BusConnection['publish'] = (subject, data, options) => {
    if (clock.isDead) return
    caller.onCall('bus', 'publish')
    if (clock.isDead) return
    if (!connection.isClosed) onPublish(subject, data)
    connection.publish(subject, data, options)
    caller.onReturn('bus', 'publish')
  }
  // Deliveries come through the gate of the receiving process, see SimCluster.
  const subscribe: BusConnection['subscribe'] = (subject, handler, options) => (clock.isDead
    ? { unsubscribe: () => undefined }
    : connection.subscribe(subject, handler, options))
  return {
    serverId: connection.serverId,
    inboxPrefix: connection.inboxPrefix,
    maxPayload: connection.maxPayload,
    bufferedBytes: 0,
    get isClosed() {
      return connection.isClosed
    },
    closed,
    publish,
    publishSide: (subject, data) => publish(subject, data),
    subscribe,
    subscribeSide: subscribe,
    request: (subject, data, options) =>
      call(caller, 'bus', 'request', () => connection.request(subject, data, options)),
    flush: () => call(caller, 'bus', 'flush', () => connection.flush()),
    close: () => call(caller, 'bus', 'close', () => connection.close()),
  }
}

/** The store, which reports each entry that it applies. */
export function processStore(
  store: Store,
  caller: Caller,
  onApplied: (uuid: string, entries: readonly LogEntry[]) => void,
): Store {
  return {
    space: (uuid) => {
      const space = store.space(uuid)
      const gated = Object.create(space) as typeof space
      Object.defineProperty(gated, 'apply', {
        value: (entries: readonly LogEntry[], keys?: KeyRetention) =>
          call(caller, 'store', 'apply', async () => {
            await space.apply(entries, keys)
            onApplied(uuid, entries)
          }),
      })
      return gated
    },
    stage: (uuid, state) => {
      const stage = store.stage(uuid, state)
      const gated = Object.create(stage) as typeof stage
      Object.defineProperties(gated, {
        put: {
          value: (records: Uint8Array) => call(caller, 'store', 'put', () => stage.put(records)),
        },
        adopt: {
          value: (installs: number) => call(caller, 'store', 'adopt', () => stage.adopt(installs)),
        },
        discard: { value: () => stage.discard() },
      })
      return gated
    },
    has: (uuid) => store.has(uuid),
    drop: (uuid) => call(caller, 'store', 'drop', () => store.drop(uuid)),
    remember: (space, seen) => call(caller, 'store', 'remember', () => store.remember(space, seen)),
    remembered: () => store.remembered(),
    markDamaged: (uuid, mark) =>
      call(caller, 'store', 'condemn', () => store.markDamaged(uuid, mark)),
    unmarkDamaged: (uuid) => call(caller, 'store', 'condemn', () => store.unmarkDamaged(uuid)),
    markedDamaged: (uuid) => store.markedDamaged(uuid),
    get freeBytes() {
      return store.freeBytes
    },
    get keyBytes() {
      return store.keyBytes
    },
    close: () => call(caller, 'store', 'close', () => store.close()),
  }
}
