import { topState } from '../../machines/base/stateName.js'
import type { spaceMachine } from '../../machines/space.js'
import type { HostedActor } from '../host/actorHost.js'

/** Role of a member, state of that role's chart, and why it is in it. */
export interface RoleState {
  readonly role: string
  readonly state: string
  readonly reason: string
}

/** `of`: the role that lives, or null. A primary gives no reason of its own. */
export function roleStateOf(
  actor: HostedActor<typeof spaceMachine> | null,
  of: { readonly state: string; readonly reason?: string } | null,
): RoleState {
  const snapshot = actor?.snapshot()
  const role = topState(snapshot?.value ?? 'recovering')
  return {
    role,
    state: of?.state ?? role,
    reason: of?.reason ?? snapshot?.context.lastReason ?? '',
  }
}
