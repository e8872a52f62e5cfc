/** Basic types: nodes and spaces, positions in a log, lives of a node, vacancies. */

export type NodeId = string
export type SpaceId = string

/** A position in a space's log: epoch and sequence of an entry. Compared by epoch first. */
export interface Position {
  readonly epoch: number
  readonly sequence: number
}

/** A life of a node: begins with each start, and with each new NATS connection. */
export interface Life {
  readonly incarnation: number
  readonly connection: number
}

/** A stretch of a log written under one epoch. A history is a list of these, oldest first. */
export interface EpochSpan {
  readonly epoch: number
  /** Last sequence of that epoch in this log. */
  readonly last: number
}

/**
 * Epochs that a log consists of. Up to its root the history is summed up: an entry there has the
 * root's epoch or a lower one, not known which.
 */
export interface EpochHistory {
  /** An entry of the log; the origin: nothing is summed up. */
  readonly root: Position
  /** Oldest first. If there is a root, the first span is of its epoch and includes it. */
  readonly history: readonly EpochSpan[]
}

/** Evidence that an epoch is over, so that its place is vacant. */
export type Vacancy = 'none' | 'own' | 'restarted' | 'resigned' | 'noResponders' | 'grantExpired'
