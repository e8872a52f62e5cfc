/** Threads of a process as the kernel accounts for them, from /proc (Linux only). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** A thread's account since it began. */
export interface ThreadSample {
  readonly tid: number
  readonly name: string
  /** Since the machine started; threads of one process sort by it. */
  readonly startTicks: number
  readonly cpuNs: number
  /** Times it gave up its core to wait: each ended with a wake. */
  readonly voluntary: number
}

/**
 * `main` is the event loop, `pool` are libuv's threads (files, fdatasync, DNS), `others` are V8's
 * (compilation, garbage collection) and those of add-ons.
 */
export type ThreadKind = 'main' | 'pool' | 'others'

/** The kernel counts these in hundredths of a second (USER_HZ), whatever its own clock is. */
const tickNs = 10_000_000
/** Threads that Node 20 and 22 start before the pool: V8's and the inspector's. */
const beforePool = 7
const poolSize = 4

/** `/proc/PID/stat`, or that of a thread; the name in it may hold spaces and brackets. */
export function parseStat(text: string): {
  name: string
  parent: number
  cpuNs: number
  startTicks: number
} {
  const end = text.lastIndexOf(')')
  const fields = text.slice(end + 2).split(' ')
  // Numbered from 3 in proc(5): 4 is the parent, 14 and 15 user and system time, 22 the start.
  const field = (number: number): number => Number(fields[number - 3])
  return {
    name: text.slice(text.indexOf('(') + 1, end),
    parent: field(4),
    cpuNs: (field(14) + field(15)) * tickNs,
    startTicks: field(22),
  }
}

/** `schedstat`: nanoseconds on a core, nanoseconds in the queue for one, times it got one. */
export function parseSchedstat(text: string): number {
  return Number(text.split(' ')[0])
}

export function parseVoluntary(status: string): number {
  return Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1])
}

/** In the order of their start, the main thread first; empty once the process has ended. */
export function threadsOf(pid: number): ThreadSample[] {
  const folder = `/proc/${pid}/task`
  const samples = namesIn(folder).flatMap((name) => {
    const [stat, status] = [read(`${folder}/${name}/stat`), read(`${folder}/${name}/status`)]
    // It has ended meanwhile.
    if (stat === null || status === null) return []
    const { name: title, cpuNs, startTicks } = parseStat(stat)
    const exact = read(`${folder}/${name}/schedstat`)
    return [{
      tid: Number(name),
      name: title,
      startTicks,
      voluntary: parseVoluntary(status),
      cpuNs: exact === null ? cpuNs : parseSchedstat(exact),
    }]
  })
  return samples.toSorted((a, b) =>
    Number(b.tid === pid) - Number(a.tid === pid)
    || a.startTicks - b.startTicks || a.tid - b.tid
  )
}

/**
 * The kinds of a Node process' threads, given in the order of their start. Node 24 names them;
 * before, they all bear the name of the process, and the order identifies them.
 */
export function kindsOf(threads: readonly Pick<ThreadSample, 'name'>[]): ThreadKind[] {
  const hasNames = threads.some(({ name }) => name === 'libuv-worker')
  return threads.map(({ name }, n) => {
    if (n === 0) return 'main'
    const isPool = hasNames ? name === 'libuv-worker' : n >= beforePool && n < beforePool + poolSize
    return isPool ? 'pool' : 'others'
  })
}

/** `/proc/PID/net/tcp`: local ports of listening sockets, by inode. */
export function parseListening(text: string): Map<string, number> {
  const listening = text.split('\n').slice(1).map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === '0A')
  return new Map(
    listening.map((
      [, local = '', , , , , , , , inode = ''],
    ) => [inode, parseInt(local.split(':')[1] ?? '', 16)]),
  )
}

/** TCP ports of IPv4 on which a process listens. */
export function listeningPorts(pid: number): number[] {
  const ports = parseListening(read(`/proc/${pid}/net/tcp`) ?? '')
  return namesIn(`/proc/${pid}/fd`).flatMap((name) => {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${name}`))?.[1] ?? ''
    return ports.get(inode) ?? []
  })
}

/** CPU time of a process so far, ms, to 10 ms; NaN where there is no /proc, or it has ended. */
export function cpuMsOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`)
  return stat === null ? NaN : parseStat(stat).cpuNs / 1e6
}

export function childrenOf(pid: number): { pid: number; name: string }[] {
  return namesIn('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    const stat = read(`/proc/${name}/stat`)
    if (stat === null) return []
    const { name: title, parent } = parseStat(stat)
    return parent === pid ? [{ pid: Number(name), name: title }] : []
  })
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function linkOf(file: string): string {
  try {
    return readlinkSync(file)
  } catch {
    return ''
  }
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
