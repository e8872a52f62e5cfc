/** The use of the processor by role: the difference of two snapshots of its processes. */
import { kindsOf, threadsOf } from './proc.js'
import type { ThreadKind, ThreadSample } from './proc.js'

/** `up` is the process of `engram up`, which starts the others and serves the page. */
export const roles = ['primary', 'replicas', 'broker', 'up', 'load'] as const
export type Role = typeof roles[number]
/** Process ids by role. */
export type Pids = Readonly<Partial<Record<Role, readonly number[]>>>

export interface Snapshot {
  readonly atMs: number
  readonly threads: Readonly<Partial<Record<Role, readonly (readonly ThreadSample[])[]>>>
}

/** Sums over the processes of a role. */
export interface Usage {
  readonly processes: number
  readonly cpuMsPerSecond: number
  /** Voluntary context switches per second; kinds mean something for Node's processes only. */
  readonly wakesPerSecond: Readonly<Record<ThreadKind, number>>
  /** CPU of V8's own threads: compilation and garbage collection. */
  readonly othersCpuMsPerSecond: number
  /** Flushes of the journal, where the process counts them. */
  readonly batchesPerSecond: number | null
}

export type Account = Readonly<Partial<Record<Role, Usage>>>

export function takeSnapshot(pids: Pids): Snapshot {
  return {
    atMs: performance.now(),
    threads: byRole((role) => pids[role]?.map(threadsOf)),
  }
}

/** Use between two snapshots; threads that have ended in between are left out. */
export function accountBetween(before: Snapshot, after: Snapshot): Account {
  const seconds = (after.atMs - before.atMs) / 1000
  return byRole((role) => {
    const processes = after.threads[role]
    if (!processes) return undefined
    const sum = { cpuNs: 0, othersNs: 0, wakes: { main: 0, pool: 0, others: 0 } }
    processes.forEach((threads, n) => {
      const earlier = new Map(before.threads[role]?.[n]?.map((thread) => [thread.tid, thread]))
      const kinds = kindsOf(threads)
      threads.forEach((thread, at) => {
        const kind = kinds[at] ?? 'others'
        const { cpuNs, voluntary } = earlier.get(thread.tid) ?? { cpuNs: 0, voluntary: 0 }
        sum.cpuNs += thread.cpuNs - cpuNs
        if (kind === 'others') sum.othersNs += thread.cpuNs - cpuNs
        sum.wakes[kind] += thread.voluntary - voluntary
      })
    })
    const { main, pool, others } = sum.wakes
    // Without /proc there is nothing to report, rather than nothing used.
    const measured = processes.every((threads) => threads.length > 0) ? 1 : NaN
    return {
      processes: processes.length,
      cpuMsPerSecond: measured * sum.cpuNs / 1e6 / seconds,
      wakesPerSecond: {
        main: measured * main / seconds,
        pool: measured * pool / seconds,
        others: measured * others / seconds,
      },
      othersCpuMsPerSecond: measured * sum.othersNs / 1e6 / seconds,
      batchesPerSecond: null,
    }
  })
}

/** With flushes of the journal, counted from before the first snapshot until after the second. */
export function withBatches(
  account: Account,
  before: Counts | null,
  after: Counts | null,
  seconds: number,
): Account {
  return byRole((role) => {
    const usage = account[role]
    const [from, to] = [before?.[role], after?.[role]]
    if (!usage || from === undefined || to === undefined) return usage
    return { ...usage, batchesPerSecond: (to - from) / seconds }
  })
}

/** Numbers for all processes of a role together. */
export type Counts = Readonly<Partial<Record<Role, number>>>

/** CPU of all servers, ms per second; the load is none. */
export function serversCpu(account: Account): number {
  return roles.filter((role) => role !== 'load')
    .reduce((sum, role) => sum + (account[role]?.cpuMsPerSecond ?? 0), 0)
}

/** Wakes of a node's main thread per second, the mean of a primary and its two replicas. */
export function mainWakesPerNode({ primary, replicas }: Account): number {
  return ((primary?.wakesPerSecond.main ?? NaN) + (replicas?.wakesPerSecond.main ?? NaN)) / 3
}

function byRole<T>(make: (role: Role) => T | undefined): Partial<Record<Role, T>> {
  const made: Partial<Record<Role, T>> = {}
  for (const role of roles) {
    const value = make(role)
    if (value !== undefined) made[role] = value
  }
  return made
}
