import type { PromotionReport } from '../../machines/protocol/events.js'

export type EventKind =
  /** A step of a promotion, with its reason. */
  | 'promotion'
  /** A node becomes the primary or stops being it; `handover` if that was planned. */
  | 'epoch'
  | 'handover'
  /** A member gives up entries that the primary does not have, or their fate is known. */
  | 'fork'
  | 'inSync'
  | 'alert'
  /** A node is gone, back, draining, or away from NATS. */
  | 'node'
  /** An actor was killed, restarted, or gave up. */
  | 'actor'
  /** The present state, shown when the output begins. */
  | 'situation'
  /** A fault that was injected, in recordings of the simulator. */
  | 'fault'

/** One event, as `engram events --json` prints it. */
export interface EventLine {
  /** ISO 8601, by the clock of the reporting node. */
  readonly at: string
  readonly kind: EventKind
  readonly text: string
  /** Id of a recorded event, the same for all nodes that recorded it. */
  readonly id?: string
  /** The reporting node. */
  readonly node?: string
  readonly space?: string
  readonly epoch?: number
  readonly state?: string
  readonly reason?: string
  /** Kind of an alert or notice. */
  readonly alert?: string
  /** Details of an alert. */
  readonly detail?: Readonly<Record<string, unknown>>
  /** Node that is gone or back. */
  readonly peer?: string
  readonly actor?: string
  readonly promotion?: PromotionReport
}
