/** Conditions of a space that need an operator's attention, a line each. */
import type { ClusterNode, ClusterSpace } from '../status/status.js'

export function troubleLines({ id, paused, arbiterReason }: ClusterSpace): string[] {
  return [
    ...(paused
      ? [`PAUSED since ${paused.since} by ${paused.by}: no other member takes over until `
        + `engram resume ${id}`]
      : []),
    ...(arbiterReason ? [`ARBITER: ${arbiterReason}`] : []),
  ]
}

/** Reason why no member is promoted, without the state's name that charts put before it. */
export const blockedLine = (reason: string): string =>
  `BLOCKED: ${reason.replace(/^blocked: /, '')}`

/** `running, drained`. */
export function showState({ state, drained }: ClusterNode): string {
  return drained ? `${state}, drained` : state
}
