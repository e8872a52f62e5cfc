import type { LogEntry } from '../../machines/log/entries.js'
import type { ForkOpening } from '../../machines/log/forkNotes.js'
import { forkPointOf, startsOf } from '../../machines/log/lineage.js'
import { clockOfEpoch } from '../../machines/log/vectorClock.js'
import { knownEnds } from '../../machines/protocol/assignments.js'
import type { Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'
import type { StartedEpoch } from '../member/startedEpoch.js'

/** Bytes read from the journal at a time while the overlay is rebuilt. */
const rebuildBytes = 1024 * 1024
/** Time in which the store must make progress; otherwise it is not waited for. */
const applyPatienceMs = 2000

/**
 * Opens a claimed epoch in the member's log: rebuilds overlay and key table up to the log's end,
 * then appends the epoch-start entry, durably. Resolves with null if `isOver` became true on the
 * way; then nothing was appended. Rejects with JournalFullError, and when the log cannot be read.
 */
export async function startEpoch(
  member: Member,
  record: AssignmentAt,
  isOver: () => boolean,
): Promise<StartedEpoch | null> {
  const { ports, commits, wire } = member.context
  const { log, overlay } = member
  const { epoch } = record.assignment
  member.own.begin(epoch)
  member.known.sawEpoch(epoch)
  member.known.learned(record)
  await member.flushed()
  if (isOver()) return null
  await member.store.keysRead()
  if (isOver()) return null
  // A forced primary may know of commits that it lacks: its own sequences are other entries.
  log.commonPoint(log.end.sequence)
  // Alone in sync, no other member could be promoted: what is durable here is committed.
  if (record.assignment.inSync.length === 1) member.commitUpTo(log.durable.sequence)
  await applyCommitted(member, isOver)
  if (isOver()) return null
  await rebuildOverlay(member, isOver)
  if (isOver()) return null
  const { component, clock } = clockOfEpoch(await clockAtEnd(member), member.self, epoch)
  if (isOver()) return null
  const start = log.end
  const forks = openingsOf(member, record.assignment)
  const timestamp = Math.max(member.own.latestTimestamp, Math.floor(ports.clock.wallMs()))
  const atMs = ports.clock.monotonicMs()
  const frame = ports.frames.epochStart(
    {
      uuid: log.uuid,
      epoch,
      first: start.sequence + 1,
      previousEpoch: start.epoch,
      node: component,
      clock,
    },
    {
      type: 'EpochStart',
      space: member.space,
      node: member.self,
      ...wire.life,
      ...(forks.length > 0 && { forks }),
    },
    timestamp,
  )
  log.accept(frame, ports.clock.monotonicMs())
  try {
    await commits.submit({ type: 'frame', frame }, () => log.noteWritten(frame))
  } catch (error) {
    log.rollback()
    throw error
  }
  log.noteDurable(frame)
  const entries = ports.frames.entries(frame)
  overlay.add(entries, frame.bytes.length)
  member.own.sawEntries(entries)
  const started = {
    sequence: frame.last,
    timestamp,
    atMs,
    start,
    forks,
    component,
    clock: ports.frames.clockAfter(frame),
  }
  member.own.noteStarted(started)
  return started
}

/**
 * Fork reports on the epochs that ended and that the store has none of. An epoch whose end is known
 * needs none if all of it is here: it was handed over, or its holder took it up again.
 */
function openingsOf(member: Member, assignment: Assignment): ForkOpening[] {
  const { log, store, following: { heardEnd }, context: { self } } = member
  const { ended = [] } = assignment
  const own = { epoch: assignment.epoch, node: self.node, disk: self.disk, start: log.end }
  const ends = knownEnds([...ended, own])
  const fromLog = startsOf(log.history, log.root)
  const begun = new Map(ended.map(({ epoch, start }) => [epoch, start]))
  const starts = (epoch: number) => fromLog(epoch) ?? begun.get(epoch)
  const reported = new Set(store.reports().map(({ epoch }) => epoch))
  return ended.flatMap(({ epoch, node, disk, start, atMost = null }) => {
    const end = { epoch, sequence: Number.MAX_SAFE_INTEGER }
    const forkPoint = forkPointOf(log, end, starts)
    const last = ends.get(epoch)
    const isWhole = last !== undefined && log.has({ epoch, sequence: last })
    if (reported.has(epoch) || isWhole) return []
    const heard = heardEnd.epoch === epoch ? heardEnd.sequence : 0
    return [{
      epoch,
      node,
      disk,
      start,
      forkPoint,
      atMost,
      lastKnown: Math.max(heard, last ?? 0, start.sequence, forkPoint.sequence),
    }]
  })
}

/** Applies in bounded batches, so that the overlay holds only what is not committed. */
async function applyCommitted({ log, store, applier }: Member, isOver: () => boolean) {
  let before = -1
  // A store that makes no progress (a full disk) is not waited for.
  while (store.applied.sequence < log.commitSequence && store.applied.sequence > before
    && applier.hindrance === null)
  {
    before = store.applied.sequence
    await new Promise((done) => applier.whenCovers(log.commitSequence, applyPatienceMs, done))
    if (isOver()) return
  }
}

async function rebuildOverlay(member: Member, isOver: () => boolean): Promise<void> {
  const { log, overlay, applier, store, context } = member
  const { overlayBytesMax } = context.settings
  await applier.quiet()
  if (isOver()) return
  overlay.dropAbove(store.applied.sequence)
  overlay.applied(store.applied.sequence)
  let from = store.applied.sequence + 1
  while (from <= log.end.sequence) {
    const frames = await log.framesFrom(from, rebuildBytes)
    if (isOver()) return
    if (frames.length === 0) throw new Error(`the log ends before ${log.end.sequence}`)
    for (const frame of frames) {
      const entries: LogEntry[] = context.ports.frames.entries(frame)
        .filter((entry) => entry.sequence >= from)
      overlay.add(entries, frame.bytes.length)
      member.own.sawEntries(entries)
      from = frame.last + 1
    }
    // Writes are refused at overlayBytesMax, with the largest flush under way.
    if (overlay.bytes > 2 * overlayBytesMax) {
      throw new Error(`what is not known to be committed, from ${store.applied.sequence + 1} to `
        + `${log.end.sequence}, does not fit into memory: overlayBytesMax is ${overlayBytesMax}`)
    }
  }
}

/** Vector clock after the last entry; notes the latest timestamp. */
async function clockAtEnd(member: Member): Promise<Record<string, number>> {
  const { log, context } = member
  if (log.end.sequence === 0) return {}
  const covers = context.ports.journal.log(log.uuid)?.covers
  if (covers && log.end.sequence === log.base && log.base === covers.covered.sequence) {
    // No frame is kept: a checkpoint has all entries.
    member.own.sawTimestamp(covers.timestamp)
    return { ...covers.clock }
  }
  const frame = (await log.framesFrom(log.end.sequence, 1)).at(-1)
  if (!frame) throw new Error(`the log's last frame, ${log.end.sequence}, cannot be read`)
  member.own.sawEntries(context.ports.frames.entries(frame))
  return context.ports.frames.clockAfter(frame)
}
