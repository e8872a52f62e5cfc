import type { LogEntry } from '../machines/memory.js'
import type { AssignmentAt } from '../machines/protocol.js'
import { clockOfReign } from '../machines/vectorClock.js'
import type { Member } from './member.js'

/** Bytes read from the journal at a time while the overlay is rebuilt. */
const rebuildBytes = 1024 * 1024

/**
 * Opens a claimed epoch in the member's log (DESIGN section 5, promotion step 6): rebuilds overlay
 * and key table up to the log's end, then appends the epoch-start entry, durably. Resolves with
 * its sequence, or null when `isOver` was found true on the way: then nothing was appended.
 * Rejects with JournalFullError, and when the log cannot be read.
 */
export async function startEpoch(
  member: Member, record: AssignmentAt, isOver: () => boolean,
): Promise<number | null> {
  const { ports, commits, wire } = member.context
  const { log, overlay } = member
  const { epoch } = record.assignment
  if (epoch <= member.endedEpoch) throw new Error(`the reign of epoch ${epoch} was ended before`)
  member.reigningEpoch = epoch
  member.sawEpoch(epoch)
  member.record = record
  await member.flushed()
  if (isOver()) return null
  // A forced primary may know of commits that it lacks: they are not these sequences.
  log.commonPoint(log.end.sequence)
  await rebuildOverlay(member, isOver)
  if (isOver()) return null
  const clock = clockOfReign(await clockAtEnd(member), member.self, epoch)
  if (isOver()) return null
  const frame = ports.frames.epochStart(
    {
      uuid: log.uuid, epoch, first: log.end.sequence + 1, previousEpoch: log.end.epoch,
      node: member.self, clock,
    },
    { type: 'EpochStart', space: member.space, node: member.self, ...wire.life },
    Math.max(member.lastTimestamp, Math.floor(ports.clock.wallMs())),
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
  member.remember(entries)
  member.clockAtEnd = ports.frames.clockAfter(frame)
  return frame.last
}

async function rebuildOverlay(member: Member, isOver: () => boolean): Promise<void> {
  const { log, overlay, applier, store, context } = member
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
      member.remember(entries)
      from = frame.last + 1
    }
  }
}

/** Vector clock after the last entry; notes the latest timestamp. */
async function clockAtEnd(member: Member): Promise<Record<string, number>> {
  const { log, context } = member
  if (log.end.sequence === 0) return {}
  const frame = (await log.framesFrom(log.end.sequence, 1)).at(-1)
  if (!frame) throw new Error(`the log's last frame, ${log.end.sequence}, cannot be read`)
  member.remember(context.ports.frames.entries(frame))
  return context.ports.frames.clockAfter(frame)
}
