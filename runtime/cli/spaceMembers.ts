/** engram space members */
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { amountText } from '../../machines/base/units.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import type { EngramClient } from '../client/client.js'
import { AdminError } from '../client/errors.js'
import type { MembersCommand } from '../client/membersCommand.js'
import type { ConnectionFlags } from '../config/sources.js'
import { changeName } from '../status/memberChange.js'
import { CliError, connectionOptions, exit, jsonOption, noNodes, RemediedError,
  usage } from './context.js'
import type { Action, Context } from './context.js'
import { listingOf, namesOf, showMembers } from './membersText.js'
import type { MembersListing } from './membersText.js'
import { MembersWait } from './membersWait.js'
import { requester } from './pause.js'
import { checkSpaceExists, checkSpaceName } from './space.js'

interface MembersFlags extends ConnectionFlags {
  readonly add?: string
  readonly remove?: string
  readonly replace?: string
  readonly cancel?: boolean
  readonly yes?: boolean
  readonly wait?: boolean
  readonly json?: boolean
}

/** Time between two looks of --wait. */
export const lookMs = 300

/** @param space the command `engram space` */
export function addSpaceMembers(space: Command, context: Context): void {
  connectionOptions(space.command('members').argument('<space>'))
    .summary('show, add, take out and replace members')
    .description('Without an order it shows the members, and the change that is under way. One '
      + 'change at a time is ordered; the space carries it out by itself, while it keeps working. '
      + 'A node that is added counts once it has everything.')
    .option('--add <node>', 'add a node that runs')
    .option('--remove <node>', 'take a member out; without --add this needs --yes, since fewer '
      + 'members remain')
    .option('--replace <old=new>', 'add the one, then take the other out: like --add and --remove')
    .option('--cancel', 'take back the change that is under way; what is done of it stays')
    .option('--yes', 'let fewer members remain')
    .option('--wait', 'show each step, and end when no change is under way')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram space members demo
  engram space members demo --replace n3=n4 --wait     # n3 died for good, n4 is new
  engram space members demo --remove n3 --yes
  engram space members demo --cancel`)
    .action(context.act((name: string, flags: MembersFlags) => members(context, name, flags)))
}

type Order = { readonly add?: string; readonly remove?: string } | 'cancel' | null

async function members(context: Context, name: string, flags: MembersFlags): Promise<Action> {
  checkSpaceName(name)
  const order = orderOf(flags)
  return await context.withClient(flags, async (client) => {
    if (order === null) {
      if (flags.wait) return await wait(context, client, name, flags, new MembersWait())
      const listing = await listed(client, name)
      if (flags.json) context.printJson(listing)
      else context.print(showMembers(listing))
      return exit.ok
    }
    const { yes = false } = flags
    if (order !== 'cancel' && !order.add && !yes) {
      const left = leftWithout(await listed(client, name), order.remove!)
      if (left !== null) throw unconfirmed(name, order.remove!, left)
    }
    return await give(context, client, name, flags, order)
  })
}

/** @throws CliError (usage) */
function orderOf({ add, remove, replace, cancel, yes }: MembersFlags): Order {
  const given = { ...(add !== undefined && { add }), ...(remove !== undefined && { remove }) }
  const isOrder = Object.keys(given).length > 0
  if (cancel) {
    if (!isOrder && replace === undefined) return 'cancel'
    throw usage('--cancel cannot be combined with another order', 'Cancel first, then order.')
  }
  if (replace !== undefined) {
    if (isOrder) {
      throw usage('--replace cannot be combined with --add or --remove',
        'Replace a member: --replace OLD=NEW')
    }
    const [remove = '', add = '', ...more] = replace.split('=')
    if (more.length > 0 || add === '' || remove === '' || add === remove) {
      throw usage(`--replace ${replace} does not name two nodes`,
        'Write the member that leaves, then the new one: --replace n3=n4')
    }
    return checked({ add, remove })
  }
  if (isOrder) return checked(given)
  if (yes) throw usage('--yes confirms nothing here', 'Give an order: --remove NODE --yes')
  return null
}

function checked<T extends Readonly<Record<string, string>>>(order: T): T {
  for (const node of Object.values(order)) {
    const fault = nameFault(node)
    if (fault) throw usage(`invalid node name: ${fault}`, 'List nodes: engram status')
  }
  return order
}

/** Number of members without the node; null: the cluster refuses the order in any case. */
function leftWithout(listing: MembersListing, node: string): number | null {
  const names = namesOf(listing)
  const isPossible = listing.change === null && names.length > 1 && names.includes(node)
  return isPossible ? names.length - 1 : null
}

function unconfirmed(space: string, node: string, left: number): CliError {
  return usage(
    `without ${node}, ${space} has ${amountText(left, 'member')} instead of ${left + 1}; `
      + 'nothing was changed',
    `Replace it: engram space members ${space} --replace ${node}=NEW. `
      + `Or let fewer remain: engram space members ${space} --remove ${node} --yes`,
  )
}

async function give(
  context: Context,
  client: EngramClient,
  space: string,
  flags: MembersFlags,
  order: NonNullable<Order>,
): Promise<Action> {
  const command: MembersCommand = order === 'cancel'
    ? { type: 'changeMembers', space, cancel: true }
    : { type: 'changeMembers', space, ...order, force: flags.yes ?? false, by: requester() }
  const answer = await client.adminAtPrimary(command).catch((error: unknown) => {
    throw remedied(error, space)
  })
  const { change = null, members: names = [] } = answer
  const goal = change
    && { add: change.add ?? null, remove: change.remove ?? null, since: change.since }
  if (flags.wait && goal) {
    if (!flags.json) context.print(`${space}: ordered: ${changeName(goal)}`)
    return await wait(context, client, space, flags, new MembersWait(goal, names))
  }
  if (flags.json) context.printJson(answer)
  else if (goal === null) {
    context.print(`${space}: no change of the members is under way now; members: `
      + names.join(' '))
  } else {
    context.print(`${space}: ordered: ${changeName(goal)}; it goes on by itself`)
    context.note(`See how far it is: engram space members ${space} --wait`)
  }
  return exit.ok
}

/** Adds what helps after a refusal that has no remedy of its own. */
function remedied(error: unknown, space: string): unknown {
  if (!(error instanceof AdminError)) return error
  const look = `engram space members ${space}`
  if (error.code === 'INVALID_OPERATION') {
    return new RemediedError(error, `Members, and the change under way: ${look}. Take that change `
      + `back: ${look} --cancel`)
  }
  const isUnknown = error.code === 'ACK_TIMEOUT' || error.code === 'TIMEOUT'
  return isUnknown ? new RemediedError(error, `See whether it was ordered: ${look}`) : error
}

/** @throws AdminError if no member answers */
async function listed(client: EngramClient, space: string): Promise<MembersListing> {
  const found = await look(client, space)
  if (found) return found
  if ((await client.status({ space })).nodes.length === 0) throw noNodes(client)
  throw new AdminError('NOT_PRIMARY', `no member of ${space} answers`, true)
}

/** Null: no member answers. @throws AdminError if there is no such space */
export async function look(client: EngramClient, space: string): Promise<MembersListing | null> {
  const { spaces, nodes } = await client.status({ space })
  const found = spaces.find(({ id }) => id === space)
  if (found) return listingOf(found, nodes)
  if (nodes.length > 0) await checkSpaceExists(client.connection, space)
  return null
}

/** Shows the steps of the change until it is over. */
async function wait(
  context: Context,
  client: EngramClient,
  space: string,
  { json = false }: MembersFlags,
  waiting: MembersWait,
): Promise<Action> {
  for (;;) {
    const listing = await look(client, space)
    const { steps, end } = waiting.look(listing, performance.now())
    const at = new Date().toISOString()
    for (const text of steps) {
      if (json) context.printJson({ at, text, ...listing })
      else context.print(`${at.slice(11, 23)}  ${text}`)
    }
    if (end === 'gone') throw gone(space, waiting.name, listing)
    if (end === 'done') {
      const head = waiting.name === null ? 'no change of the members is under way' : 'done'
      const names = listing ? namesOf(listing).join(' ') : ''
      const text = `${head}; members: ${names}; in sync: ${listing?.inSync.join(' ')}`
      if (json) context.printJson({ at, text, done: true, ...listing })
      else context.print(`${at.slice(11, 23)}  ${text}`)
      return exit.ok
    }
    await delay(lookMs)
  }
}

function gone(space: string, name: string | null, listing: MembersListing | null): CliError {
  return new CliError(
    `the change was cancelled before it was done (${name}); members of ${space}: `
      + (listing ? namesOf(listing).join(' ') : ''),
    `Who cancelled it: engram events ${space}. A primary of an earlier version forgets a change, `
      + 'too. Order it again if it is still wanted.',
    exit.failed,
    'CHANGE_CANCELLED',
  )
}
