import type { NodeId } from '../base/ids.js'

/**
 * Vector clocks of log entries (Fidge 1988, Mattern 1989; DeCandia et al., Dynamo, SOSP 2007, 4.4).
 * A component counts the entries that one epoch has in the log. A node that gave up a fork, or lost
 * its disk, has forgotten what it wrote, so a later epoch of it counts apart, as Dynamo's
 * reconciliation needs. A component has the node's name; from the node's second epoch in a log on
 * it is `<node>@<epoch>`. In a log that lost all of a node's epochs, its next one has the bare name
 * again. Therefore numbers under bare names identify the epoch, too: they count from
 * `(epoch - 1) x 2^40`. No number of a component is used for two entries, since epochs are never
 * used twice.
 *
 * Two entries are concurrent when neither is in the log that the other was appended to, which is:
 * when neither clock covers the other entry's number.
 *
 * Worked example: n1 is primary in epoch 1 and writes a {n1: 1}, b {n1: 2}; only a is replicated.
 * n2 is primary in epoch 2 and writes c {n1: 1, n2: 1099511627777}. b and c are concurrent: c's
 * clock has 1 for n1, less than b's 2; b's has nothing for n2. n1 returns, gives b up into a
 * salvage, is primary again in epoch 3, and writes d {n1: 1, n2: 1099511627777, n1@3: 1}: d follows
 * a and c, and is concurrent with b, although one node wrote both.
 */
export type VectorClock = Readonly<Record<string, number>>

/**
 * Entries that an epoch can write under a bare name before its numbers run into the next epoch's
 * range: 2^40, 35 years at a thousand a second.
 */
const rangeOfEpoch = 2 ** 40
/** Later epochs have no range below 2^53: the component's name has them instead. */
const rangedEpochMax = 2 ** 13
/**
 * Components of a clock; older ones are dropped (Dynamo, 4.4, truncates likewise). A clock that has
 * this many may have lost some, so it covers everything older than its components.
 */
export const componentsMax = 16

/** A component and the number that an entry was given in it. */
export interface Dot {
  readonly component: string
  readonly number: number
}

/** Returns the clock with which `self` begins an epoch on a log, and its counting component. */
export function clockOfEpoch(
  atEnd: VectorClock,
  self: NodeId,
  epoch: number,
): { readonly component: string; readonly clock: VectorClock } {
  const isKnown = Object.keys(atEnd).some((name) => nodeOf(name) === self)
  const component = isKnown || epoch > rangedEpochMax ? `${self}@${epoch}` : self
  const newest = Object.entries(atEnd)
    .toSorted((a, b) => epochOf(...b) - epochOf(...a)).slice(0, componentsMax - 1)
  const begin = component === self ? (epoch - 1) * rangeOfEpoch : 0
  return { component, clock: { ...Object.fromEntries(newest), [component]: begin } }
}

/** Returns the node whose entries a component counts. */
export function nodeOf(component: string): NodeId {
  const [node = ''] = component.split('@')
  return node
}

/** Returns the number that an entry of that epoch was given, or null if its clock lacks it. */
export function dotOf(clock: VectorClock, epoch: number): Dot | null {
  for (const [component, number] of Object.entries(clock)) {
    if (epochOf(component, number) === epoch) return { component, number }
  }
  return null
}

/** Whether the entry with that number is in the clock's log. */
export function covers(clock: VectorClock, { component, number }: Dot): boolean {
  const epoch = epochOf(component, number)
  const own = Object.hasOwn(clock, component) ? clock[component]! : null
  if (own !== null && epochOf(component, own) === epoch) return own >= number
  const all = Object.entries(clock)
  return all.length >= componentsMax && all.every((other) => epochOf(...other) > epoch)
}

/** Returns the epoch that gave the number. */
function epochOf(component: string, number: number): number {
  const at = component.indexOf('@')
  if (at !== -1) return Number(component.slice(at + 1))
  return Math.floor((number - 1) / rangeOfEpoch) + 1
}
