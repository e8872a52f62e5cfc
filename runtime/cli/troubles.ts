/** What of a space an operator should know beside its numbers, a line each. */
import type { ClusterNode, ClusterSpace } from '../status/status.js'

export function troubleLines({ id, paused, arbiterReason }: ClusterSpace): string[] {
  return [
    ...(paused ? [`PAUSED since ${paused.since} by ${paused.by}: no other member takes over until `
      + `engram resume ${id}`] : []),
    ...(arbiterReason ? [`ARBITER: ${arbiterReason}`] : []),
  ]
}

/** Why nobody is promoted; the reason of a chart's state names the state, too. */
export const blockedLine = (reason: string): string =>
  `BLOCKED: ${reason.replace(/^blocked: /, '')}`

/** `running, drained`. */
export function showState({ state, drained }: ClusterNode): string {
  return drained ? `${state}, drained` : state
}
