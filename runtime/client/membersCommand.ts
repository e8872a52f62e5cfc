import type { MemberChange } from '../../machines/protocol/memberChange.js'

/**
 * Orders a change of the members, which goes on after the answer; `add` and `remove` together
 * replace one by the other. `cancel`: takes back what is under way.
 */
export type MembersCommand = { readonly type: 'changeMembers'; readonly space: string } & ({
  readonly add?: string
  readonly remove?: string
  /** Fewer members may remain, and the removal waits for one other in sync only. */
  readonly force?: boolean
  readonly by?: string
} | { readonly cancel: true })

/** The record after the command. */
export interface MembersAnswer {
  readonly members: readonly string[]
  readonly inSync: readonly string[]
  /** Members besides the primary. */
  readonly replicas: number
  /** The change that is under way; null: none. */
  readonly change: MemberChange | null
}
