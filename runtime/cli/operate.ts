/** engram promote, engram drain */
import type { Command } from 'commander'
import type { ConnectionFlags } from '../settings.js'
import { connectionOptions, jsonOption, usage } from './context.js'
import type { Context } from './context.js'
import { checkSpaceName } from './space.js'

interface PromoteFlags extends ConnectionFlags {
  readonly to?: string
  readonly force?: boolean
  readonly json?: boolean
}

export function addOperate(program: Command, context: Context): void {
  connectionOptions(program.command('promote').argument('<space>'))
    .summary('hand a space over to another primary')
    .description('Hands the space over: the primary stops taking writes, waits until the target '
      + 'has everything, and passes the reign on. No loss, no error for clients.')
    .option('--to <node>', 'the new primary (default: the most advanced in-sync replica)')
    .option('--force', 'make --to the primary even if no in-sync member is alive: what it lacks '
      + 'becomes a fork of those who have it, kept in their salvage files')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram promote demo --to n2
  engram promote demo --to n3 --force    # only when status says BLOCKED`)
    .action(context.act((space: string, flags: PromoteFlags) => promote(context, space, flags)))
  connectionOptions(program.command('drain').argument('<node>'))
    .summary('hand over all primaries of a node')
    .description('The node hands over every space that it is primary of, and stops: the '
      + 'same as SIGTERM, from afar.')
    .addOption(jsonOption())
    .action(context.act((node: string, flags: ConnectionFlags & { json?: boolean }) =>
      drain(context, node, flags)))
}

async function promote(context: Context, space: string, flags: PromoteFlags): Promise<void> {
  checkSpaceName(space)
  const { to, force } = flags
  if (force && !to) throw usage('--force needs --to NODE', 'Say which member shall reign.')
  await context.withClient(flags, async (client) => {
    if (force) {
      context.note(`forcing ${to}: writes that it lacks go to salvage files of the others`)
    }
    const answer = await client.admin(
      { type: 'promote', space, ...(to ? { to } : {}), ...(force ? { force } : {}) },
      // Only the node that is forced may be left to act.
      force && to ? { node: to } : {})
    if (flags.json) return context.printJson(answer)
    const epoch = answer.epoch === undefined ? '' : ` in epoch ${answer.epoch}`
    context.print(answer.primary ? `${answer.primary} is primary of ${space}${epoch}`
      : answer.message ?? `${space} is being handed over`)
  })
}

async function drain(
  context: Context, node: string, flags: ConnectionFlags & { json?: boolean },
): Promise<void> {
  await context.withClient(flags, async (client) => {
    const answer = await client.admin({ type: 'drain' }, { node })
    if (flags.json) context.printJson(answer)
    else context.print(answer.message ?? `${node} is drained`)
  })
}
