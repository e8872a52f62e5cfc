import type { Life, NodeId, Position } from '../base/ids.js'
import { joinedMembers } from './members.js'
import { preferredPrimary } from './spacePlacement.js'
import type { Signature } from './signature.js'
import type { Assignment, Dropped, EndedEpoch, Member, Paused, PrimaryLife,
  SpaceSettings } from './messages.js'

/**
 * Returns the record that claims `epoch`; one candidate wins it by compare-and-set. Lists
 * `claimant.disk`: an operator may force a member that came back with another disk.
 */
export function claimed(
  record: Assignment,
  epoch: number,
  claimant: PrimaryLife & Member,
  inSync: readonly NodeId[],
  forced: boolean,
  ended: readonly EndedEpoch[],
  signature: Signature,
): Assignment {
  const { disk, ...primary } = claimant
  const members = record.members.map((
    member,
  ) => (member.node === primary.node ? { ...member, disk } : member))
  const { start: _, promotedBy: __, ...rest } = record
  return {
    ...rest,
    epoch,
    state: 'claimed',
    primary,
    members,
    inSync,
    forced,
    ended,
    ...signature,
  }
}

/** Ended epochs that a record may list: more than usually end before a report is committed. */
export const endedMax = 64

/**
 * Bounds the list of ended epochs. More end only if one member alone is in sync and begins epochs
 * again and again. Those are dropped first, the oldest before the others: their end is known, and
 * the log continues from it. Dropped epochs get no report, which needs an alert.
 */
export function boundedEpochs(
  epochs: readonly EndedEpoch[],
): { kept: EndedEpoch[]; dropped: EndedEpoch[] } {
  const ends = knownEnds(epochs)
  const isKnown = ({ epoch }: EndedEpoch): boolean => ends.has(epoch)
  const surplus = [...epochs.filter(isKnown), ...epochs.filter((one) => !isKnown(one))]
    .slice(0, Math.max(0, epochs.length - endedMax))
  const dropped = new Set(surplus)
  return { kept: epochs.filter((one) => !dropped.has(one)), dropped: surplus }
}

/**
 * Lists epochs that were open and ended, this record's among them, until a report on each is
 * committed. An epoch that its own primary continued, with the same disk, left no fork by that. The
 * epoch after it may leave one that includes its end, so it stays listed until that end is
 * committed and a later epoch has been open. Entries that are committed on one disk alone may be
 * lost with it, but the report on them must not be.
 */
export function endedEpochs(
  record: Assignment,
  reported: ReadonlySet<number>,
  isCommitted: (entry: Position) => boolean,
): EndedEpoch[] {
  const ended = [...record.ended ?? []]
  if (record.state === 'open') ended.push(...epochOf(record))
  if (record.inSync.length < Math.min(2, record.members.length)) return ended
  const ends = knownEnds(ended)
  return ended.filter((one) => {
    const end = ends.get(one.epoch)
    const isKept = end !== undefined && isCommitted({ epoch: one.epoch, sequence: end })
    return !reported.has(one.epoch) && !isKept
  })
}

/** Removes the bounds: the next epoch may begin without safe entries, so no bound holds. */
export function unbounded(epochs: readonly EndedEpoch[]): EndedEpoch[] {
  return epochs.map((one) => ({ ...one, atMost: null }))
}

/** The epoch that a record names, as it ends. */
function epochOf(record: Assignment): EndedEpoch[] {
  const { epoch, primary, members, start } = record
  if (!primary) return []
  const { node } = primary
  const disk = members.find((member) => member.node === node)?.disk ?? ''
  // An older node did not record where its epoch began.
  const begun = start ?? { epoch: 0, sequence: 0 }
  return [{ epoch, node, disk, start: begun, atMost: boundOf(record) }]
}

/**
 * Returns the most writes that can be above the safe sequence, or null. By default, a primary that
 * is alone in sync answers without a bound. So does one of two, from the moment at which it asks
 * the arbiter to remove the other one.
 */
function boundOf({ settings, inSync, members }: Assignment): number | null {
  const { maxLoss, whenUnderReplicated = 'accept' } = settings
  const isHeld = whenUnderReplicated !== 'accept' || inSync.length > Math.min(2, members.length)
  return isHeld ? maxLoss?.entries ?? null : null
}

/**
 * Returns the last sequence of each epoch for which it is known: the epoch was handed over, or its
 * primary continued it in a later epoch with the same disk.
 */
export function knownEnds(epochs: readonly EndedEpoch[]): Map<number, number> {
  const ends = new Map<number, number>()
  for (const one of epochs) {
    const before = takenUpBy(one, epochs)
    if (before) ends.set(before.epoch, one.start.sequence)
    if (one.last !== undefined) ends.set(one.epoch, one.last)
  }
  return ends
}

/** The epoch before, if it had the same primary and disk. */
function takenUpBy(
  { node, disk, start }: EndedEpoch,
  epochs: readonly EndedEpoch[],
): EndedEpoch | undefined {
  const before = epochs.find((one) => one.epoch === start.epoch)
  return before?.node === node && before.disk === disk ? before : undefined
}

/**
 * Returns the record of an opened epoch. `start`: end of the log that it began on. An epoch that
 * was handed over, and whose whole log this one continues, is not listed any more: reports on that
 * log are reports on this epoch.
 */
export function opened(
  record: Assignment,
  start: Position,
  holds: (entry: Position) => boolean,
  signature: Signature,
): Assignment {
  const { ended, ...rest } = record
  const next: Assignment = { ...rest, state: 'open', start, ...signature }
  return ended ? { ...next, ended: withoutHandedOver(ended, holds) } : next
}

/** Drops epochs handed over whole, and those that their primary had continued before. */
function withoutHandedOver(
  ended: readonly EndedEpoch[],
  holds: (entry: Position) => boolean,
): EndedEpoch[] {
  const done = new Set<EndedEpoch>()
  for (const one of ended.toReversed()) {
    const { epoch, last } = one
    const isWhole = last !== undefined && holds({ epoch, sequence: last })
    if (!isWhole && !done.has(one)) continue
    done.add(one)
    const before = takenUpBy(one, ended)
    if (before) done.add(before)
  }
  return ended.filter((one) => !done.has(one))
}

/**
 * The record with another in-sync set; a learner in it becomes a member. `diskOf`: disk that a
 * member joined with; a new one may have another disk than before.
 */
export function withInSync(
  record: Assignment,
  inSync: readonly NodeId[],
  diskOf: (node: NodeId) => string | undefined,
  signature: Signature,
): Assignment {
  const { change: _, ...rest } = record
  const next = { ...rest, ...joinedMembers(record, inSync, diskOf) }
  const members = next.members.map((member) => {
    const comesIn = inSync.includes(member.node) && !record.inSync.includes(member.node)
    const disk = comesIn ? diskOf(member.node) : undefined
    return disk ? { ...member, disk } : member
  })
  // Only members are in sync: a learner of an unknown disk stays one.
  const listed = inSync.filter((node) => members.some((member) => member.node === node))
  return { ...next, inSync: listed, members, ...signature }
}

/** The record of an epoch whose primary the operator `by` chose; null: none did. */
export function withPromoter(record: Assignment, by: string | null): Assignment {
  const { space, members, primary } = record
  const isPreferred = primary?.node === preferredPrimary(space, members.map(({ node }) => node))
  return by === null || isPreferred ? record : { ...record, promotedBy: by }
}

export function withPaused(
  record: Assignment,
  paused: Paused | null,
  signature: Signature,
): Assignment {
  return { ...record, paused, ...signature }
}

/** Second half of a sentence on a tombstone: `was dropped at … by …`. */
export function droppedText({ dropped }: Pick<Assignment, 'dropped'>): string {
  return `was dropped${dropped ? ` at ${dropped.since} by ${dropped.by}` : ''}`
}

/** Dropped spaces of one name that the record of the next one lists. */
export const formerlyMax = 16

/**
 * Returns the record that ends a space for good. It stays under the name until a new space takes
 * the name, so that members that are away now learn of it later.
 */
export function tombstone(record: Assignment, dropped: Dropped, signature: Signature): Assignment {
  const { start: _, ended: __, paused: ___, change: ____, promotedBy: _____, ...rest } = record
  return { ...rest, state: 'dropped', primary: null, inSync: [], dropped, ...signature }
}

/** Spaces of that name that were dropped, for the record of a new one; null: there is no record. */
export function formerlyOf(record: Assignment | null): readonly string[] {
  if (!record) return []
  const { formerly = [], uuid, state } = record
  return [...formerly, ...(state === 'dropped' ? [uuid] : [])].slice(-formerlyMax)
}

/**
 * Whether the record says that this very space was dropped. A record of another space that does not
 * name it says nothing about it: the arbiter may have lost its record.
 */
export function saysDropped(record: Assignment, uuid: string): boolean {
  return formerlyOf(record).includes(uuid)
}

/**
 * Whether two records are equal except for `paused` and their writers: operators pause and resume a
 * space whichever node is primary, and whatever it is about to write.
 */
export function isSameButPaused(one: Assignment, other: Assignment): boolean {
  return isSameBut(one, other, (record) => ({ ...record, paused: null }))
}

/** Whether two records are equal except for their in-sync sets and their writers. */
export function isSameButInSync(one: Assignment, other: Assignment): boolean {
  return isSameBut(one, other, (record) => ({ ...record, inSync: [] }))
}

function isSameBut(
  one: Assignment,
  other: Assignment,
  without: (record: Assignment) => Assignment,
): boolean {
  const [a, b] = [one, other].map((record) =>
    canonical({ ...without(record), nonce: '', writer: '' })
  )
  return a === b
}

/** Returns JSON with sorted keys: records are read with another order than they are made with. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    const isRecord = typeof each === 'object' && each !== null && !Array.isArray(each)
    return isRecord ? Object.fromEntries(Object.entries(each).toSorted(byKey)) : each
  })
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}

/** Returns the same record with another signature. */
export function signed(record: Assignment, signature: Signature): Assignment {
  return { ...record, ...signature }
}

export function withSettings(
  record: Assignment,
  settings: SpaceSettings,
  signature: Signature,
): Assignment {
  return { ...record, settings, ...signature }
}

/** Lists ended epochs when this one is handed over at sequence `last`. */
export function handedEpochs(record: Assignment, last: number): EndedEpoch[] {
  return [...record.ended ?? [], ...epochOf(record).map((one) => ({ ...one, last }))]
}

/**
 * Returns the record of a handover. It names the target as if that had claimed the epoch. `last`:
 * sequence of the last entry. The target has all entries up to there, others may not. It may die
 * before it is primary, so the epoch is listed as ended until a member with all of them is primary.
 */
export function handedOver(
  record: Assignment,
  epoch: number,
  to: NodeId,
  life: Life,
  last: number,
  signature: Signature,
): Assignment {
  const { incarnation, connection } = life
  const primary = { node: to, incarnation, connection }
  const { start: _, promotedBy: __, ...rest } = record
  const { kept } = boundedEpochs(handedEpochs(record, last))
  return {
    ...rest,
    epoch,
    state: 'claimed',
    primary,
    forced: false,
    ended: kept,
    ...signature,
  }
}
