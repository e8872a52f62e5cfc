/** Types of the promotion chart: input, context, events, effects and output. */
import type { NodeId, Position, Vacancy } from '../base/ids.js'
import type { ProtocolTimes } from '../protocol/defaultTimes.js'
import type { AssignmentAt, SurveyAnswer } from '../protocol/messages.js'
import type { SurveyResult } from './candidates.js'

export interface PromotionInput {
  readonly space: string
  readonly self: NodeId
  readonly disk: string
  readonly times: ProtocolTimes
  /** Added to each stand-by, drawn per candidate so that equals do not move in step. */
  readonly jitterMs: number
  /** Forced by an operator against the in-sync rule (I2 and I5 do not cover such an epoch). */
  readonly forced: boolean
  /** A record that already names this life (a handover, or an own claim applied late). */
  readonly adopted: AssignmentAt | null
}

export interface PromotionContext extends PromotionInput {
  record: AssignmentAt | null
  position: Position
  answers: readonly SurveyAnswer[]
  verdict: SurveyResult | null
  vacancy: Vacancy | null
  standBys: number
  missing: readonly NodeId[]
  /** Why this member must not take over by itself, or null. An operator's command is not held. */
  hold: string | null
  /** Why the record cannot be written, as reported; null: it can. */
  obstacle: string | null
  /** Number of such obstacles in a row. */
  obstructions: number
  /** Sequence of the epoch-start entry. */
  epochStart: number
  lastReason: string
}

export type PromotionEvent =
  | { type: 'recordRead'; record: AssignmentAt; position: Position; hold?: string | null }
  /** The member is not held any more. */
  | { type: 'released'; reason: string }
  | { type: 'recordUnavailable'; reason: string }
  /** The record allows no promotion until an operator repairs it. */
  | { type: 'recordUnusable'; reason: string }
  | { type: 'surveyed'; answers: readonly SurveyAnswer[]; position: Position }
  | { type: 'vacancyProven'; vacancy: Vacancy }
  | { type: 'claimed'; record: AssignmentAt }
  | { type: 'compareAndSetRefused'; reason: string }
  /** The arbiter refuses to store it, for a lasting reason. */
  | { type: 'compareAndSetRejected'; reason: string }
  | { type: 'epochStarted'; sequence: number }
  | { type: 'stepFailed'; reason: string }
  | { type: 'grantsHeld' }
  | { type: 'grantsMissing'; nodes: readonly NodeId[]; shrinkable: boolean }
  | { type: 'inSyncShrunk'; record: AssignmentAt }
  | { type: 'opened'; record: AssignmentAt }
  | { type: 'leaseLapsed'; reason: string }
  | { type: 'primarySeen'; reason: string }

export type PromotionEffect =
  | { type: 'readRecord' }
  | { type: 'survey'; record: AssignmentAt }
  | { type: 'watchVacancy'; record: AssignmentAt }
  | { type: 'claim'; record: AssignmentAt; answers: readonly SurveyAnswer[]; vacancy: Vacancy }
  | { type: 'startEpoch'; record: AssignmentAt }
  | { type: 'watchGrants'; record: AssignmentAt }
  | { type: 'shrink'; record: AssignmentAt; without: readonly NodeId[] }
  | { type: 'open'; record: AssignmentAt }
  | { type: 'progressed'; state: string; reason: string }

export type PromotionOutput =
  | { readonly kind: 'won'; readonly record: AssignmentAt; readonly epochStart: number }
  | { readonly kind: 'stoodDown'; readonly reason: string }
