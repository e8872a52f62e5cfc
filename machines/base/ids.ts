/** The words that all else is made of: who, where in a log, which life, why a reign is over. */

export type NodeId = string
export type SpaceId = string

/** A place in a space's log: epoch of the last entry, and its sequence. Compared epoch first. */
export interface Position {
  readonly epoch: number
  readonly sequence: number
}

/** Which life of a node speaks: raised at each start, and at each new NATS connection. */
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

/** Why a reign is over (section 2, vacancy). */
export type Vacancy = 'none' | 'own' | 'restarted' | 'resigned' | 'noResponders' | 'grantExpired'
