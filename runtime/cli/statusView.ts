/** Screen of `engram status --watch`, as lines that fit a terminal. Pure. */
import type { InstallStatus } from '../../actors/install/installStatus.js'
import { amountText } from '../../machines/base/units.js'
import { lagDefaults } from '../../machines/lagMonitor.js'
import { forkLines } from '../status/forks.js'
import { installShare, installText } from '../status/install.js'
import type { ClusterMember, ClusterNode, ClusterSpace, ClusterStatus } from '../status/status.js'
import { tableLines } from './paint.js'
import type { Column, Line, Segment } from './paint.js'
import type { WatchEvent } from './statusEvents.js'
import { orDash, showBytes, showCount, showMs } from './text.js'
import { blockedLine, changeLines, installLines, showState, troubleLines } from './troubles.js'

export interface View {
  /** The last status. null before the first. */
  readonly status: ClusterStatus | null
  /** Time of that status, ms since 1970. */
  readonly atMs: number
  /** Time since which no node answers. null while one does. */
  readonly silentSinceMs: number | null
  readonly server: string
  readonly intervalMs: number
  /** Latest last. */
  readonly events: readonly WatchEvent[]
}

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** At most `rows` lines. Each is cut to `columns` when it is painted. */
export function viewLines(view: View, size: Size): Line[] {
  const head = headLines(view)
  if (!view.status) return [...head, [], ['no node answers yet']].slice(0, size.rows)
  const nodes = [[], ...nodeLines(view.status.nodes, size.columns)]
  // Some of the latest events stay visible, however many spaces there are.
  const eventRows = Math.min(view.events.length, size.rows >= 20 ? 5 : 2)
  const events: Line[] = eventRows === 0
    ? []
    : [[], [['EVENTS', 'dim']], ...view.events.slice(-eventRows).map(eventLine)]
  const left = size.rows - head.length - nodes.length - events.length
  const spaces = spaceLines(view.status.spaces, { columns: size.columns, rows: left })
  return [...head, ...nodes, ...spaces, ...events].slice(0, size.rows)
}

function headLines({ atMs, server, intervalMs, silentSinceMs }: View): Line[] {
  const title: Line = [
    ['engram status', 'bold'],
    `  ${timeOf(atMs)}  every ${showMs(intervalMs)}  `,
    ['Ctrl-C ends', 'dim'],
    `  ${server}`,
  ]
  if (silentSinceMs === null) return [title]
  const warning = `no node has answered since ${timeOf(silentSinceMs)}; the status below is old`
  return [title, [[warning, 'red']]]
}

export const timeOf = (ms: number): string => new Date(ms).toTimeString().slice(0, 8)

function eventLine({ atMs, subject, text }: WatchEvent): Line {
  return [[timeOf(atMs), 'dim'], `  ${subject}  ${text}`]
}

const nodeColumns: readonly Column[] = [
  { head: 'NODE', rank: 0 },
  { head: 'STATE', rank: 1 },
  { head: 'UPTIME', rank: 2, isNumber: true },
  { head: 'PID', rank: 4, isNumber: true },
  { head: 'INCARNATION', rank: 5, isNumber: true },
  { head: 'HTTP', rank: 3 },
  { head: 'DATA', rank: 6 },
]

function nodeLines(nodes: readonly ClusterNode[], columns: number): Line[] {
  return tableLines(nodeColumns, nodes.map((node) => [
    node.id,
    [showState(node), nodeColour(node)] as const,
    node.uptimeMs === null ? '-' : showMs(node.uptimeMs),
    String(node.pid ?? '-'),
    String(node.incarnation ?? '-'),
    node.http ?? '-',
    node.data ?? '-',
  ]), columns)
}

/** All spaces in full. If they do not fit: healthy ones on a line, then all, then the first. */
function spaceLines(spaces: readonly ClusterSpace[], { columns, rows }: Size): Line[] {
  if (spaces.length === 0) return [[], ['no spaces; create one: engram space create NAME']]
  const full = (space: ClusterSpace): Line[] => [[], ...spaceInFull(space, columns)]
  const short = (space: ClusterSpace): Line[] => [spaceHead(space)]
  const troubledFirst = spaces.toSorted((a, b) => Number(isHealthy(a)) - Number(isHealthy(b)))
  for (const lines of [
    spaces.flatMap(full),
    [...troubledFirst.flatMap((space) => isHealthy(space) ? [] : full(space)), [],
      ...spaces.filter(isHealthy).flatMap(short)],
    [[], ...troubledFirst.flatMap(short)],
  ]) if (lines.length <= rows) return lines
  const shown = Math.max(rows - 2, 0)
  const more = `… and ${spaces.length - shown} more spaces: engram status shows all`
  return [[], ...troubledFirst.slice(0, shown).flatMap(short), [more]]
}

function nodeColour({ state, drained }: ClusterNode): 'green' | 'yellow' | 'red' {
  if (state !== 'running') return 'red'
  return drained ? 'yellow' : 'green'
}

/**
 * True if the space has a primary that answers, is not paused, all members are in sync and stay,
 * and no member's lag raises an alert.
 */
function isHealthy(space: ClusterSpace): boolean {
  return space.inSync.length === space.rf && space.blocked === null
    && troubleLines(space).length === 0 && !space.change
    && space.members.some(({ role }) => role === 'primary')
    && space.members.every((member) => (lagShare(member) ?? 0) < 1)
}

function spaceHead(space: ClusterSpace): Line {
  const { inSync, rf, minInSync } = space
  const colour = inSync.length >= rf ? 'green' : inSync.length < minInSync ? 'red' : 'yellow'
  return [
    [space.id, 'bold'],
    `  epoch ${space.epoch}  primary `,
    space.primary === null ? ['none', 'red'] : [space.primary, 'green'],
    '  in sync ',
    [`${inSync.length} of ${rf}`, colour],
    ` ${inSync.join(' ')}`,
    `  committed ${showCount(space.commitSequence)}`,
  ]
}

/** The loss window in words: what would be lost together with the primary's disk. */
export function lossSentence(space: ClusterSpace): string {
  const { primary, rf, lossWindow: { entries, bytes, ms } } = space
  if (primary === null) return 'no primary: writes wait'
  if (!space.members.some(({ role }) => role === 'primary')) {
    return `${primary} is the primary on record and does not answer`
  }
  if (rf === 1) return `one member only: all data is on the disk of ${primary}`
  if (entries === 0) return 'every acknowledged write is on a second disk'
  const full = space.throttled ? '; limit reached, acknowledgements are delayed' : ''
  return `not yet on a second disk: ${amountText(entries, 'write')} (${showBytes(bytes)}, `
    + `${showMs(ms)} old)${full}`
}

const memberColumns: readonly Column[] = [
  { head: '  MEMBER', rank: 0 },
  { head: 'ROLE', rank: 1 },
  { head: 'IN SYNC', rank: 4 },
  { head: 'LAG', rank: 3 },
  { head: 'BEHIND', rank: 2, isNumber: true },
  { head: 'BYTES', rank: 6, isNumber: true },
  { head: 'DURABLE', rank: 5, isNumber: true },
  { head: 'APPLIED', rank: 8, isNumber: true },
  { head: 'STATE', rank: 7 },
  { head: 'REASON', rank: 9 },
]

function spaceInFull(space: ClusterSpace, columns: number): Line[] {
  const rows = space.members.map((member): Segment[] => [
    `  ${member.node}`,
    roleSegment(member),
    member.inSync ? 'yes' : member.role === 'removed' ? '' : ['no', 'yellow'],
    member.install ? installBar(member.install) : lagBar(member),
    isFollower(member) ? orDash(member.lagMs, showMs) : '',
    isFollower(member) ? orDash(member.lagBytes, showBytes) : '',
    orDash(member.durableSequence, showCount),
    orDash(member.appliedSequence, showCount),
    member.state,
    member.reason,
  ])
  return [
    spaceHead(space),
    [`  ${lossSentence(space)}`],
    ...(space.blocked === null ? [] : [[`  ${blockedLine(space.blocked)}`, 'red'] as const]
      .map((segment) => [segment])),
    ...[...troubleLines(space), ...changeLines(space), ...installLines(space)].map((
      line,
    ): Line => [[`  ${line}`, 'yellow']]),
    ...forkLines(space).map((line): Line => [[`  ${line}`, 'yellow']]),
    ...tableLines(memberColumns, rows, columns),
  ]
}

function roleSegment({ role }: ClusterMember): Segment {
  if (role === 'primary') return [role, 'green']
  if (role === 'replica') return role
  const isFault = role === 'damaged' || role === 'unknown'
  return [role, isFault ? 'red' : role === 'removed' ? 'dim' : 'yellow']
}

/** True for those that can lag. */
function isFollower({ role }: ClusterMember): boolean {
  return role !== 'primary' && role !== 'removed'
}

const barCells = 10

/**
 * Lag as a share of the limit of the alert, at most 1. null if the lag is not known. Time is on a
 * logarithmic scale, from 1 ms to 5 s.
 */
function lagShare({ lagMs, lagBytes }: ClusterMember): number | null {
  if (lagBytes === null || lagMs === null) return null
  if (lagBytes > lagDefaults.lagBytesMax) return 1
  return Math.min(1, Math.log1p(lagMs) / Math.log1p(lagDefaults.lagMsMax))
}

/** In place of the lag, which is not known until the member follows. */
function installBar(install: InstallStatus): Segment {
  const share = installShare(install)
  return share === null ? '' : [bar(Math.floor(share * barCells)), 'dim']
}

const bar = (full: number): string => '█'.repeat(full) + '░'.repeat(barCells - full)

function lagBar(member: ClusterMember): Segment {
  const share = lagShare(member)
  if (!isFollower(member) || share === null) return ''
  const full = share === 0 ? 0 : Math.max(1, Math.floor(share * barCells))
  const colour = share >= 1 ? 'red' : share > 0.7 ? 'yellow' : 'green'
  return [bar(full), colour]
}

/** One line for each space, printed if stdout is no terminal. */
export function plainLines(status: ClusterStatus, atMs: number): string[] {
  const time = new Date(atMs).toISOString()
  if (status.nodes.length === 0) return [`${time} no node answers`]
  if (status.spaces.length === 0) return [`${time} no spaces`]
  return status.spaces.map((space) => {
    const behind = space.members.filter(isFollower).map(({ node, lagMs, state, install }) => {
      if (install) return `${node} ${installText(install)}`
      return lagMs === null ? `${node} ${state}` : `${node} ${showMs(lagMs)} behind`
    })
    return [
      `${time} ${space.id} epoch ${space.epoch}`,
      `primary ${space.primary ?? 'none'}`,
      `in sync ${space.inSync.join(' ') || 'none'} (${space.inSync.length} of ${space.rf})`,
      `committed ${space.commitSequence}`,
      lossSentence(space),
      ...behind,
      ...(space.blocked === null ? [] : [blockedLine(space.blocked)]),
      ...troubleLines(space),
      ...changeLines(space),
      ...forkLines(space),
    ].join(', ')
  })
}
