import type { NodeId } from './protocol.js'

/**
 * Vector clocks of log entries (Fidge 1988, Mattern 1989; DeCandia et al., Dynamo, SOSP 2007,
 * section 4.4). A component counts the entries that one reign has in the log: a node that gave up
 * a fork, or lost its disk, has forgotten what it wrote, so a later reign of it counts apart, as
 * Dynamo's reconciliation needs. It bears the node's name, from the node's second reign in a log
 * on `<node>@<epoch>`. No number stands for two entries: reigns count from `(epoch - 1) x 2^28`,
 * and epochs are never used twice.
 *
 * Two entries are concurrent when neither is in the log that the other was appended to, which is:
 * when neither clock covers the other entry's number.
 *
 * Worked example: n1 reigns in epoch 1 and writes a {n1: 1}, b {n1: 2}; only a is replicated. n2
 * reigns in epoch 2 and writes c {n1: 1, n2: 268435457}. b and c are concurrent: c's clock has 1
 * for n1, less than b's 2; b's has nothing for n2. n1 comes back, gives b up into a salvage, reigns
 * again in epoch 3, and writes d {n1: 1, n2: 268435457, n1@3: 536870913}: d follows a and c, and is
 * concurrent with b, although one node wrote both.
 */
export type VectorClock = Readonly<Record<string, number>>

/** Entries that a reign can write before its numbers run into the next one's range: 2^28. */
const rangeOfReign = 268_435_456
/** Of a clock: the oldest go (Dynamo, section 4.4, truncates likewise). They count as covered. */
export const componentsMax = 16

/** A number of a component: the one that the entry itself was given. */
export interface Dot {
  readonly component: string
  readonly number: number
}

/** The clock with which `self` begins a reign on a log, and the component that counts there. */
export function clockOfReign(
  atEnd: VectorClock, self: NodeId, epoch: number,
): { readonly component: string; readonly clock: VectorClock } {
  const component = Object.keys(atEnd).some((name) => nodeOf(name) === self)
    ? `${self}@${epoch}` : self
  const newest = Object.entries(atEnd).toSorted(([, a], [, b]) => b - a).slice(0, componentsMax - 1)
  return {
    component,
    clock: { ...Object.fromEntries(newest), [component]: (epoch - 1) * rangeOfReign },
  }
}

/** Whose entries a component counts. */
export function nodeOf(component: string): NodeId {
  const [node = ''] = component.split('@')
  return node
}

/** The number that an entry of that epoch was given, or null when its clock lacks it. */
export function dotOf(clock: VectorClock, epoch: number): Dot | null {
  for (const [component, number] of Object.entries(clock)) {
    if (epochOf(number) === epoch) return { component, number }
  }
  return null
}

/** Whether the entry with that number is in the log that the clock is of. */
export function covers(clock: VectorClock, { component, number }: Dot): boolean {
  const epoch = epochOf(number)
  const own = clock[component]
  if (own !== undefined && epochOf(own) === epoch) return own >= number
  const numbers = Object.values(clock)
  return numbers.length >= componentsMax && numbers.every((other) => epochOf(other) > epoch)
}

/** Epoch of the reign that gave the number. */
function epochOf(number: number): number {
  return Math.floor((number - 1) / rangeOfReign) + 1
}
