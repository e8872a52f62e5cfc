import type { Position } from '../../machines/base/ids.js'
import type { ForkOpening } from '../../machines/log/forkNotes.js'

/** A reign that has its first entry in the log. */
export interface StartedEpoch {
  /** Of that entry. */
  readonly sequence: number
  readonly timestamp: number
  /** When that was, by the monotonic clock. */
  readonly atMs: number
  /** End of the log that it began on. */
  readonly start: Position
  /** Reports that the entry opens. */
  readonly forks: readonly ForkOpening[]
  /** Component of the vector clock that counts the reign's entries, and the clock now. */
  readonly component: string
  readonly clock: Record<string, number>
}
