/** Writes per second and ack latency, from the counts of primaries (FlowCounts). */
import { bucketMs } from '../../../actors/primary/ackHistogram.js'
import type { FlowCounts, NodeStatusReport } from '../../status/status.js'
import type { FlowFrame } from '../protocol.js'

export type Flow = Omit<FlowFrame, 'kind' | 'atMs'>

interface Seen {
  readonly space: string
  readonly node: string
  /** Incarnation and epoch of these counts, which start at zero with each. */
  readonly epoch: string
  /** Uptime of the node, whose own clock gives the time between two reports. */
  readonly uptimeMs: number
  readonly counts: FlowCounts
  /** True if the last rate was above zero. */
  readonly isFlowing: boolean
}

/** Computes rates from the counts of two consecutive polls. */
export class FlowRates {
  private seen = new Map<string, Seen>()

  /** Rates since the last call, of spaces with traffic, and once zeros when it has ended. */
  take(reports: readonly NodeStatusReport[]): Flow[] {
    const now = new Map(reports.flatMap((report) => seenIn(report)).map((one) => [keyOf(one), one]))
    const flows: Flow[] = []
    for (const [key, one] of now) {
      const before = this.seen.get(key)
      const flow = before === undefined ? null : flowBetween(before, one)
      const isFlowing = flow !== null && flow.writesPerSecond > 0
      now.set(key, { ...one, isFlowing })
      if (flow !== null && (isFlowing || before?.isFlowing)) flows.push(flow)
    }
    for (const [key, { space, node, isFlowing }] of this.seen) {
      if (isFlowing && !now.has(key)) flows.push(still(space, node))
    }
    this.seen = now
    return flows
  }
}

const keyOf = ({ space, node }: Seen): string => `${node} ${space}`

function seenIn({ node, spaces }: NodeStatusReport): Seen[] {
  return spaces.flatMap(({ space, epoch, flow }) =>
    flow
      ? [{
        space,
        node: node.id,
        epoch: `${node.incarnation} ${epoch}`,
        uptimeMs: node.uptimeMs,
        counts: flow,
        isFlowing: false,
      }]
      : []
  )
}

function still(space: string, node: string): Flow {
  return { space, node, writesPerSecond: 0, ackMs: null }
}

function flowBetween(before: Seen, now: Seen): Flow {
  const { space, node, counts } = now
  const ms = now.uptimeMs - before.uptimeMs
  if (before.epoch !== now.epoch || ms <= 0) return still(space, node)
  const writes = counts.writes - before.counts.writes
  const earlier = new Map(before.counts.acks)
  const acks = counts.acks
    .map(([bucket, count]) => [bucket, count - (earlier.get(bucket) ?? 0)] as const)
    .filter(([, count]) => count > 0)
  return {
    space,
    node,
    writesPerSecond: writes * 1000 / ms,
    ackMs: acks.length === 0 ? null : { p50: percentile(acks, 0.5), p99: percentile(acks, 0.99) },
  }
}

/** Upper bound of the bucket in which the share is reached, ms. */
function percentile(acks: readonly (readonly [number, number])[], share: number): number {
  const sorted = acks.toSorted(([a], [b]) => a - b)
  let rest = sorted.reduce((sum, [, count]) => sum + count, 0) * share
  for (const [bucket, count] of sorted) {
    rest -= count
    if (rest <= 0) return bucketMs(bucket)
  }
  return bucketMs(sorted.at(-1)?.[0] ?? 0)
}
