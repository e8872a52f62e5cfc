import type { NodeId } from './protocol.js'

/**
 * Vector clocks of log entries (Fidge 1988, Mattern 1989; DeCandia et al., Dynamo, SOSP 2007,
 * section 4.4). The component of a node counts the entries that this node wrote as primary. No
 * number stands for two entries, whatever became of the first: over forks, restarts and lost disks
 * each reign counts from a range of its own, `(epoch - 1) x 2^28`; epochs are never used twice.
 *
 * Worked example: n1 reigns in epoch 1 and writes a {n1: 1}, b {n1: 2}; only a is replicated. n2
 * reigns in epoch 2 and writes c {n1: 1, n2: 268435457}. b and c are concurrent: neither clock
 * covers the other. n1 comes back, gives b up into a salvage, reigns again in epoch 3, and writes
 * d {n1: 536870913, n2: 268435457}: another number than b's. That d does not build on b its clock
 * cannot tell, since both are of n1; their epochs and the log's epoch history can.
 */
export type VectorClock = Readonly<Record<NodeId, number>>

/** Entries that a reign can write before its numbers run into the next one's range: 2^28. */
const rangeOfReign = 268_435_456

/** The clock with which `self` begins a reign, from that after the log's last entry. */
export function clockOfReign(atEnd: VectorClock, self: NodeId, epoch: number): VectorClock {
  const begin = (epoch - 1) * rangeOfReign
  const own = atEnd[self] ?? 0
  return begin > own ? { ...atEnd, [self]: begin } : atEnd
}
