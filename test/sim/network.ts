/** The fate of each message and each arbiter request, under the faults that are on now. */
import type { SeededRandom } from '../fakes/seededRandom.js'

/** One fault of the network while it lasts. */
export interface Disturbance {
  /** Between these; the broker is a party too, and so is `arbiter`. */
  readonly touches: (from: string, to: string) => boolean
  /** Share of the messages that are lost, or arrive twice; 0 to 1. */
  readonly lost?: number
  readonly twice?: number
  /** Added to the time of each message, up to this, ms. */
  readonly delayMs?: number
}

export class Network {
  private readonly disturbances = new Set<Disturbance>()

  constructor(private readonly random: SeededRandom, private readonly latencyMs: number) {}

  disturb(disturbance: Disturbance): void {
    this.disturbances.add(disturbance)
  }

  calm(disturbance: Disturbance): void {
    this.disturbances.delete(disturbance)
  }

  calmAll(): void {
    this.disturbances.clear()
  }

  /** Arrival times from now, ms: none, one, or two. */
  readonly transit = (from: string, to: string): readonly number[] => {
    const first = this.latencyMs * (0.5 + this.random.next())
    if (this.disturbances.size === 0) return [first]
    let delayMs = first
    let twice = false
    for (const disturbance of this.disturbances) {
      if (!disturbance.touches(from, to)) continue
      const { lost = 0, twice: share = 0, delayMs: more = 0 } = disturbance
      if (lost >= 1 || (lost > 0 && this.random.chance(lost))) return []
      if (share > 0 && this.random.chance(share)) twice = true
      if (more > 0) delayMs += this.random.next() * more
    }
    return twice ? [delayMs, delayMs + this.latencyMs * this.random.next() * 20] : [delayMs]
  }

  /** One way between a node and the arbiter; null: lost. */
  arbiterDelayMs(node: string, way: 'request' | 'answer'): number | null {
    const [first] = way === 'request'
      ? this.transit(node, 'arbiter')
      : this.transit('arbiter', node)
    return first ?? null
  }
}

/** Between a node and everybody, one way or both; it keeps its connection. */
export function linkOf(node: string, way: string): Disturbance['touches'] {
  return (from, to) =>
    from !== to
    && ((way !== 'in' && from === node) || (way !== 'out' && to === node))
}

/** Between nodes only, never clients, broker or arbiter. */
export function amongNodes(nodes: readonly string[], node?: string): Disturbance['touches'] {
  const all = new Set(nodes)
  return (from, to) =>
    from !== to && all.has(from) && all.has(to)
    && (node === undefined || from === node || to === node)
}
