/** engram space drop */
import type { Command } from 'commander'
import type { EngramClient } from '../client/client.js'
import type { ConnectionFlags } from '../config/sources.js'
import type { ClusterSpace } from '../status/status.js'
import { connectionOptions, exit, jsonOption } from './context.js'
import type { Action, Context } from './context.js'
import { requester } from './pause.js'
import { checkSpaceExists, checkSpaceName } from './space.js'
import { showCount } from './text.js'

interface DropFlags extends ConnectionFlags {
  readonly yes?: boolean
  readonly json?: boolean
}

/** What a drop would remove, as far as members answer. */
export interface Preview {
  readonly space: string
  readonly uuid: string | null
  readonly members: readonly string[]
  /** Members that do not answer: they remove their data when they are back. */
  readonly away: readonly string[]
  readonly entries: number | null
  readonly quarantined: number
  /** Files of writes that no log has, by member. */
  readonly salvages: Readonly<Record<string, number>>
}

/** @param space the command `engram space` */
export function addSpaceDrop(space: Command, context: Context): void {
  connectionOptions(space.command('drop').argument('<name>'))
    .summary('end a space for good, and remove its data')
    .description('Ends a space for good: nobody can write or read it any more, and every member '
      + 'removes its log, its state and its salvages. A member that is away does so when it '
      + 'returns. Nothing brings it back. Without --yes it shows what would go, and exits with 2. '
      + 'The name can be used again, for another space.')
    .option('--yes', 'do it')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram space drop demo          # shows what would go
  engram space drop demo --yes`)
    .action(context.act((name: string, flags: DropFlags) => drop(context, name, flags)))
}

async function drop(context: Context, name: string, flags: DropFlags): Promise<Action> {
  checkSpaceName(name)
  return await context.withClient(flags, async (client) => {
    if (flags.yes) {
      const answer = await client.admin({ type: 'dropSpace', space: name, by: requester() })
      if (flags.json) context.printJson(answer)
      else context.print(answer.message ?? `${name} was dropped`)
      return exit.ok
    }
    const preview = await previewOf(client, name)
    if (flags.json) context.printJson({ dropped: false, ...preview })
    else {
      context.print(showPreview(preview))
      context.note(`nothing was dropped. To do it: engram space drop ${name} --yes`)
    }
    return exit.usage
  })
}

async function previewOf(client: EngramClient, name: string): Promise<Preview> {
  const { spaces } = await client.status({ space: name })
  const found = spaces.find(({ id }) => id === name)
  if (found) return previewFrom(found)
  await checkSpaceExists(client.connection, name)
  return {
    space: name,
    uuid: null,
    members: [],
    away: [],
    entries: null,
    quarantined: 0,
    salvages: {},
  }
}

export function previewFrom({ id, uuid, members, endSequence, forks }: ClusterSpace): Preview {
  const withSalvages = members.filter(({ salvages }) => salvages > 0)
  return {
    space: id,
    uuid,
    members: members.filter(({ role }) => role !== 'removed').map(({ node }) => node),
    away: members.filter(({ state }) => state === 'unreachable')
      .map(({ node }) => node),
    entries: endSequence,
    quarantined: forks?.quarantined ?? 0,
    salvages: Object.fromEntries(withSalvages.map(({ node, salvages }) => [node, salvages])),
  }
}

export function showPreview(
  { space, members, away, entries, quarantined, salvages }: Preview,
): string {
  if (entries === null) {
    return `${space} would be dropped. No member answers: what it holds is not known`
  }
  const files = Object.entries(salvages).map(([node, count]) => `${count} on ${node}`)
  return [
    `${space} would be dropped, with everything in it:`,
    `  members     ${members.join(' ')}`
    + (away.length > 0 ? `; away, so later: ${away.join(' ')}` : ''),
    `  entries     ${showCount(entries)}`,
    `  quarantine  ${quarantined === 0 ? 'empty' : `${showCount(quarantined)} writes`}`,
    `  salvages    ${
      files.length === 0
        ? 'none'
        : `${files.join(', ')}: writes that are in no log yet`
    }`,
  ].join('\n')
}
