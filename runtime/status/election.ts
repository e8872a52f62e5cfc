/** What a member and its node say that counts in an election. Anybody may answer for a node. */
import { z } from 'zod'
import type { Position } from '../../machines/base/ids.js'
import type { ProtocolTimes } from '../../machines/protocol/defaultTimes.js'

export interface NodeTimes {
  /** Times of the protocol, as configured. Null before recovery; absent from earlier versions. */
  readonly times?: ProtocolTimes | null
}

export interface ElectionStatus {
  /** Durable end of its log, and the last entry that it knows to be committed. */
  readonly position: Position
  readonly committed: Position
  /** Highest epoch that it has seen anywhere. */
  readonly highestEpoch: number
  /** Why it should not be promoted now; absent: it may be. */
  readonly unfit?: string | undefined
  /** The same, if its node were not drained. */
  readonly fault?: string | undefined
  /** If it is not `accept`. */
  readonly whenUnderReplicated?: 'wait' | 'refuse' | undefined
}

const position = z.object({ epoch: z.number(), sequence: z.number() })

export const electionSchema = z.object({
  position,
  committed: position,
  highestEpoch: z.number(),
  unfit: z.string().optional(),
  fault: z.string().optional(),
  whenUnderReplicated: z.enum(['wait', 'refuse']).optional(),
})

const ms = z.number().positive()

export const timesSchema = z.object({
  heartbeatMs: ms,
  probeMs: ms,
  grantMs: ms,
  grantMargin: z.number().min(1),
  surveyMs: ms,
  standByMs: ms,
  inSyncLagMs: ms,
  stallMs: ms,
  casTimeoutMs: ms,
})
