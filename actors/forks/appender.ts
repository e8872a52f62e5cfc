import type { KeyRecord } from '../../machines/log/entries.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import type { Overlay } from '../overlay/overlay.js'
import type { ErrorAnswer, ErrorCode, WriteAnswer } from '../ports/clientApi.js'
import type { AcceptedRequest } from '../ports/frames.js'

/** Writes that a primary has taken and its overlay does not have yet. */
export interface PendingEntries {
  /** Sequence of the next entry that is taken. */
  readonly nextSequence: number
  /** They as an overlay, with their expected sequences. */
  overlay(): Overlay
}

/** The primary's log, as the reconciliation of forks appends to it. */
export interface Appender {
  readonly bufferedBytes: number
  knownKey(key: string): KeyRecord | undefined
  /** Logs a request of this node's own, about forks; `settle` gets the answer. */
  log(
    request: AcceptedRequest,
    level: AckLevel,
    settle: (answer: WriteAnswer | ErrorAnswer) => void,
  ): void
}

/** The request to log; or its record if it is in the log already; or why it is not taken. */
export type Reconciled =
  | { readonly kind: 'decided'; readonly request: AcceptedRequest }
  | { readonly kind: 'known'; readonly record: KeyRecord }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string }
