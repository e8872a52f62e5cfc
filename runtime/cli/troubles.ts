/** Conditions of a space that need an operator's attention, a line each. */
import { usualPinBytes } from '../../machines/log/retention.js'
import { installText } from '../status/install.js'
import { changeText } from '../status/memberChange.js'
import { rebuildText } from '../status/rebuild.js'
import { retainText } from '../status/retain.js'
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

/** Installs under way, a line each. */
export function installLines({ members }: ClusterSpace): string[] {
  return members.flatMap(({ node, install }) =>
    install ? [`INSTALLING: ${node} ${installText(install)}`] : []
  )
}

/** The change of the members that is under way. */
export function changeLines({ change }: ClusterSpace): string[] {
  return change ? [`MEMBERS: ${changeText(change)}`] : []
}

function diskLines(member: ClusterMember): string[] {
  const { node, rebuilding, pins, checkpoint, retain } = member
  const lines: string[] = []
  if (rebuilding) lines.push(`REBUILDING: ${node} ${rebuildText(rebuilding)}`)
  if (pins && pins.bytes > usualPinBytes(checkpoint?.bytes ?? 0)) {
    lines.push(`PINNED: ${node} keeps ${showBytes(pins.bytes)} of journal that should go: `
      + pins.reason)
  }
  if (retain?.isOverruled) lines.push(`RETAIN: ${node} ${retainText(retain)}`)
  return lines
}

/** Reason why no member is promoted, without the state's name that charts put before it. */
export const blockedLine = (reason: string): string =>
  `BLOCKED: ${reason.replace(/^blocked: /, '')}`

/** `running, drained`. */
export function showState({ state, drained }: ClusterNode): string {
  return drained ? `${state}, drained` : state
}
