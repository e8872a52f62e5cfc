import type { Life, NodeId, Position } from '../base/ids.js'
import type {
  Assignment, EndedEpoch, Member, Paused, PrimaryLife, SpaceSettings,
} from './messages.js'

/** Who writes a record, and the mark by which the writer recognises its own writing. */
export interface Signature {
  readonly writer: NodeId
  readonly nonce: string
}

/**
 * A claim of `epoch`: exactly one candidate wins it, by compare-and-set. `claimant.disk` is listed
 * from then on: an operator may force a member that came back with another one.
 */
export function claimed(
  record: Assignment, epoch: number, claimant: PrimaryLife & Member, inSync: readonly NodeId[],
  forced: boolean, ended: readonly EndedEpoch[], signature: Signature,
): Assignment {
  const { disk, ...primary } = claimant
  const members = record.members.map((member) =>
    (member.node === primary.node ? { ...member, disk } : member))
  const { start: _, ...rest } = record
  return {
    ...rest, epoch, state: 'claimed', primary, members, inSync, forced, ended, ...signature,
  }
}

/** Of those, so many are remembered in a record: more than end before one report is committed. */
export const endedMax = 64

/**
 * What a record has room for. More end while a member is alone in sync, whose epochs begin again
 * and again: these go first, the oldest before the others, since their end is known and the log
 * goes on with it. What was dropped is never accounted for: operators are to be told.
 */
export function boundedEpochs(
  reigns: readonly EndedEpoch[],
): { kept: EndedEpoch[]; dropped: EndedEpoch[] } {
  const ends = knownEnds(reigns)
  const isKnown = ({ epoch }: EndedEpoch): boolean => ends.has(epoch)
  const surplus = [...reigns.filter(isKnown), ...reigns.filter((reign) => !isKnown(reign))]
    .slice(0, Math.max(0, reigns.length - endedMax))
  const dropped = new Set(surplus)
  return { kept: reigns.filter((reign) => !dropped.has(reign)), dropped: surplus }
}

/**
 * Reigns that were open and ended, this record's among them, until a report of them is committed.
 * One that its own holder took up again, with the same disk, left no fork by that; but the next
 * one may, with its end: it is remembered until that end is committed, and a later reign has been
 * open since. What is committed on one disk alone may be lost with it, and the account of it must
 * not be.
 */
export function endedEpochs(
  record: Assignment, reported: ReadonlySet<number>, isCommitted: (entry: Position) => boolean,
): EndedEpoch[] {
  const ended = [...record.ended ?? []]
  if (record.state === 'open') ended.push(...epochOf(record))
  if (record.inSync.length < Math.min(2, record.members.length)) return ended
  const ends = knownEnds(ended)
  return ended.filter((reign) => {
    const end = ends.get(reign.epoch)
    const isKept = end !== undefined && isCommitted({ epoch: reign.epoch, sequence: end })
    return !reported.has(reign.epoch) && !isKept
  })
}

/** What the next reign begins with may lack what is safe: then no bound tells what is missing. */
export function unbounded(reigns: readonly EndedEpoch[]): EndedEpoch[] {
  return reigns.map((reign) => ({ ...reign, atMost: null }))
}

/** The reign that a record names, as it ends. */
function epochOf(record: Assignment): EndedEpoch[] {
  const { epoch, primary, members, start } = record
  if (!primary) return []
  const { node } = primary
  const disk = members.find((member) => member.node === node)?.disk ?? ''
  // A record of a node that does not tell where its reign began.
  const begun = start ?? { epoch: 0, sequence: 0 }
  return [{ epoch, node, disk, start: begun, atMost: boundOf(record) }]
}

/**
 * Where nothing else is asked for, a primary that is alone in sync answers without a bound; and so
 * it does, of two, from the moment on at which it asks the arbiter to take the other one out.
 */
function boundOf({ settings, inSync, members }: Assignment): number | null {
  const { maxLoss, whenUnderReplicated = 'accept' } = settings
  const isHeld = whenUnderReplicated !== 'accept' || inSync.length > Math.min(2, members.length)
  return isHeld ? maxLoss?.entries ?? null : null
}

/**
 * Last sequence of each reign of which that is known: it was handed over, or its holder took it up
 * again, with the same disk.
 */
export function knownEnds(reigns: readonly EndedEpoch[]): Map<number, number> {
  const ends = new Map<number, number>()
  for (const reign of reigns) {
    const before = takenUpBy(reign, reigns)
    if (before) ends.set(before.epoch, reign.start.sequence)
    if (reign.last !== undefined) ends.set(reign.epoch, reign.last)
  }
  return ends
}

/** The reign before, where it was the same holder's. */
function takenUpBy(
  { node, disk, start }: EndedEpoch, reigns: readonly EndedEpoch[],
): EndedEpoch | undefined {
  const before = reigns.find((reign) => reign.epoch === start.epoch)
  return before?.node === node && before.disk === disk ? before : undefined
}

/**
 * `start`: end of the log that the reign began on. A reign that was handed over, and whose whole
 * log this one goes on with, is done with: what becomes of that log is told of this reign.
 */
export function opened(
  record: Assignment, start: Position, holds: (entry: Position) => boolean, signature: Signature,
): Assignment {
  const { ended, ...rest } = record
  const next: Assignment = { ...rest, state: 'open', start, ...signature }
  return ended ? { ...next, ended: withoutHandedOver(ended, holds) } : next
}

/** What a holder had taken up again is in the log that it handed over, and goes as well. */
function withoutHandedOver(
  ended: readonly EndedEpoch[], holds: (entry: Position) => boolean,
): EndedEpoch[] {
  const done = new Set<EndedEpoch>()
  for (const reign of ended.toReversed()) {
    const { epoch, last } = reign
    const isWhole = last !== undefined && holds({ epoch, sequence: last })
    if (!isWhole && !done.has(reign)) continue
    done.add(reign)
    const before = takenUpBy(reign, ended)
    if (before) done.add(before)
  }
  return ended.filter((reign) => !done.has(reign))
}

/** `diskOf`: disk that a member joined with; one that comes in may have another than before. */
export function withInSync(
  record: Assignment, inSync: readonly NodeId[], diskOf: (node: NodeId) => string | undefined,
  signature: Signature,
): Assignment {
  const members = record.members.map((member) => {
    const comesIn = inSync.includes(member.node) && !record.inSync.includes(member.node)
    const disk = comesIn ? diskOf(member.node) : undefined
    return disk ? { ...member, disk } : member
  })
  return { ...record, inSync: [...inSync], members, ...signature }
}

export function withPaused(
  record: Assignment, paused: Paused | null, signature: Signature,
): Assignment {
  return { ...record, paused, ...signature }
}

/**
 * Whether they say the same, but for whether failover is paused, and who wrote them: operators
 * pause and resume a space whoever is its primary, and whatever that is about to write.
 */
export function isSameButPaused(one: Assignment, other: Assignment): boolean {
  const signature = { nonce: '', writer: '' }
  const [a, b] = [one, other].map((record) => canonical(withPaused(record, null, signature)))
  return a === b
}

/** As JSON, whatever the order of keys: records come with another one than they are made with. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    const isRecord = typeof each === 'object' && each !== null && !Array.isArray(each)
    return isRecord ? Object.fromEntries(Object.entries(each).toSorted(byKey)) : each
  })
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}

/** The same, written once more. */
export function signed(record: Assignment, signature: Signature): Assignment {
  return { ...record, ...signature }
}

export function withSettings(
  record: Assignment, settings: SpaceSettings, signature: Signature,
): Assignment {
  return { ...record, settings, ...signature }
}

/** Reigns that are to be remembered when this one is handed over at that sequence. */
export function handedEpochs(record: Assignment, last: number): EndedEpoch[] {
  return [...record.ended ?? [], ...epochOf(record).map((reign) => ({ ...reign, last }))]
}

/**
 * A handover: the record names the target as if it had claimed the epoch itself. `last`: sequence
 * of the last entry. The target has all up to there, and others may not: it may die before it
 * reigns, so the reign counts as ended until somebody who has all does.
 */
export function handedOver(
  record: Assignment, epoch: number, to: NodeId, life: Life, last: number, signature: Signature,
): Assignment {
  const { incarnation, connection } = life
  const primary = { node: to, incarnation, connection }
  const { start: _, ...rest } = record
  const { kept } = boundedEpochs(handedEpochs(record, last))
  return {
    ...rest, epoch, state: 'claimed', primary, forced: false, ended: kept, ...signature,
  }
}
