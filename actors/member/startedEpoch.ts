import type { Position } from '../../machines/base/ids.js'
import type { ForkOpening } from '../../machines/log/forkNotes.js'

/** An epoch whose first entry is in the log of its primary. */
export interface StartedEpoch {
  /** Sequence and timestamp of that entry. */
  readonly sequence: number
  readonly timestamp: number
  /** Monotonic time of the timestamp. */
  readonly atMs: number
  /** End of the log before that entry. */
  readonly start: Position
  /** Reports that the entry opens. */
  readonly forks: readonly ForkOpening[]
  /** Component of the vector clock that counts the epoch's entries, and the clock at its start. */
  readonly component: string
  readonly clock: Record<string, number>
}
