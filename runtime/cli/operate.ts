/** engram promote, drain, undrain */
import type { Command } from 'commander'
import { AdminError } from '../client/errors.js'
import type { ConnectionFlags } from '../config/sources.js'
import { connectionOptions, jsonOption, RemediedError, usage } from './context.js'
import type { Context } from './context.js'
import { awaitEvacuation } from './evacuate.js'
import { requester } from './pause.js'
import { checkSpaceName } from './space.js'

interface PromoteFlags extends ConnectionFlags {
  readonly to?: string
  readonly force?: boolean
  readonly json?: boolean
}

interface DrainFlags extends ConnectionFlags {
  readonly stop?: boolean
  readonly evacuate?: boolean
  readonly json?: boolean
}

export function addOperate(program: Command, context: Context): void {
  connectionOptions(program.command('promote').argument('<space>'))
    .summary('hand a space over to another primary')
    .description('Hands the space over: the primary holds writes back, waits until the target has '
      + 'all entries, and lets it become the primary. No write is lost or refused. It stays there '
      + 'until it fails over, or the node is drained.')
    .option('--to <node>', 'the new primary (default: the most advanced in-sync replica)')
    .option('--force', 'make --to the primary even if no in-sync member is alive. Writes that it '
      + 'lacks become a fork: other members keep them in salvage files')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram promote demo --to n2
  engram promote demo --to n3 --force    # only if status says BLOCKED`)
    .action(context.act((space: string, flags: PromoteFlags) => promote(context, space, flags)))
  connectionOptions(program.command('drain').argument('<node>'))
    .summary('hand over all primaries of a node, and promote it no more')
    .description('Hands over every space of which the node is the primary. Until `engram undrain` '
      + 'or its next start the node is not promoted and gets no new spaces. It stays a replica. '
      + 'With --evacuate other nodes take its place in all its spaces; this goes on by itself. '
      + 'With --stop its process ends as well.')
    .option('--evacuate', 'replace it in all spaces, and wait until it is a member of none')
    .option('--stop', 'end the process of the node afterwards')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram drain n2           # before maintenance; afterwards: engram undrain n2
  engram drain n2 --stop    # before an upgrade; afterwards start it again
  engram drain n2 --evacuate --stop    # before it is switched off for good`)
    .action(context.act((node: string, flags: DrainFlags) => drain(context, node, flags)))
  connectionOptions(program.command('undrain').argument('<node>'))
    .summary('allow a drained node to be primary again')
    .description('The node can be promoted again, and can get new spaces. Those that prefer it go '
      + 'back to it after a minute (autoBalance).')
    .addOption(jsonOption())
    .action(context.act((node: string, flags: DrainFlags) => undrain(context, node, flags)))
}

async function promote(context: Context, space: string, flags: PromoteFlags): Promise<void> {
  checkSpaceName(space)
  const { to, force } = flags
  if (force && !to) {
    throw usage('--force needs --to NODE', 'Name the member that becomes the primary.')
  }
  await context.withClient(flags, async (client) => {
    if (force) {
      context.note(
        `forcing ${to}: other members keep the writes that it lacks in salvage files, as far `
          + 'as their journals still have them',
      )
    }
    const answer = await client.admin(
      { type: 'promote', space, by: requester(), ...(to && { to }), ...(force && { force }) },
      // Sent to the forced node, which may be the only one that runs.
      force && to ? { node: to } : {},
    )
      .catch((error: unknown) => {
        throw ofUnfit(error, to)
      })
    if (flags.json) return context.printJson(answer)
    const epoch = answer.epoch === undefined ? '' : ` in epoch ${answer.epoch}`
    context.print(answer.primary
      ? `${answer.primary} is primary of ${space}${epoch}`
      : answer.message ?? `${space} is being handed over`)
  })
}

/** Adds the remedy if the target takes no primary; the message says why. */
function ofUnfit(error: unknown, to: string | undefined): unknown {
  if (to === undefined || !(error instanceof AdminError) || error.reason !== 'unfit') return error
  return new RemediedError(error, `Name another member (engram status). If ${to} is drained, `
    + `undrain it: engram undrain ${to}`)
}

async function drain(context: Context, node: string, flags: DrainFlags): Promise<void> {
  const { stop = false, evacuate = false } = flags
  await context.withClient(flags, async (client) => {
    const order = async (what: { stop?: boolean; evacuate?: boolean }) =>
      await client.admin({ type: 'drain', by: requester(), ...what }, { node })
    let answer = await order(evacuate ? { evacuate } : stop ? { stop } : {})
    if (evacuate) {
      await awaitEvacuation(context, client, node)
      if (stop) answer = await order({ stop })
    }
    if (flags.json) context.printJson(answer)
    else context.print(answer.message ?? `${node} is drained`)
  })
}

async function undrain(context: Context, node: string, flags: DrainFlags): Promise<void> {
  await context.withClient(flags, async (client) => {
    const answer = await client.admin({ type: 'undrain', by: requester() }, { node })
    if (flags.json) context.printJson(answer)
    else context.print(answer.message ?? `${node} can be primary again`)
  })
}
