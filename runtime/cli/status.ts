/** engram status */
import type { Command } from 'commander'
import type { EngramClient } from '../client/client.js'
import { forkLines } from '../forks.js'
import type { ConnectionFlags } from '../settings.js'
import type { ClusterSpace, ClusterStatus } from '../status.js'
import { CliError, connectionOptions, duration, jsonOption } from './context.js'
import type { Context } from './context.js'
import { watchStatus } from './statusWatch.js'
import { showBytes, showCount, showMs, table } from './text.js'

interface StatusFlags extends ConnectionFlags {
  readonly watch?: boolean
  readonly json?: boolean
  readonly interval: number
}

/** Each look asks every node. */
const intervalMinMs = 100

export function addStatus(program: Command, context: Context): void {
  connectionOptions(program.command('status'))
    .summary('show nodes, primaries, lag and loss windows')
    .description('Asks all nodes and shows one picture: nodes, and per space its primary, who is '
      + 'in sync, how far each member is, and what would be lost if the primary vanished now.')
    .option('-w, --watch', 'again and again, until Ctrl-C: redrawn in place on a terminal, else '
      + 'a line for each space; with --json one line each time')
    .option('--interval <duration>', `between two looks, at least ${intervalMinMs}ms`,
      duration, 1000)
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram status
  engram status --watch --interval 500ms
  engram status --json | jq '.spaces[] | {id, primary, inSync, lossWindow}'`)
    .action(context.act((flags: StatusFlags) => context.withClient(flags, (client) =>
      flags.watch ? watchStatus(context, client, {
        json: flags.json ?? false, intervalMs: Math.max(flags.interval, intervalMinMs),
      }) : once(context, client, flags))))
}

async function once(context: Context, client: EngramClient, flags: StatusFlags): Promise<void> {
  const status = await client.status()
  if (flags.json) context.printJson(status)
  if (status.nodes.length === 0) {
    throw new CliError(`no Engram node answers on ${client.connection.getServer()}`,
      'Start one with `engram up` or `engram node`, or name another server with --nats.')
  }
  if (!flags.json) context.print(showStatus(status))
}

export function showStatus(status: ClusterStatus): string {
  const nodes = table(
    ['NODE', 'STATE', 'PID', 'INCARNATION', 'UPTIME', 'HTTP', 'DATA'],
    status.nodes.map((node) => [
      node.id, node.state, String(node.pid ?? '-'), String(node.incarnation ?? '-'),
      node.uptimeMs === null ? '-' : showMs(node.uptimeMs), node.http ?? '-', node.data ?? '-',
    ]))
  if (status.spaces.length === 0) return `${nodes}\n\nno spaces; make one: engram space create NAME`
  return [nodes, ...status.spaces.map(showSpace)].join('\n\n')
}

function showSpace(space: ClusterSpace): string {
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
    ...(space.blocked ? [`BLOCKED: ${space.blocked}`] : []),
    ...forkLines(space),
  ]
  const rows = space.members.map((member) => [
    member.node, member.role, member.state, member.inSync ? 'yes' : 'no', String(member.epoch),
    showCount(member.durableSequence), showCount(member.appliedSequence),
    member.role === 'primary' ? '-' : showBytes(member.lagBytes),
    member.role === 'primary' ? '-' : showMs(member.lagMs),
    member.digest.slice(0, 12) || '-', member.salvages > 0 ? String(member.salvages) : '-',
    member.reason,
  ])
  const members = table(
    ['MEMBER', 'ROLE', 'STATE', 'IN SYNC', 'EPOCH', 'DURABLE', 'APPLIED', 'LAG', 'BEHIND', 'DIGEST',
      'SALVAGES', 'REASON'], rows)
  return `${head.join('\n')}\n${members.replaceAll(/^/gm, '  ')}`
}
