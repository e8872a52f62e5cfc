import type { NodeId } from '../base/ids.js'

/**
 * Returns the last sequence that is durable on every member of `union`, the primary included.
 * `union` is the in-sync set, or both sets while a change is in flight. A member without an ack in
 * its present session counts as 0: the history in a join is no progress.
 *
 * Worked example: own 9, n2 acked 7, n3 (just re-joined) nothing: union {n1,n2} gives 7,
 * union {n1,n2,n3} gives 0, so `advanceCommit` keeps what was committed before.
 */
export function commitSequence(
  ownDurable: number,
  acks: ReadonlyMap<NodeId, number | undefined>,
  union: Iterable<NodeId>,
  self: NodeId,
): number {
  let least = ownDurable
  for (const node of union) {
    if (node !== self) least = Math.min(least, acks.get(node) ?? 0)
  }
  return least
}

/** Keeps the commit sequence from shrinking in an epoch when sessions begin or end. */
export function advanceCommit(previous: number, computed: number): number {
  return Math.max(previous, computed)
}

/** Returns the union of both sets of a change in flight, which commits and leases need. */
export function unionOf(
  inSync: Iterable<NodeId>,
  pending: Iterable<NodeId> | null,
): ReadonlySet<NodeId> {
  const union = new Set(inSync)
  for (const node of pending ?? []) union.add(node)
  return union
}

/**
 * Returns the members that the arbiter lists whatever became of the change in flight. Only these
 * can certainly be promoted, so only these make a sequence safe.
 */
export function certainlyInSync(
  inSync: Iterable<NodeId>,
  pending: Iterable<NodeId> | null,
): ReadonlySet<NodeId> {
  if (!pending) return new Set(inSync)
  const other = new Set(pending)
  return new Set([...inSync].filter((node) => other.has(node)))
}

/** Whether fewer than min(2, RF) are certainly in sync: writes have no reliable second copy. */
export function isUnderReplicated(inSyncCount: number, replicationFactor: number): boolean {
  return inSyncCount < Math.min(2, replicationFactor)
}

/**
 * Returns the safe sequence: the commit sequence while at least min(2, RF) members are in sync. It
 * does not move while fewer are. `inSyncCount`: size of `certainlyInSync`.
 */
export function safeSequence(
  previous: number,
  commit: number,
  inSyncCount: number,
  replicationFactor: number,
): number {
  if (isUnderReplicated(inSyncCount, replicationFactor)) return previous
  return Math.max(previous, commit)
}

/** Size of what is above a sequence: the loss window (safe sequence), a lag (a member's). */
export interface Window {
  readonly entries: number
  readonly bytes: number
  /** Age of its oldest entry; 0 when it is empty. */
  readonly ms: number
}

export const emptyWindow: Window = { entries: 0, bytes: 0, ms: 0 }

interface Mark {
  readonly first: number
  readonly last: number
  readonly bytes: number
  readonly atMs: number
}

/**
 * Sizes and times of the latest batches of a log, to measure what is above a sequence. Bounded: at
 * `capacity` neighbours are merged; the earlier time wins, so that ages are never understated.
 */
export class LogMarks {
  private marks: Mark[] = []
  private end: number
  /** Sizes and times are known above this sequence. */
  private start: number

  /** `end`: last sequence of the log when counting starts; sizes below it are not known. */
  constructor(end = 0, private readonly capacity = 512) {
    if (capacity < 2) throw new Error('marks: a capacity of at least 2')
    this.end = end
    this.start = end
  }

  /** Whether sizes and times are known of everything above `sequence`. */
  knows(sequence: number): boolean {
    return sequence >= this.start
  }

  /** Notes that a batch up to `last` was appended at `atMs` (monotonic). */
  appended(last: number, bytes: number, atMs: number): void {
    if (last <= this.end) throw new Error(`marks: ${last} after ${this.end}`)
    this.marks.push({ first: this.end + 1, last, bytes, atMs })
    this.end = last
    if (this.marks.length > this.capacity) this.marks = mergeNeighbours(this.marks)
  }

  /** Notes that the log was cut back to `sequence`. */
  truncated(sequence: number): void {
    const kept: Mark[] = []
    for (const mark of this.marks) {
      if (mark.first > sequence) break
      const last = Math.min(mark.last, sequence)
      kept.push({ ...mark, last, bytes: share(mark, mark.first, last) })
    }
    this.marks = kept
    this.end = Math.min(this.end, sequence)
    this.start = Math.min(this.start, sequence)
  }

  /** Number of known batches, merged ones counted once. */
  get size(): number {
    return this.marks.length
  }

  /** Forgets batches up to `sequence`. */
  forget(sequence: number): void {
    const drops = this.indexAbove(sequence)
    if (drops === 0) return
    this.start = Math.max(this.start, this.marks[drops - 1]!.last)
    this.marks = this.marks.slice(drops)
  }

  /** Returns the age of the oldest entry above `sequence` at `nowMs` (monotonic); 0: none. */
  age(sequence: number, nowMs: number): number {
    const mark = this.marks[this.indexAbove(sequence)]
    return mark ? Math.max(nowMs - mark.atMs, 0) : 0
  }

  /** Returns the highest sequence with at most `bytes` from `sequence` (exclusive) to it. */
  reach(sequence: number, bytes: number): number {
    let left = bytes
    for (let i = this.indexAbove(sequence); i < this.marks.length; i += 1) {
      const mark = this.marks[i] as Mark
      const first = Math.max(mark.first, sequence + 1)
      const size = share(mark, first, mark.last)
      if (size > left) {
        return first - 1 + Math.floor((left * (mark.last - mark.first + 1)) / mark.bytes)
      }
      left -= size
    }
    return this.end
  }

  /** Returns the index of the first mark that reaches above the sequence. */
  private indexAbove(sequence: number): number {
    let low = 0
    let high = this.marks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.marks[middle] as Mark).last <= sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Returns the size of what is above `sequence` at `nowMs` (monotonic). */
  above(sequence: number, nowMs: number): Window {
    if (sequence >= this.end) return emptyWindow
    let bytes = 0
    for (let i = this.indexAbove(sequence); i < this.marks.length; i += 1) {
      const mark = this.marks[i] as Mark
      bytes += share(mark, Math.max(mark.first, sequence + 1), mark.last)
    }
    return { entries: this.end - sequence, bytes, ms: this.age(sequence, nowMs) }
  }
}

/** Estimates the bytes of entries first..last of a batch, as if all had equal size. */
function share(mark: Mark, first: number, last: number): number {
  return Math.ceil((mark.bytes * (last - first + 1)) / (mark.last - mark.first + 1))
}

function mergeNeighbours(marks: readonly Mark[]): Mark[] {
  const merged: Mark[] = []
  for (let i = 0; i < marks.length; i += 2) {
    const a = marks[i] as Mark
    const b = marks[i + 1]
    merged.push(b ? { first: a.first, last: b.last, bytes: a.bytes + b.bytes, atMs: a.atMs } : a)
  }
  return merged
}
