/** engram status */
import type { WriteStream } from 'node:tty'
import type { Command } from 'commander'
import type { EngramClient } from '../client/client.js'
import type { ConnectionFlags } from '../config/sources.js'
import { forkLines } from '../status/forks.js'
import type { CheckpointStatus, ClusterMember, ClusterSpace,
  ClusterStatus } from '../status/status.js'
import { CliError, connectionOptions, durationOption, exit, jsonOption,
  noNodes } from './context.js'
import type { Context } from './context.js'
import { tableText } from './paint.js'
import type { Column } from './paint.js'
import { watchStatus } from './statusWatch.js'
import { orDash, showBytes, showCount, showMs, wrapped } from './text.js'
import { blockedLine, changeLines, installLines, showState, troubleLines } from './troubles.js'

interface StatusFlags extends ConnectionFlags {
  readonly node?: string
  readonly wide?: boolean
  readonly watch?: boolean
  readonly json?: boolean
  readonly interval: number
}

/** Lower limit, since each poll asks every node. */
const intervalMinMs = 100

export function addStatus(program: Command, context: Context): void {
  connectionOptions(program.command('status').argument('[space...]', 'only these spaces'))
    .summary('show nodes, primaries, lag and loss windows')
    .description('Asks all nodes and shows one summary: the nodes, and for each space its primary, '
      + 'its in-sync members, their progress, and the writes that are not yet on a second disk.')
    .option('--node <id>', 'only this node and its spaces')
    .option('--wide', 'all columns (default: those that fit the terminal, or 80 characters)')
    .option('-w, --watch', 'repeat until Ctrl-C: redrawn in place on a terminal, else one line '
      + 'for each space; with --json one line each time')
    .addOption(
      durationOption('--interval <duration>', `between two polls, at least ${intervalMinMs}ms`,
        1000),
    )
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram status
  engram status demo --node n1
  engram status --watch --interval 500ms
  engram status --json | jq '.spaces[] | {id, primary, inSync, lossWindow}'`)
    .action(
      context.act((spaces: string[], flags: StatusFlags) =>
        context.withClient(flags, (client) => show(context, client, spaces, flags))
      ),
    )
}

async function show(
  context: Context,
  client: EngramClient,
  spaces: readonly string[],
  flags: StatusFlags,
): Promise<void> {
  const { node, json = false } = flags
  const whole = await client.status()
  if (whole.nodes.length > 0) checkNames(whole, spaces, node)
  if (flags.watch) {
    const intervalMs = Math.max(flags.interval, intervalMinMs)
    const choose = (status: ClusterStatus) => chosen(status, spaces, node)
    const isChoice = spaces.length > 0 || node !== undefined
    return await watchStatus(context, client, choose, { json, intervalMs, isChoice })
  }
  const status = chosen(whole, spaces, node)
  if (json) context.printJson(status)
  if (status.nodes.length === 0) throw noNodes(client)
  if (!json) context.print(showStatus(status, flags.wide ? Infinity : columnsOf(context)))
}

const columnsWithoutTerminal = 80

function columnsOf({ io: { stdout } }: Context): number {
  const { isTTY, columns } = stdout as Partial<WriteStream>
  return isTTY && columns ? columns : columnsWithoutTerminal
}

/** @throws CliError for a name that no answer contains */
function checkNames(
  status: ClusterStatus,
  spaces: readonly string[],
  node: string | undefined,
): void {
  const known = new Set(status.spaces.map(({ id }) => id))
  const unknown = spaces.find((name) => !known.has(name))
  if (unknown !== undefined) {
    throw new CliError(`no node that answers is a member of a space ${unknown}`,
      'List all spaces: engram space list', exit.failed, 'UNKNOWN_SPACE')
  }
  if (node !== undefined && !status.nodes.some(({ id }) => id === node)) {
    throw new CliError(`no node ${node} answers, and no other node knows it`,
      `Known nodes: ${status.nodes.map(({ id }) => id).join(', ')}`, exit.failed, 'UNKNOWN_NODE')
  }
}

/** The part of the status that was asked for. */
function chosen(
  status: ClusterStatus,
  spaces: readonly string[],
  node: string | undefined,
): ClusterStatus {
  return {
    ...status,
    nodes: status.nodes.filter(({ id }) => node === undefined || id === node),
    spaces: status.spaces.filter(({ id, members }) =>
      (spaces.length === 0 || spaces.includes(id))
      && (node === undefined || members.some((member) => member.node === node))
    ),
  }
}

/** If space is short, the column with the highest rank is left out first. */
const nodeColumns: readonly Column[] = [
  { head: 'NODE', rank: 0 },
  { head: 'STATE', rank: 1 },
  { head: 'PID', rank: 3, isNumber: true },
  { head: 'INCARNATION', rank: 6, isNumber: true },
  { head: 'UPTIME', rank: 2, isNumber: true },
  { head: 'HTTP', rank: 4 },
  { head: 'DISK', rank: 7, isNumber: true },
  { head: 'DATA', rank: 5 },
]

const memberColumns: readonly Column[] = [
  { head: 'MEMBER', rank: 0 },
  { head: 'ROLE', rank: 1 },
  { head: 'STATE', rank: 3 },
  { head: 'IN SYNC', rank: 2 },
  { head: 'EPOCH', rank: 10, isNumber: true },
  { head: 'DURABLE', rank: 7, isNumber: true },
  { head: 'APPLIED', rank: 9, isNumber: true },
  { head: 'LAG', rank: 5, isNumber: true },
  { head: 'BEHIND', rank: 4, isNumber: true },
  { head: 'DIGEST', rank: 11 },
  { head: 'SALVAGES', rank: 6, isNumber: true },
  { head: 'FIRST', rank: 13, isNumber: true },
  { head: 'CHECKPOINT', rank: 12 },
  { head: 'REASON', rank: 8 },
]

const indent = '  '

/** Status in at most `columns` characters, as far as names and numbers allow. */
export function showStatus(status: ClusterStatus, columns: number): string {
  const nodes = tableText(nodeColumns, status.nodes.map((node) => [
    node.id,
    showState(node),
    String(node.pid ?? '-'),
    String(node.incarnation ?? '-'),
    node.uptimeMs === null ? '-' : showMs(node.uptimeMs),
    node.http ?? '-',
    node.diskUse ? showBytes(node.diskUse.usedBytes) : '-',
    columns === Infinity ? node.data ?? '-' : endOf(node.data ?? '-', pathColumns),
  ]), columns)
  if (status.spaces.length === 0) {
    return `${nodes}\n\nno spaces; create one: engram space create NAME`
  }
  return [nodes, ...status.spaces.map((space) => showSpace(space, columns))].join('\n\n')
}

const pathColumns = 20

/** The first entry that it still has, and whether that is for readers of the log. */
function firstText({ firstSequence, retain }: ClusterMember): string {
  const first = (firstSequence ?? 1) > 1 ? showCount(firstSequence!) : '-'
  return retain?.keepsOldest ? `${first} (readers)` : first
}

/** The end of a path, which says more than its beginning. */
function endOf(path: string, columns: number): string {
  return path.length <= columns ? path : `…${path.slice(1 - columns)}`
}

/** `5,000, 2.0 min old`. */
function checkpointText({ sequence, ageMs }: CheckpointStatus): string {
  return `${showCount(sequence)}, ${ageMs === null ? 'unreadable' : `${showMs(ageMs)} old`}`
}

function showSpace(space: ClusterSpace, columns: number): string {
  const { lossWindow: loss } = space
  const few = space.inSync.length < space.minInSync
    ? `, fewer than minInSync ${space.minInSync}`
    : ''
  const head = [
    `SPACE ${space.id}   epoch ${space.epoch}   primary ${space.primary ?? 'none'}   `
    + `in sync ${space.inSync.join(' ') || 'none'} (${space.inSync.length} of ${space.rf}${few})`,
    `end ${showCount(space.endSequence)}   committed ${showCount(space.commitSequence)}   `
    + `safe ${showCount(space.safeSequence)}   loss window ${showCount(loss.entries)} entries, `
    + `${showBytes(loss.bytes)}, ${showMs(loss.ms)}`,
    ...(space.throttled
      ? ['THROTTLED: the loss window has reached its limit, acknowledgements are delayed']
      : []),
    ...(space.blocked ? [blockedLine(space.blocked)] : []),
    ...troubleLines(space),
    ...changeLines(space),
    ...installLines(space),
    ...forkLines(space),
  ]
  const rows = space.members.map((member) => [
    member.node,
    member.role,
    member.state,
    member.inSync ? 'yes' : 'no',
    orDash(member.epoch, String),
    orDash(member.durableSequence, showCount),
    orDash(member.appliedSequence, showCount),
    member.role === 'primary' ? '-' : orDash(member.lagBytes, showBytes),
    member.role === 'primary' ? '-' : orDash(member.lagMs, showMs),
    member.digest.slice(0, 12) || '-',
    member.salvages > 0 ? String(member.salvages) : '-',
    firstText(member),
    orDash(member.checkpoint ?? null, checkpointText),
    member.reason,
  ])
  const members = tableText(memberColumns, rows, columns - indent.length)
  return [...head.map((line) => wrapped(line, columns)), members.replaceAll(/^/gm, indent)]
    .join('\n')
}
