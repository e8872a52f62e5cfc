/** The moves of a rebalancing, and what is left out of it, for people and as JSON. Pure. */
import { amountText } from '../../machines/base/units.js'
import { showPaused } from '../../machines/election/pause.js'
import { showChange } from '../../machines/protocol/members.js'
import { rebalancing } from '../../machines/protocol/rebalance.js'
import type { Move, PlacedSpace } from '../../machines/protocol/rebalance.js'
import type { SpaceList, UnreadableSpace } from '../client/operator.js'
import { changeName } from '../status/memberChange.js'
import { byName } from '../status/names.js'
import type { ClusterSpace, ClusterStatus } from '../status/status.js'
import { listingOf, namesOf } from './membersText.js'
import { fitState, stateOf } from './nodeList.js'
import { table } from './text.js'

export interface Plan {
  /** Nodes that spaces are placed on. */
  readonly nodes: readonly string[]
  /** Number of the spaces that are not left out. */
  readonly spaces: number
  /** Of one space after the other. */
  readonly moves: readonly Move[]
  readonly leftOut: readonly UnreadableSpace[]
}

/**
 * Places all spaces on the nodes that are fit. A space stays as it is if it cannot be changed now,
 * or has a member that is not fit: such a node may be back in a moment, and to replace it is
 * another decision.
 */
export function planOf(list: SpaceList, status: ClusterStatus): Plan {
  const states = new Map(status.nodes.map((node) => [node.id, stateOf(node)]))
  const zones = new Map(status.nodes.map(({ id, zone }) => [id, zone ?? '']))
  const found = new Map(status.spaces.map((space) => [space.id, space]))
  const nodes = [...states].filter(([, state]) => state === fitState).map(([id]) => id)
  const placed: PlacedSpace[] = []
  const leftOut: UnreadableSpace[] = [...list.unreadable]
  for (const { space } of list.spaces) {
    const one = placeOf(found.get(space), status, states)
    if (typeof one === 'string') leftOut.push({ space, reason: one })
    else placed.push(one)
  }
  return {
    nodes: nodes.toSorted(byName),
    spaces: placed.length,
    moves: rebalancing(placed.toSorted((a, b) => byName(a.space, b.space)), nodes,
      (node) => zones.get(node) ?? ''),
    leftOut: leftOut.toSorted((a, b) => byName(a.space, b.space)),
  }
}

/** Or why the space is left out. */
function placeOf(
  found: ClusterSpace | undefined,
  { nodes }: ClusterStatus,
  states: ReadonlyMap<string, string>,
): PlacedSpace | string {
  if (!found) return 'no member answers'
  if (found.paused) return showPaused(found.paused)
  if (found.change) return `a change of its members is under way: ${changeName(found.change)}`
  const listing = listingOf(found, nodes)
  const { space, primary } = listing
  if (primary === null) return 'it has no primary that answers'
  const members = namesOf(listing)
  for (const node of members) {
    const state = states.get(node) ?? 'away'
    if (state !== fitState) return `its member ${node} is ${state}`
  }
  return { space, members, primary }
}

export function movesBySpace(moves: readonly Move[]): ReadonlyMap<string, readonly Move[]> {
  const bySpace = new Map<string, Move[]>()
  for (const move of moves) bySpace.set(move.space, [...bySpace.get(move.space) ?? [], move])
  return bySpace
}

export function showMove(move: Move): string {
  return move.type === 'primary' ? `make ${move.to} the primary` : showChange(move)
}

export function showPlan({ nodes, spaces, moves, leftOut }: Plan): string {
  return [
    moves.length === 0
      ? `Nothing to move: ${amountText(spaces, 'space')} on ${nodes.join(' ') || 'no node'}`
      : table(['SPACE', 'MOVE'], moves.map((move) => [move.space, showMove(move)])),
    ...leftOut.map(({ space, reason }) => `left out: ${space}: ${reason}`),
  ].join('\n')
}
