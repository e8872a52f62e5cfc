import type { NodeId } from '../base/ids.js'

/**
 * Vector clocks of log entries (Fidge 1988, Mattern 1989; DeCandia et al., Dynamo, SOSP 2007,
 * section 4.4). A component counts the entries that one reign has in the log: a node that gave up
 * a fork, or lost its disk, has forgotten what it wrote, so a later reign of it counts apart, as
 * Dynamo's reconciliation needs. It bears the node's name, from the node's second reign in a log
 * on `<node>@<epoch>`. A log that lost all of a node's reign has its next one under the bare name
 * again; so numbers of bare names tell the epoch, too: they count from `(epoch - 1) x 2^40`. No
 * number of a component stands for two entries, since epochs are never used twice.
 *
 * Two entries are concurrent when neither is in the log that the other was appended to, which is:
 * when neither clock covers the other entry's number.
 *
 * Worked example: n1 reigns in epoch 1 and writes a {n1: 1}, b {n1: 2}; only a is replicated. n2
 * reigns in epoch 2 and writes c {n1: 1, n2: 1099511627777}. b and c are concurrent: c's clock has
 * 1 for n1, less than b's 2; b's has nothing for n2. n1 comes back, gives b up into a salvage,
 * reigns again in epoch 3, and writes d {n1: 1, n2: 1099511627777, n1@3: 1}: d follows a and c, and
 * is concurrent with b, although one node wrote both.
 */
export type VectorClock = Readonly<Record<string, number>>

/**
 * Entries that a reign can write under a bare name before its numbers run into the next epoch's
 * range: 2^40, 35 years at a thousand a second.
 */
const rangeOfEpoch = 2 ** 40
/** Later ones have no range below 2^53: they are in the component's name. */
const rangedEpochMax = 2 ** 13
/**
 * Of a clock: the oldest go (Dynamo, section 4.4, truncates likewise). A clock that has so many
 * may have lost some, so it covers all that is older than what it has.
 */
export const componentsMax = 16

/** A number of a component: the one that the entry itself was given. */
export interface Dot {
  readonly component: string
  readonly number: number
}

/** The clock with which `self` begins a reign on a log, and the component that counts there. */
export function clockOfEpoch(
  atEnd: VectorClock, self: NodeId, epoch: number,
): { readonly component: string; readonly clock: VectorClock } {
  const isKnown = Object.keys(atEnd).some((name) => nodeOf(name) === self)
  const component = isKnown || epoch > rangedEpochMax ? `${self}@${epoch}` : self
  const newest = Object.entries(atEnd)
    .toSorted((a, b) => epochOf(...b) - epochOf(...a)).slice(0, componentsMax - 1)
  const begin = component === self ? (epoch - 1) * rangeOfEpoch : 0
  return { component, clock: { ...Object.fromEntries(newest), [component]: begin } }
}

/** Whose entries a component counts. */
export function nodeOf(component: string): NodeId {
  const [node = ''] = component.split('@')
  return node
}

/** The number that an entry of that epoch was given, or null when its clock lacks it. */
export function dotOf(clock: VectorClock, epoch: number): Dot | null {
  for (const [component, number] of Object.entries(clock)) {
    if (epochOf(component, number) === epoch) return { component, number }
  }
  return null
}

/** Whether the entry with that number is in the log that the clock is of. */
export function covers(clock: VectorClock, { component, number }: Dot): boolean {
  const epoch = epochOf(component, number)
  const own = Object.hasOwn(clock, component) ? clock[component]! : null
  if (own !== null && epochOf(component, own) === epoch) return own >= number
  const all = Object.entries(clock)
  return all.length >= componentsMax && all.every((other) => epochOf(...other) > epoch)
}

/** Epoch of the reign that gave the number. */
function epochOf(component: string, number: number): number {
  const at = component.indexOf('@')
  if (at !== -1) return Number(component.slice(at + 1))
  return Math.floor((number - 1) / rangeOfEpoch) + 1
}
