/**
 * What happens to nodes and spaces and is worth telling later: each node keeps the last of it, and
 * gives it to whoever comes late. Facts, not sentences; runtime/inspect/eventText.ts makes those.
 */
import type { Life, NodeId, SpaceId, Vacancy } from '../base/ids.js'

/** A member became the primary of a space: as the new primary measured it, and announced. */
export interface PromotionReport {
  /** Wall clock of the new primary when it took writes. ms since 1970 */
  readonly atMs: number
  readonly space: SpaceId
  readonly epoch: number
  /** The primary before; null: the space had none yet. */
  readonly from: NodeId | null
  readonly to: NodeId
  /** Why the epoch before was over. */
  readonly vacancy: Vacancy
  readonly reason: string
  /** From when the primary before was last heard, or gave up, until writes were taken again. */
  readonly ms: number
  /** Writes that the primary before is known to have had alone: at least; null: not known. */
  readonly atRisk: number | null
}

/** Values that say more of a notice, by their names. */
export type NoticeDetail = Readonly<Record<string, unknown>>

export type ClusterEvent =
  /** Noted by the new primary and by every member that hears of it. */
  | {
    readonly type: 'promoted'; readonly promotion: PromotionReport
    readonly inSync: readonly NodeId[]
  }
  | {
    readonly type: 'steppedDown'; readonly space: SpaceId; readonly epoch: number
    readonly reason: string
  }
  /** Writes are held from now on; the target is not the primary yet. */
  | {
    readonly type: 'handoverBegun'; readonly space: SpaceId; readonly epoch: number
    readonly to: NodeId; readonly reason: string
  }
  /** An alert; unless `isAlert`, something that needs no action. */
  | {
    readonly type: 'notice'; readonly space: SpaceId; readonly kind: string
    readonly isAlert: boolean; readonly message: string; readonly detail: NoticeDetail
  }
  | { readonly type: 'damaged'; readonly space: SpaceId; readonly reason: string }
  | {
    readonly type: 'peer'; readonly peer: NodeId; readonly state: 'gone' | 'left' | 'back'
    /** Of one that is gone: how that is known. */
    readonly vacancy: Vacancy | null
    /** The life that is over, or that is heard; null: none was ever heard. */
    readonly life: Life | null; readonly reason: string
  }
  /** Of the node that notes it. */
  | { readonly type: 'node'; readonly state: NodeEventState; readonly reason: string }

export type NodeEventState =
  'running' | 'isolated' | 'reconnected' | 'draining' | 'stopped' | 'failed'

/** An event as a node keeps it: `id` grows, and tells it from all others of that node. */
export type RecordedEvent = ClusterEvent & {
  readonly id: number
  /** Who noted it. */
  readonly node: NodeId
  /** Wall clock of that node, ms since 1970. */
  readonly atMs: number
}

/** The space that an event concerns; null: the node. */
export function spaceOfEvent(event: ClusterEvent): SpaceId | null {
  if (event.type === 'promoted') return event.promotion.space
  return 'space' in event ? event.space : null
}
