/** Time series of one space, from statuses and flows. Times are in seconds, as for uPlot. */
import { byName } from '../../status/names.js'
import type { Item } from './state.js'

type Values = (number | null)[]

export interface SpaceSeries {
  readonly nodes: readonly string[]
  readonly status: {
    readonly times: number[]
    /** By node, as in `nodes`. null while it is the primary or does not answer. */
    readonly lagMs: readonly Values[]
    readonly lagBytes: readonly Values[]
    readonly commit: Values
    /** At the primary. */
    readonly durable: Values
    readonly safe: Values
    readonly lossEntries: Values
    readonly lossBytes: Values
    readonly lossMs: Values
  }
  readonly flow: {
    readonly times: number[]
    readonly writesPerSecond: Values
    readonly p50: Values
    readonly p99: Values
  }
}

/** @param items measured items in order of time */
export function seriesOf(
  items: readonly Item[],
  space: string,
  fromMs: number,
  toMs: number,
): SpaceSeries {
  const recent = items.slice(items.findLastIndex(({ atMs }) => atMs < fromMs) + 1)
  const nodes = nodesOf(recent, space)
  const status = {
    times: [] as number[],
    lagMs: nodes.map((): Values => []),
    lagBytes: nodes.map((): Values => []),
    commit: [] as Values,
    durable: [] as Values,
    safe: [] as Values,
    lossEntries: [] as Values,
    lossBytes: [] as Values,
    lossMs: [] as Values,
  }
  const flow = {
    times: [] as number[],
    writesPerSecond: [] as Values,
    p50: [] as Values,
    p99: [] as Values,
  }
  for (const item of recent) {
    if (item.kind !== 'frame' || item.atMs > toMs) continue
    const { frame } = item
    if (frame.kind === 'flow' && frame.space === space) {
      flow.times.push(item.atMs / 1_000)
      flow.writesPerSecond.push(frame.writesPerSecond)
      flow.p50.push(frame.ackMs?.p50 ?? null)
      flow.p99.push(frame.ackMs?.p99 ?? null)
    }
    if (frame.kind !== 'status') continue
    const shown = frame.status?.spaces.find(({ id }) => id === space)
    const members = new Map(shown?.members.map((member) => [member.node, member]))
    status.times.push(item.atMs / 1_000)
    for (const [index, node] of nodes.entries()) {
      const member = members.get(node)
      const isFollower = member !== undefined && shown?.primary !== node
      status.lagMs[index]?.push(isFollower ? member.lagMs : null)
      status.lagBytes[index]?.push(isFollower ? member.lagBytes : null)
    }
    const primary = shown?.primary === null ? undefined : members.get(shown?.primary ?? '')
    status.commit.push(shown?.commitSequence ?? null)
    status.durable.push(primary?.durableSequence ?? null)
    status.safe.push(shown?.safeSequence ?? null)
    status.lossEntries.push(shown?.lossWindow.entries ?? null)
    status.lossBytes.push(shown?.lossWindow.bytes ?? null)
    status.lossMs.push(shown?.lossWindow.ms ?? null)
  }
  return { nodes, status, flow }
}

function nodesOf(items: readonly Item[], space: string): string[] {
  const nodes = new Set<string>()
  for (const item of items) {
    if (item.kind !== 'frame' || item.frame.kind !== 'status') continue
    const shown = item.frame.status?.spaces.find(({ id }) => id === space)
    for (const { node } of shown?.members ?? []) nodes.add(node)
  }
  return [...nodes].toSorted(byName)
}
