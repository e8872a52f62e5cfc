/** Rehearsals of failures, for one space or for all of a node. */
import type { NodeId, SpaceId } from '../../machines/base/ids.js'
import { rehearse } from '../../machines/rehearsal/rehearse.js'
import type { Rehearsed } from '../../machines/rehearsal/rehearse.js'
import type { Costs } from '../../machines/rehearsal/situation.js'
import { byName } from './names.js'
import { situationOf } from './situation.js'
import type { Asked } from './situation.js'
import type { NodeStatusReport } from './status.js'

/** What would happen to one space. */
export interface Rehearsal {
  readonly space: SpaceId
  readonly epoch: number
  /** Node that fails, and whether it is the primary now. */
  readonly node: NodeId
  readonly isPrimary: boolean
  readonly gone: Rehearsed
  readonly hangs: Rehearsed
}

export interface RehearsalReport {
  /** By name. */
  readonly rehearsals: readonly Rehearsal[]
  /** Spaces of which nothing can be said, with the reason. */
  readonly unknown: readonly { readonly space: SpaceId; readonly reason: string }[]
}

/** The primary of a space, or a node. */
export type RehearsalOf = { readonly space: SpaceId } | { readonly node: NodeId }

/** Spaces concerned: the one, or those of which the node is a member by any report. */
export function spacesOf(reports: readonly NodeStatusReport[], of: RehearsalOf): SpaceId[] {
  if ('space' in of) return [of.space]
  const held = reports.flatMap(({ spaces }) =>
    spaces.filter(({ members }) => members.includes(of.node)).map(({ space }) => space)
  )
  return [...new Set(held)].toSorted(byName)
}

export function rehearsalOf(
  reports: readonly NodeStatusReport[],
  asked: Asked,
  of: RehearsalOf,
  costs?: Costs,
): RehearsalReport {
  const rehearsals: Rehearsal[] = []
  const unknown: { space: SpaceId; reason: string }[] = []
  for (const space of spacesOf(reports, of)) {
    const situation = situationOf(space, reports, asked)
    if (typeof situation === 'string') {
      unknown.push({ space, reason: situation })
      continue
    }
    const { record: { epoch, primary } } = situation
    const node = 'node' in of ? of.node : primary!.node
    rehearsals.push({
      space,
      epoch,
      node,
      isPrimary: primary!.node === node,
      gone: rehearse(situation, node, 'gone', costs),
      hangs: rehearse(situation, node, 'hangs', costs),
    })
  }
  return { rehearsals, unknown }
}
