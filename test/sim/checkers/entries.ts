/** Every entry that was ever numbered, and on which disks it is, or was, durable. */
import type { Frame } from '../../../actors/ports/frames.js'
import type { EpochSpan, Position } from '../../../machines/base/ids.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import type { Reconciliation } from '../../../machines/log/forkNotes.js'
import { epochAt } from '../../../machines/log/positions.js'
import { originName } from '../../../machines/log/versions.js'
import { createFrameCodec } from '../../../runtime/codec/frames.js'
import { tokenOf } from '../operations.js'

const codec = createFrameCodec()

/** A write of a client, or of an operator, that a disk durably had. */
export interface DurableWrite {
  readonly entry: LogEntry
  readonly disks: Set<object>
  /** Disks that had it, and gave it up as covered by checkpoints. */
  readonly givenUpBy: Set<object>
  /** Disks that had it, or had given it up, and whose node removed its data of the space. */
  readonly removedFrom: Set<object>
}

export class Entries {
  private readonly byPlace = new Map<string, LogEntry>()
  private readonly durableByPlace = new Map<string, DurableWrite>()
  /** Frames that a disk has, and that no fdatasync has covered there. */
  private readonly unsynced = new Map<object, Frame[]>()

  /** Given up before they were written, numbers are given again: the last frame counts. */
  sealed(frame: Frame): void {
    for (const entry of codec.entries(frame)) this.byPlace.set(nameOf(entry), entry)
  }

  at(place: Position): LogEntry | undefined {
    return this.byPlace.get(nameOf(place))
  }

  all(): Iterable<LogEntry> {
    return this.byPlace.values()
  }

  written(disk: object, frame: Frame): void {
    const frames = this.unsynced.get(disk)
    if (frames) frames.push(frame)
    else this.unsynced.set(disk, [frame])
  }

  synced(disk: object): void {
    for (const { epoch, first, last } of this.unsynced.get(disk) ?? []) {
      for (let sequence = first; sequence <= last; sequence += 1) {
        this.durable(disk, { epoch, sequence })
      }
    }
    this.unsynced.delete(disk)
  }

  private durable(disk: object, place: Position): void {
    const entry = this.at(place)
    if (!entry || tokenOf(entry) === null) return
    const known = this.durableByPlace.get(nameOf(place))
    if (known) known.disks.add(disk)
    else {
      this.durableByPlace.set(nameOf(place), { entry, disks: new Set([disk]), givenUpBy: new Set(),
        removedFrom: new Set() })
    }
  }

  /** The disk has removed what its log has up to there: only checkpoints of it hold that. */
  givenUp(disk: object, history: readonly EpochSpan[], upTo: number): void {
    for (const { entry: { epoch, sequence }, disks, givenUpBy } of this.durableByPlace.values()) {
      if (sequence > upTo || epochAt(history, sequence) !== epoch || !disks.delete(disk)) continue
      givenUpBy.add(disk)
    }
  }

  /** The node has removed all that it had of the space. */
  removed(disk: object): void {
    for (const { disks, givenUpBy, removedFrom } of this.durableByPlace.values()) {
      const hadIt = disks.delete(disk)
      if (givenUpBy.delete(disk) || hadIt) removedFrom.add(disk)
    }
  }

  /** The process died: what was not synced may be there, or not. */
  recovered(disk: object): void {
    this.unsynced.delete(disk)
  }

  /** The disk ends earlier than it did, for a bit that was flipped in its last flush. */
  cutTo(disk: object, history: readonly EpochSpan[]): void {
    for (const { entry, disks } of this.durableByPlace.values()) {
      if (epochAt(history, entry.sequence) !== entry.epoch) disks.delete(disk)
    }
  }

  durableWrites(): Iterable<DurableWrite> {
    return this.durableByPlace.values()
  }

  durableWrite(place: Position): DurableWrite | undefined {
    return this.durableByPlace.get(nameOf(place))
  }

  /** The place at which the write in the entry was logged first. */
  originOf(entry: LogEntry): Position {
    return entry.reconciliation && !isOperators(entry.reconciliation)
      ? entry.reconciliation.origin
      : entry
  }

  /** An operator put it there, or at the place where it was logged first. */
  isOrdered({ reconciliation }: LogEntry): boolean {
    if (!reconciliation) return false
    if (isOperators(reconciliation)) return true
    const first = this.at(reconciliation.origin)?.reconciliation
    return first !== undefined && isOperators(first)
  }
}

function isOperators({ via }: Reconciliation): boolean {
  return via === 'quarantine'
}

export function nameOf({ epoch, sequence }: Position): string {
  return originName(epoch, sequence)
}
