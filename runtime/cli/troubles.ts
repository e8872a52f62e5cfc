/** Conditions of a space that need an operator's attention, a line each. */
import { rebuildText } from '../status/rebuild.js'
import type { ClusterMember, ClusterNode, ClusterSpace } from '../status/status.js'
import { showBytes } from './text.js'

export function troubleLines({ id, paused, arbiterReason, members }: ClusterSpace): string[] {
  return [
    ...(paused
      ? [`PAUSED since ${paused.since} by ${paused.by}: no other member takes over until `
        + `engram resume ${id}`]
      : []),
    ...(arbiterReason ? [`ARBITER: ${arbiterReason}`] : []),
    ...members.flatMap(diskLines),
  ]
}

/** So much, and two generations of checkpoints, is kept in any case: it is no trouble. */
const pinnedBytesMin = 2 * 1024 * 1024 * 1024
const pinnedCheckpoints = 4

function isPinning({ pins, checkpoint }: ClusterMember): boolean {
  const usual = pinnedBytesMin + pinnedCheckpoints * (checkpoint?.bytes ?? 0)
  return (pins?.bytes ?? 0) > usual
}

function diskLines(member: ClusterMember): string[] {
  const { node, rebuilding, pins } = member
  const lines: string[] = []
  if (rebuilding) lines.push(`REBUILDING: ${node} ${rebuildText(rebuilding)}`)
  if (pins && isPinning(member)) {
    lines.push(`PINNED: ${node} keeps ${showBytes(pins.bytes)} of journal that should go: `
      + pins.reason)
  }
  return lines
}

/** Reason why no member is promoted, without the state's name that charts put before it. */
export const blockedLine = (reason: string): string =>
  `BLOCKED: ${reason.replace(/^blocked: /, '')}`

/** `running, drained`. */
export function showState({ state, drained }: ClusterNode): string {
  return drained ? `${state}, drained` : state
}
