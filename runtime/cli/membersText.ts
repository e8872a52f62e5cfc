/** Members of a space, and the change that is under way, for people and as JSON. Pure. */
import type { InstallStatus } from '../../actors/install/installStatus.js'
import { installText } from '../status/install.js'
import { changeName } from '../status/memberChange.js'
import type { ChangeStatus } from '../status/memberChange.js'
import type { ClusterNode, ClusterSpace, MemberRole } from '../status/status.js'
import { orDash, showBytes, showCount, showMs, table } from './text.js'

/** A member, or the learner. */
export interface ListedMember {
  readonly node: string
  readonly role: MemberRole
  /** `unreachable`: the node does not answer. */
  readonly state: string
  readonly disk: string | null
  readonly inSync: boolean
  readonly durableSequence: number | null
  readonly lagBytes: number | null
  readonly lagMs: number | null
  readonly install: InstallStatus | null
}

export interface ListedRemoved {
  readonly node: string
  /** ISO 8601, UTC; null: long ago. */
  readonly at: string | null
  /** Null: it does not answer. */
  readonly hasData: boolean | null
  /** Why the data is still there; empty if it is not. */
  readonly reason: string
}

/** `engram space members --json`. */
export interface MembersListing {
  readonly space: string
  readonly uuid: string
  readonly epoch: number
  /** Null: none that answers. */
  readonly primary: string | null
  readonly inSync: readonly string[]
  /** The learner is the last one. */
  readonly members: readonly ListedMember[]
  readonly change: ChangeStatus | null
  readonly removed: readonly ListedRemoved[]
}

export function listingOf(space: ClusterSpace, nodes: readonly ClusterNode[]): MembersListing {
  const { id, uuid, epoch, inSync, change = null } = space
  const present = space.members.filter(({ role }) => role !== 'removed')
  const learner = (one: { node: string }): boolean => one.node === change?.add
  const members = [...present.filter((one) => !learner(one)), ...present.filter(learner)]
  return {
    space: id,
    uuid,
    epoch,
    primary: present.find(({ role }) => role === 'primary')?.node ?? null,
    inSync,
    members: members.map((one) => ({
      node: one.node,
      role: one.role,
      state: one.state,
      disk: one.disk ?? null,
      inSync: one.inSync,
      durableSequence: one.durableSequence,
      lagBytes: one.lagBytes,
      lagMs: one.lagMs,
      install: one.install ?? null,
    })),
    change,
    // The record names the learner there until it is a member again.
    removed: removedOf(space, nodes).filter((one) => !learner(one)),
  }
}

function removedOf(
  { members, removed = [] }: ClusterSpace,
  nodes: readonly ClusterNode[],
): ListedRemoved[] {
  const holding = members.filter(({ role }) => role === 'removed')
  const answers = (node: string): boolean =>
    nodes.some(({ id, pid }) => id === node && pid !== null)
  const of = (node: string, at: string | null): ListedRemoved => {
    const holder = holding.find((one) => one.node === node)
    const hasData = holder ? true : answers(node) ? false : null
    return { node, at, hasData, reason: holder?.reason ?? '' }
  }
  const others = holding.filter(({ node }) => !removed.some((one) => one.node === node))
  return [...others.map(({ node }) => of(node, null)),
    ...removed.map(({ node, at }) => of(node, at))]
}

/** Names of the members, without the learner. */
export function namesOf({ members, change }: MembersListing): string[] {
  return members.map(({ node }) => node).filter((node) => node !== change?.add)
}

/** What the change waits for now: the install of the learner, or what the primary says. */
export function waitText({ members, change, primary }: MembersListing): string {
  if (primary === null) return 'no primary answers; the next one goes on with the change'
  const install = members.find(({ node }) => node === change?.add)?.install
  if (install) return `${change?.add} ${installText(install)}`
  return change?.waitsFor ?? 'the primary does not say what it waits for'
}

/** Enough of a disk's id to tell disks apart. */
const diskCharacters = 8

export function showMembers(listing: MembersListing): string {
  const { space, epoch, primary, inSync, members, change, removed } = listing
  const rows = members.map(({ node, role, state, inSync: isIn, install, ...one }) => [
    node,
    role,
    isIn ? 'yes' : 'no',
    role === 'primary' ? '-' : orDash(one.lagMs, showMs),
    role === 'primary' ? '-' : orDash(one.lagBytes, showBytes),
    orDash(one.durableSequence, showCount),
    one.disk?.slice(0, diskCharacters) ?? '-',
    install ? installText(install) : state,
  ])
  return [
    `SPACE ${space}   epoch ${epoch}   primary ${primary ?? 'none'}   `
    + `in sync ${inSync.join(' ') || 'none'} (${inSync.length} of ${namesOf(listing).length})`,
    table(['MEMBER', 'ROLE', 'IN SYNC', 'BEHIND', 'BYTES', 'DURABLE', 'DISK', 'STATE'], rows)
      .replaceAll(/^/gm, '  '),
    ...(change
      ? [
        `change   ${changeName(change)}, ordered by ${change.by} ${showMs(change.ageMs)} ago`,
        `waits    ${waitText(listing)}`,
      ]
      : []),
    ...removed.map((one) => `removed  ${removedText(one)}`),
  ].join('\n')
}

function removedText({ node, at, hasData, reason }: ListedRemoved): string {
  const when = at === null ? 'long ago' : `since ${at.slice(0, 16).replace('T', ' ')} UTC`
  const what = hasData === null
    ? 'it does not answer'
    : hasData
    ? `it still has its data${reason && ` (${reason})`}`
    : 'it has no data of the space'
  return `${node}, ${when}; ${what}`
}
