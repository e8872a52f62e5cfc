/** engram rebalance */
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import type { MemberMove } from '../../machines/protocol/rebalance.js'
import type { EngramClient } from '../client/client.js'
import type { ConnectionFlags } from '../config/sources.js'
import { CliError, connectionOptions, exit, jsonOption, noNodes, usage } from './context.js'
import type { Action, Context } from './context.js'
import { endingOf } from './errors.js'
import { requester } from './pause.js'
import { planOf, showPlan } from './rebalancePlan.js'
import { carryOut } from './rebalanceRun.js'
import type { Outcome, Site } from './rebalanceRun.js'
import { look, lookMs } from './spaceMembers.js'

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

class ClusterSite implements Site {
  isStopped = false
  /** The first signal ends the command between two steps, the second one at once. */
  private readonly stop = (): void => {
    this.isStopped = true
    this.end()
  }

  constructor(
    private readonly context: Context,
    private readonly client: EngramClient,
    private readonly json: boolean,
  ) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.stop)
  }

  end(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, this.stop)
  }

  async order({ space, add, remove }: MemberMove) {
    const { change = null, members = [] } = await this.client.adminAtPrimary(
      { type: 'changeMembers', space, add, remove, force: false, by: requester() },
    )
    const goal = change
      && { add: change.add ?? null, remove: change.remove ?? null, since: change.since }
    return { goal, members }
  }

  async promote(space: string, to: string, from: string): Promise<string | null> {
    const { primary = null } = await this.client.admin({ type: 'promote', space, to }, {
      node: from,
    })
    return primary
  }

  look(space: string) {
    return look(this.client, space)
  }

  async pause(): Promise<void> {
    await delay(lookMs)
  }

  nowMs(): number {
    return performance.now()
  }

  stepped(space: string, text: string): void {
    const at = new Date().toISOString()
    if (this.json) this.context.printJson({ at, space, text })
    else this.context.print(`${at.slice(11, 23)}  ${space}: ${text}`)
  }

  failed(space: string, error: unknown): void {
    const { message, label, code } = endingOf(error)
    const at = new Date().toISOString()
    if (this.json) this.context.printJson({ at, space, text: message, code, failed: true })
    else this.context.note(`${at.slice(11, 23)}  ${space}: failed: ${label}`)
  }
}
