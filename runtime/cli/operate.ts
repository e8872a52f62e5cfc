/** engram promote, drain, undrain */
import type { Command } from 'commander'
import { AdminError } from '../client/errors.js'
import type { ConnectionFlags } from '../config/sources.js'
import { CliError, connectionOptions, jsonOption, usage } from './context.js'
import type { Context } from './context.js'
import { whoAsks } from './pause.js'
import { checkSpaceName } from './space.js'

interface PromoteFlags extends ConnectionFlags {
  readonly to?: string
  readonly force?: boolean
  readonly json?: boolean
}

interface DrainFlags extends ConnectionFlags {
  readonly stop?: boolean
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
    .summary('hand over all primaries of a node, and keep it from being primary')
    .description('The node hands over every space that it is primary of, and is not made primary '
      + 'of any, nor given new spaces, until `engram undrain` or its next start. It stays a '
      + 'replica. With --stop its process ends, too.')
    .option('--stop', 'end the process of the node when all is handed over')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram drain n2           # then look at the machine; engram undrain n2
  engram drain n2 --stop    # then upgrade it, and start it again`)
    .action(context.act((node: string, flags: DrainFlags) => drain(context, node, flags)))
  connectionOptions(program.command('undrain').argument('<node>'))
    .summary('let a drained node be primary again')
    .description('The node may be made primary again, and be given new spaces.')
    .addOption(jsonOption())
    .action(context.act((node: string, flags: DrainFlags) => undrain(context, node, flags)))
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
      .catch((error: unknown) => { throw ofDrained(error, to) })
    if (flags.json) return context.printJson(answer)
    const epoch = answer.epoch === undefined ? '' : ` in epoch ${answer.epoch}`
    context.print(answer.primary ? `${answer.primary} is primary of ${space}${epoch}`
      : answer.message ?? `${space} is being handed over`)
  })
}

/** A target that is drained is named by its refusal; with what makes it one. */
function ofDrained(error: unknown, to: string | undefined): unknown {
  if (to === undefined || !(error instanceof AdminError)) return error
  if (!error.message.startsWith(`${to} is drained`)) return error
  return new CliError(`${error.message} [${error.code}]`, `First: engram undrain ${to}`)
}

async function drain(context: Context, node: string, flags: DrainFlags): Promise<void> {
  const { stop } = flags
  await context.withClient(flags, async (client) => {
    const answer = await client.admin(
      { type: 'drain', by: whoAsks(), ...(stop ? { stop } : {}) }, { node })
    if (flags.json) context.printJson(answer)
    else context.print(answer.message ?? `${node} is drained`)
  })
}

async function undrain(context: Context, node: string, flags: DrainFlags): Promise<void> {
  await context.withClient(flags, async (client) => {
    const answer = await client.admin({ type: 'undrain', by: whoAsks() }, { node })
    if (flags.json) context.printJson(answer)
    else context.print(answer.message ?? `${node} may be primary again`)
  })
}
