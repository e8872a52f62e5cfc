/**
 * Notable events of nodes and spaces. Each node keeps its latest ones and sends them on request.
 * They are facts; runtime/inspect/eventText.ts makes sentences of them.
 */
import type { Life, NodeId, SpaceId, Vacancy } from '../base/ids.js'

/** Report on a promotion, as the new primary measured and announced it. */
export interface PromotionReport {
  /** Wall clock of the new primary when it took writes. ms since 1970 */
  readonly atMs: number
  readonly space: SpaceId
  readonly epoch: number
  /** The former primary; null: the space had none yet. */
  readonly from: NodeId | null
  readonly to: NodeId
  /** Why the former epoch was over. */
  readonly vacancy: Vacancy
  readonly reason: string
  /** Time from the former primary's last sign, or its end, until writes were taken again. */
  readonly ms: number
  /** Writes that only the former primary is known to have had, a lower bound; null: not known. */
  readonly atRisk: number | null
}

/** Further values of a notice, by name. */
export type NoticeDetail = Readonly<Record<string, unknown>>

export type ClusterEvent =
  /** Noted by the new primary and by every member that receives its announcement. */
  | {
    readonly type: 'promoted'
    readonly promotion: PromotionReport
    readonly inSync: readonly NodeId[]
  }
  | {
    readonly type: 'steppedDown'
    readonly space: SpaceId
    readonly epoch: number
    readonly reason: string
  }
  /** Writes are held from now on; the target is not primary yet. */
  | {
    readonly type: 'handoverBegun'
    readonly space: SpaceId
    readonly epoch: number
    readonly to: NodeId
    readonly reason: string
  }
  /** An alert, or (`isAlert` false) a notice that needs no action. */
  | {
    readonly type: 'notice'
    readonly space: SpaceId
    readonly kind: string
    readonly isAlert: boolean
    readonly message: string
    readonly detail: NoticeDetail
  }
  | { readonly type: 'damaged'; readonly space: SpaceId; readonly reason: string }
  | {
    readonly type: 'peer'
    readonly peer: NodeId
    readonly state: 'gone' | 'left' | 'back'
    /** Evidence about a peer that is gone. */
    readonly vacancy: Vacancy | null
    /** The life that is over, or that was heard; null: none was ever heard. */
    readonly life: Life | null
    readonly reason: string
  }
  /** State of the node that notes it. */
  | { readonly type: 'node'; readonly state: NodeEventState; readonly reason: string }

export type NodeEventState = 'running' | 'isolated' | 'reconnected' | 'draining' | 'stopped'
  | 'failed'

/** An event as a node keeps it. `id` grows, and is unique on that node. */
export type RecordedEvent = ClusterEvent & {
  readonly id: number
  /** Node that noted it. */
  readonly node: NodeId
  /** Wall clock of that node, ms since 1970. */
  readonly atMs: number
}

/** The space that an event concerns; null: the node. */
export function spaceOfEvent(event: ClusterEvent): SpaceId | null {
  if (event.type === 'promoted') return event.promotion.space
  return 'space' in event ? event.space : null
}

/** Whether an alert of that kind says that something is over, so that nobody has to act. */
export function isRecovery(kind: string): boolean {
  return kind.endsWith('Cleared')
}
