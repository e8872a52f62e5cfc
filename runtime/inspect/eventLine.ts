import type { PromotionReport } from '../../machines/protocol/events.js'

export type EventKind =
  /** A step of a promotion, with its reason. */
  | 'promotion'
  /** A node becomes the primary, or is none any more; `handover`: it was planned. */
  | 'epoch' | 'handover'
  /** A member gives entries up that the primary does not have; what becomes of them. */
  | 'fork'
  | 'inSync' | 'alert'
  /** A node is gone, back, draining, or away from NATS. */
  | 'node'
  /** An actor was killed, restarted, or gave up. */
  | 'actor'
  /** How things stand when the telling begins. */
  | 'situation'
  /** Something was done to the cluster: in the recordings of a simulator. */
  | 'fault'

/** One line of the story; the JSON that `engram events --json` prints. */
export interface EventLine {
  /** ISO 8601, by the clock of the node that says so. */
  readonly at: string
  readonly kind: EventKind
  /** A sentence. */
  readonly text: string
  /** Of what nodes keep: the same for all nodes that noted it. */
  readonly id?: string
  /** Who says it. */
  readonly node?: string
  readonly space?: string
  readonly epoch?: number
  readonly state?: string
  readonly reason?: string
  /** Kind of an alert or notice. */
  readonly alert?: string
  /** What else an alert says. */
  readonly detail?: Readonly<Record<string, unknown>>
  /** The node that is gone or back. */
  readonly peer?: string
  readonly actor?: string
  readonly promotion?: PromotionReport
}
