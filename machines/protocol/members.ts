/**
 * Changes of a space's members (docs/internals/members.md): pure functions of the record. The
 * learner, the node to add, is no member until the record lists it in sync, so it counts nowhere.
 */
import type { NodeId } from '../base/ids.js'
import type { Signature } from './signature.js'
import type { MemberChange } from './memberChange.js'
import type { Assignment, Member } from './messages.js'

/** Members that a space may have: replicas is 15 at most. */
export const membersMax = 16
/** Removed nodes that a record lists. */
export const removedMax = 16

/** An order to change the members, as an operator gives it. */
export interface MemberOrder {
  readonly add?: NodeId
  readonly remove?: NodeId
  readonly by: string
  /** Fewer members may remain. */
  readonly force?: boolean
}

/** Node that is to be added, and holds the space without being a member; null: none. */
export function learnerOf({ change }: Pick<Assignment, 'change'>): NodeId | null {
  return change?.add ?? null
}

export function isMember({ members }: Pick<Assignment, 'members'>, node: NodeId): boolean {
  return members.some((member) => member.node === node)
}

/** Whether the node holds the space: members and the learner do. */
export function isHolder(
  record: Pick<Assignment, 'members' | 'change'>,
  node: NodeId,
): boolean {
  return isMember(record, node) || learnerOf(record) === node
}

/** When the node was taken out of the members, ISO 8601; null: the record does not say that. */
export function removedAt({ removed }: Pick<Assignment, 'removed'>, node: NodeId): string | null {
  return removed?.find((one) => one.node === node)?.at ?? null
}

/** Members, then the learner. */
export function holdersOf(record: Pick<Assignment, 'members' | 'change'>): NodeId[] {
  const learner = learnerOf(record)
  return [...record.members.map(({ node }) => node), ...(learner === null ? [] : [learner])]
}

/** Node that is to be taken out now; null: none, or another one is to be added first. */
export function leavingOf({ change }: Pick<Assignment, 'change'>): NodeId | null {
  return change?.add === undefined ? change?.remove ?? null : null
}

/** Returns why the order cannot be taken, or null. `unfit`: why a node may not be added. */
export function orderFault(
  record: Pick<Assignment, 'space' | 'members' | 'change'>,
  { add, remove, force }: MemberOrder,
  unfit: (node: NodeId) => string | null,
): string | null {
  const { space, members, change } = record
  if (add === undefined && remove === undefined) return 'name a node to add or to remove'
  if (change) {
    return `a change of the members is under way (${showChange(change)}): wait for it, or cancel it`
  }
  if (add !== undefined) {
    if (isMember(record, add)) return `${add} is a member of ${space} already`
    if (members.length >= membersMax) return `a space has ${membersMax} members at most`
    const fault = unfit(add)
    if (fault !== null) return fault
  }
  if (remove === undefined) return null
  if (!isMember(record, remove)) {
    const names = members.map(({ node }) => node).join(', ')
    return `${remove} is no member of ${space}; its members are ${names}`
  }
  if (add !== undefined) return null
  if (members.length === 1)
    return `${remove} is the only member of ${space}: drop the space instead`
  return force === true ? null : `without ${remove}, ${space} has ${members.length - 1} members `
    + 'instead of '
    + `${members.length}: name another node to add in its place, or confirm with --yes (force)`
}

/** The change in words: `add n4`, `remove n2`, `replace n2 by n4`. */
export function showChange({ add, remove }: Pick<MemberChange, 'add' | 'remove'>): string {
  if (add === undefined) return `remove ${remove}`
  return remove === undefined ? `add ${add}` : `replace ${remove} by ${add}`
}

/** Whether both have the same left to do. */
export function isSameChange(a: MemberChange | undefined, b: MemberChange | undefined): boolean {
  return a?.add === b?.add && a?.remove === b?.remove
}

/** Returns the record that orders the change. `at`: ISO 8601, UTC. */
export function ordered(
  record: Assignment,
  { add, remove, by }: MemberOrder,
  at: string,
  signature: Signature,
): Assignment {
  const change: MemberChange = {
    ...(add !== undefined && { add }),
    ...(remove !== undefined && { remove }),
    since: at,
    by,
  }
  return { ...record, change, ...signature }
}

/** Returns the record without the change: a learner becomes a removed node. */
export function cancelled(record: Assignment, at: string, signature: Signature): Assignment {
  const learner = learnerOf(record)
  const { change: _, ...rest } = record
  const next: Assignment = { ...rest, ...signature }
  return settled(learner === null ? next : { ...next, removed: withRemoved(next, learner, at) })
}

/** Members when `inSync` is the in-sync set: the learner is one once it is in it. */
export function joinedMembers(
  record: Assignment,
  inSync: readonly NodeId[],
  diskOf: (node: NodeId) => string | undefined,
): Pick<Assignment, 'members' | 'change' | 'removed' | 'settings'> {
  const { members, removed, change, settings } = record
  const learner = learnerOf(record)
  const disk = learner !== null && inSync.includes(learner) ? diskOf(learner) : undefined
  if (learner === null || disk === undefined) return record
  const { add: _, ...rest } = change!
  const next = {
    members: [...members, { node: learner, disk }] satisfies Member[],
    ...(removed && { removed: removed.filter(({ node }) => node !== learner) }),
    ...(rest.remove !== undefined && { change: rest }),
    settings,
  }
  return settled(next)
}

/** Returns the record without the member that the change removes; `at`: ISO 8601, UTC. */
export function withoutMember(
  record: Assignment,
  node: NodeId,
  at: string,
  signature: Signature,
): Assignment {
  const { change: _, ...rest } = record
  return settled({
    ...rest,
    members: record.members.filter((member) => member.node !== node),
    inSync: record.inSync.filter((member) => member !== node),
    removed: withRemoved(record, node, at),
    ...signature,
  })
}

/**
 * Returns why the member that is to leave cannot be taken out now, or null. `certain`: members that
 * are in sync for certain, the primary included.
 */
export function removalObstacle(
  record: Pick<Assignment, 'members' | 'change'>,
  node: NodeId,
  certain: ReadonlySet<NodeId>,
): string | null {
  const others = [...certain].filter((member) => member !== node).length
  const remaining = record.members.length - 1
  // One that is not in sync is no copy: nothing is lost with it.
  const wanted = remaining < 2 || !certain.has(node) ? 1 : 2
  return others >= wanted
    ? null
    : `${node} is taken out once ${wanted} other member${wanted === 1 ? ' is' : 's are'} in sync `
      + `(${others} now)`
}

function withRemoved(record: Assignment, node: NodeId, at: string): Assignment['removed'] {
  const others = (record.removed ?? []).filter((one) => one.node !== node)
  return [...others, { node, at }].slice(-removedMax)
}

/** Settings follow the number of members, when nothing more is to be changed. */
function settled<T extends Pick<Assignment, 'members' | 'change' | 'settings'>>(record: T): T {
  if (record.change) return record
  const { settings, members: { length } } = record
  const minInSync = Math.min(settings.minInSync, length)
  return { ...record, settings: { ...settings, replicas: length - 1, minInSync } }
}
