/** engram rehearse */
import type { Command } from 'commander'
import type { ConnectionFlags } from '../config/sources.js'
import { connectionOptions, exit, jsonOption, usage } from './context.js'
import type { Action, Context } from './context.js'
import { showRehearsals } from './rehearseText.js'
import { checkSpaceName } from './space.js'

interface RehearseFlags extends ConnectionFlags {
  readonly node?: string
  readonly json?: boolean
}

export function addRehearse(program: Command, context: Context): void {
  connectionOptions(program.command('rehearse').argument('[space]'))
    .summary('what would happen if a primary, or a node, failed now')
    .description('Says what would happen if the primary of the space failed now: who would take '
      + 'over, on what evidence, in about what time, what is at risk, what stands in the way, '
      + 'and what the weakest point would be then. For a process that is gone, and for one that '
      + 'hangs. It asks the nodes, and changes nothing.')
    .option('--node <id>', 'this node fails, with all spaces of which it is a member')
    .addOption(jsonOption())
    .addHelpText('after', `
Exit code 1: of a space nothing can be said, since it has no primary that answers.

Examples:
  engram rehearse demo
  engram rehearse --node n2`)
    .action(
      context.act((space: string | undefined, flags: RehearseFlags) =>
        rehearse(context, space, flags)
      ),
    )
}

async function rehearse(
  context: Context,
  space: string | undefined,
  { node, ...flags }: RehearseFlags,
): Promise<Action> {
  if ((space === undefined) === (node === undefined)) {
    throw usage('rehearse needs a space or --node',
      'Use engram rehearse SPACE or engram rehearse --node N.')
  }
  if (space !== undefined) checkSpaceName(space)
  return await context.withClient(flags, async (client) => {
    const report = await client.rehearse(space === undefined ? { node: node! } : { space })
    if (flags.json) context.printJson(report)
    else context.print(showRehearsals(report, node ?? null))
    return report.unknown.length === 0 ? exit.ok : exit.failed
  })
}
