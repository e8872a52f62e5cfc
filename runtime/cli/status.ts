/** engram status */
import type { WriteStream } from 'node:tty'
import type { Command } from 'commander'
import type { EngramClient } from '../client/client.js'
import type { ConnectionFlags } from '../config/sources.js'
import { forkLines } from '../status/forks.js'
import type { ClusterSpace, ClusterStatus } from '../status/status.js'
import { CliError, connectionOptions, durationOption, jsonOption } from './context.js'
import type { Context } from './context.js'
import { tableText } from './paint.js'
import type { Column } from './paint.js'
import { watchStatus } from './statusWatch.js'
import { orDash, showBytes, showCount, showMs, wrapped } from './text.js'
import { blockedLine, showState, troubleLines } from './troubles.js'

interface StatusFlags extends ConnectionFlags {
  readonly node?: string
  readonly wide?: boolean
  readonly watch?: boolean
  readonly json?: boolean
  readonly interval: number
}

/** Each look asks every node. */
const intervalMinMs = 100

export function addStatus(program: Command, context: Context): void {
  connectionOptions(program.command('status').argument('[space...]', 'these spaces alone'))
    .summary('show nodes, primaries, lag and loss windows')
    .description('Asks all nodes and shows one picture: nodes, and per space its primary, who is '
      + 'in sync, how far each member is, and what would be lost if the primary vanished now.')
    .option('--node <id>', 'this node alone, and the spaces that it holds')
    .option('--wide', 'all columns, however wide (default: what fits the terminal, or 80 columns)')
    .option('-w, --watch', 'again and again, until Ctrl-C: redrawn in place on a terminal, else '
      + 'a line for each space; with --json one line each time')
    .addOption(durationOption('--interval <duration>',
      `between two looks, at least ${intervalMinMs}ms`, 1000))
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram status
  engram status demo --node n1
  engram status --watch --interval 500ms
  engram status --json | jq '.spaces[] | {id, primary, inSync, lossWindow}'`)
    .action(context.act((spaces: string[], flags: StatusFlags) =>
      context.withClient(flags, (client) => show(context, client, spaces, flags))))
}

async function show(
  context: Context, client: EngramClient, spaces: readonly string[], flags: StatusFlags,
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
  if (status.nodes.length === 0) {
    throw new CliError(`no Engram node answers on ${client.connection.getServer()}`,
      'Start one with `engram up` or `engram node`, or name another server with --nats.')
  }
  if (!json) context.print(showStatus(status, flags.wide ? Infinity : columnsOf(context)))
}

const columnsWithoutTerminal = 80

function columnsOf({ io: { stdout } }: Context): number {
  const { isTTY, columns } = stdout as Partial<WriteStream>
  return isTTY && columns ? columns : columnsWithoutTerminal
}

/** @throws CliError for a name that is not in the picture */
function checkNames(
  status: ClusterStatus, spaces: readonly string[], node: string | undefined,
): void {
  const known = new Set(status.spaces.map(({ id }) => id))
  const unknown = spaces.find((name) => !known.has(name))
  if (unknown !== undefined) {
    throw new CliError(`no node that answers holds a space ${unknown}`,
      'All that there are: engram space list')
  }
  if (node !== undefined && !status.nodes.some(({ id }) => id === node)) {
    throw new CliError(`no node ${node} answers or is known to those that do`,
      `Known: ${status.nodes.map(({ id }) => id).join(', ')}`)
  }
}

/** What was asked for of the picture. */
function chosen(
  status: ClusterStatus, spaces: readonly string[], node: string | undefined,
): ClusterStatus {
  return {
    ...status,
    nodes: status.nodes.filter(({ id }) => node === undefined || id === node),
    spaces: status.spaces.filter(({ id, members }) =>
      (spaces.length === 0 || spaces.includes(id))
      && (node === undefined || members.some((member) => member.node === node))),
  }
}

/** The column with the highest rank goes first where it is narrow. */
const nodeColumns: readonly Column[] = [
  { head: 'NODE', rank: 0 }, { head: 'STATE', rank: 1 }, { head: 'PID', rank: 3, isNumber: true },
  { head: 'INCARNATION', rank: 6, isNumber: true }, { head: 'UPTIME', rank: 2, isNumber: true },
  { head: 'HTTP', rank: 4 }, { head: 'DATA', rank: 5 },
]

const memberColumns: readonly Column[] = [
  { head: 'MEMBER', rank: 0 }, { head: 'ROLE', rank: 1 }, { head: 'STATE', rank: 3 },
  { head: 'IN SYNC', rank: 2 }, { head: 'EPOCH', rank: 10, isNumber: true },
  { head: 'DURABLE', rank: 7, isNumber: true }, { head: 'APPLIED', rank: 9, isNumber: true },
  { head: 'LAG', rank: 5, isNumber: true }, { head: 'BEHIND', rank: 4, isNumber: true },
  { head: 'DIGEST', rank: 11 }, { head: 'SALVAGES', rank: 6, isNumber: true },
  { head: 'REASON', rank: 8 },
]

const indent = '  '

/** In at most so many columns, as far as names and numbers allow. */
export function showStatus(status: ClusterStatus, columns: number): string {
  const nodes = tableText(nodeColumns,
    status.nodes.map((node) => [
      node.id, showState(node), String(node.pid ?? '-'), String(node.incarnation ?? '-'),
      node.uptimeMs === null ? '-' : showMs(node.uptimeMs), node.http ?? '-',
      columns === Infinity ? node.data ?? '-' : endOf(node.data ?? '-', pathColumns),
    ]), columns)
  if (status.spaces.length === 0) return `${nodes}\n\nno spaces; make one: engram space create NAME`
  return [nodes, ...status.spaces.map((space) => showSpace(space, columns))].join('\n\n')
}

const pathColumns = 20

/** Of a path the end tells more. */
function endOf(path: string, columns: number): string {
  return path.length <= columns ? path : `…${path.slice(1 - columns)}`
}

function showSpace(space: ClusterSpace, columns: number): string {
  const { lossWindow: loss } = space
  const few = space.inSync.length < space.minInSync
    ? `, fewer than minInSync ${space.minInSync}` : ''
  const head = [
    `SPACE ${space.id}   epoch ${space.epoch}   primary ${space.primary ?? 'none'}   `
      + `in sync ${space.inSync.join(' ') || 'none'} (${space.inSync.length} of ${space.rf}${few})`,
    `end ${showCount(space.endSequence)}   committed ${showCount(space.commitSequence)}   `
      + `safe ${showCount(space.safeSequence)}   loss window ${showCount(loss.entries)} entries, `
      + `${showBytes(loss.bytes)}, ${showMs(loss.ms)}`,
    ...(space.throttled
      ? ['THROTTLED: answers wait, the loss window is as large as it may be'] : []),
    ...(space.blocked ? [blockedLine(space.blocked)] : []),
    ...troubleLines(space),
    ...forkLines(space),
  ]
  const rows = space.members.map((member) => [
    member.node, member.role, member.state, member.inSync ? 'yes' : 'no',
    orDash(member.epoch, String),
    orDash(member.durableSequence, showCount), orDash(member.appliedSequence, showCount),
    member.role === 'primary' ? '-' : orDash(member.lagBytes, showBytes),
    member.role === 'primary' ? '-' : orDash(member.lagMs, showMs),
    member.digest.slice(0, 12) || '-', member.salvages > 0 ? String(member.salvages) : '-',
    member.reason,
  ])
  const members = tableText(memberColumns, rows, columns - indent.length)
  return [...head.map((line) => wrapped(line, columns)), members.replaceAll(/^/gm, indent)]
    .join('\n')
}
