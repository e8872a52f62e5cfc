/** engram rebalance */
import type { Command } from 'commander'
import type { ConnectionFlags } from '../config/sources.js'
import { ClusterSite } from './clusterSite.js'
import { CliError, connectionOptions, exit, jsonOption, noNodes, usage } from './context.js'
import type { Action, Context } from './context.js'
import { planOf, showPlan } from './rebalancePlan.js'
import { carryOut } from './rebalanceRun.js'
import type { Outcome } from './rebalanceRun.js'

interface RebalanceFlags extends ConnectionFlags {
  readonly dryRun?: boolean
  readonly wait?: boolean
  readonly json?: boolean
}

/** Names of spaces that an error lists. */
const namedMax = 5

export function addRebalance(program: Command, context: Context): void {
  connectionOptions(program.command('rebalance'))
    .summary('move members and primaries to where they would be placed now')
    .description('Moves members and primaries of all spaces to where they would be placed if the '
      + 'spaces were created now, on the nodes that run and are not drained. It is for after '
      + 'nodes were added. Each space keeps working, and its number of members. A space with a '
      + 'member that is away, drained or full stays as it is.')
    .option('--dry-run', 'show the moves, and do none')
    .option('--wait', 'go on to the last move, and show each step; without it, one change of '
      + 'members is ordered for each space')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram rebalance --dry-run
  engram rebalance --wait`)
    .action(context.act((flags: RebalanceFlags) => rebalance(context, flags)))
}

async function rebalance(context: Context, flags: RebalanceFlags): Promise<Action> {
  const { dryRun = false, wait = false, json = false } = flags
  if (dryRun && wait) {
    throw usage('--dry-run does nothing to wait for', 'Use one of --dry-run and --wait.')
  }
  return await context.withClient(flags, async (client) => {
    const [list, status] = [await client.listSpaces(), await client.status()]
    if (!status.nodes.some(({ pid }) => pid !== null)) throw noNodes(client)
    const plan = planOf(list, status)
    if (json) context.printJson(plan)
    else context.print(showPlan(plan))
    if (dryRun || plan.moves.length === 0) return exit.ok
    const site = new ClusterSite(context, client, json)
    try {
      return concluded(context, await carryOut(site, plan.moves, { wait }), json)
    } finally {
      site.end()
    }
  })
}

/** @throws CliError if a space failed, or the user ended it */
function concluded(context: Context, outcome: Outcome, json: boolean): Action {
  const { done, ordered, failed, left } = outcome
  if (json) context.printJson({ ...outcome, end: true })
  else {
    if (done.length > 0) context.print(`done: ${named(done)}`)
    if (ordered.length > 0) {
      context.print(`ordered, and goes on by itself: ${named(ordered)}`)
      context.note('Run engram rebalance again for the moves that are left, or use --wait.')
    }
  }
  const again = 'Changes that were ordered go on by themselves. See what is left: '
    + 'engram rebalance --dry-run'
  if (failed.length > 0) throw new CliError(`not all was moved: failed: ${named(failed)}`, again)
  if (left.length > 0) throw new CliError(`ended before all was moved: ${named(left)}`, again)
  return exit.ok
}

function named(spaces: readonly string[]): string {
  const [shown, more] = [spaces.slice(0, namedMax).join(' '), spaces.length - namedMax]
  return more > 0 ? `${shown} and ${more} more` : shown
}
