/** CPU profiles of V8, summed up: self time by topic and by function. */
import { markdownTable } from './table.js'

export interface CallFrame {
  readonly functionName: string
  /** Empty for what is no JavaScript. */
  readonly url: string
  /** From 0. */
  readonly lineNumber: number
}

/** As far as it is used, of the inspector's Profiler.Profile. */
export interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[]
  /** Ids of nodes, and the time since the sample before, µs. */
  readonly samples?: readonly number[]
  readonly timeDeltas?: readonly number[]
}

export interface SelfTimes {
  readonly totalUs: number
  /** All but idle. */
  readonly busyUs: number
  readonly topics: ReadonlyMap<string, number>
  readonly functions: ReadonlyMap<string, number>
}

/**
 * The folder of a function: `actors/primary`, `runtime/journal`, `package nats`, `node:net`.
 * Without a file it is V8's own, `(garbage collector)`, or a binding of Node's, `native writev`.
 */
export function topicOf({ functionName, url }: CallFrame): string {
  const inPackage = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]
  if (inPackage) return `package ${inPackage}`
  const own = /\/dist\/((?:machines|actors|runtime|bench)(?:\/[^/]+)?)\/[^/]+$/.exec(url)?.[1]
  if (own) return own
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/')
  return functionName.startsWith('(') ? functionName : `native ${functionName}`.trim()
}

/** `name` with the last two parts of its file's path, and the line. */
function titleOf({ functionName, url, lineNumber }: CallFrame): string {
  const name = functionName || '(anonymous)'
  return url === '' ? name : `${name} ${url.split('/').slice(-2).join('/')}:${lineNumber + 1}`
}

export function selfTimes({ nodes, samples = [], timeDeltas = [] }: CpuProfile): SelfTimes {
  const byId = new Map(nodes.map((node) => [node.id, node.callFrame]))
  const topics = new Map<string, number>()
  const functions = new Map<string, number>()
  const add = (to: Map<string, number>, name: string, us: number): void => {
    to.set(name, (to.get(name) ?? 0) + us)
  }
  let totalUs = 0
  let busyUs = 0
  samples.forEach((id, n) => {
    // A sample lasts until the next one.
    const us = timeDeltas[n + 1] ?? 0
    const frame = byId.get(id)
    totalUs += us
    if (!frame || frame.functionName === '(idle)') return
    busyUs += us
    add(topics, topicOf(frame), us)
    add(functions, titleOf(frame), us)
  })
  return { totalUs, busyUs, topics, functions }
}

/** Shares of busy time, the largest first. */
export function selfTimeTables(name: string, times: SelfTimes, rowsMax: number): string {
  const rows = (from: ReadonlyMap<string, number>): string[][] =>
    [...from].toSorted(([, a], [, b]) => b - a).slice(0, rowsMax).map(([title, us]) => [
      title.replaceAll('|', '\\|'),
      `${(us / times.busyUs * 100).toFixed(1)} %`,
      `${(us / 1000).toFixed(0)} ms`,
    ])
  const busy = (times.busyUs / times.totalUs * 100).toFixed(0)
  return [
    `## ${name}: main thread busy for ${busy} % of ${(times.totalUs / 1e6).toFixed(1)} s`,
    markdownTable(['topic', 'of busy time', 'self time'], rows(times.topics)),
    markdownTable(['function', 'of busy time', 'self time'], rows(times.functions)),
  ].join('\n\n')
}
