import type { ClusterSpace, ClusterStatus } from '../status/status.js'
import type { EventLine } from './eventLine.js'
import { eventLine } from './eventText.js'

/** The present state in sentences. @param space if set, only this space */
export function summaryText(status: ClusterStatus, atMs: number, space?: string): EventLine[] {
  const nodes = status.nodes.map(({ id, state }) =>
    eventLine(atMs, 'situation', `${id} is ${state}`, { node: id, state })
  )
  const spaces = status.spaces
    .filter(({ id }) => space === undefined || id === space)
    .flatMap((shown) => spaceLines(shown, atMs))
  return [...nodes, ...spaces]
}

function spaceLines(space: ClusterSpace, atMs: number): EventLine[] {
  const { id, epoch, primary, inSync, blocked, lossWindow, rf } = space
  const fields = { space: id, epoch, ...(primary === null ? {} : { node: primary }) }
  const held = primary === null
    ? `${id} has no primary${blocked === null ? '' : `: ${blocked}`}`
    : `${primary} is the primary of ${id}, in epoch ${epoch}; in sync: ${inSync.join(', ')} `
      + `(${inSync.length} of ${rf}); loss window ${lossWindow.entries} entries`
  const salvages = space.members.filter((member) => member.salvages > 0).map((member) =>
    eventLine(atMs, 'situation', `${member.node} keeps salvages of ${id}: ${member.salvages}`, {
      node: member.node,
      space: id,
    })
  )
  return [eventLine(atMs, 'situation', held, fields), ...salvages]
}
