/** engram space create | list */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { NatsConnection } from 'nats'
import type { AckLevel, SpaceSettings } from '../../machines/protocol/messages.js'
import { showSettings } from '../../machines/protocol/spaceSettings.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import { AdminError } from '../client/errors.js'
import { lookUpSpace } from '../client/lookup.js'
import type { ConnectionFlags } from '../config/sources.js'
import { connectionOptions, durationUnits, jsonOption, RemediedError, usage, whole, wholeBytes,
  wholeDuration } from './context.js'
import type { Context } from './context.js'
import { table } from './text.js'

export const ackOption = (what: string): Option =>
  new Option('--ack <level>', what).choices(['memory', 'durable', 'committed'])

/** Of `--retain-bytes` and `--retain-ms`. */
export const retainText = 'keep entries for readers of the log, also beyond the retainBytes of '
  + 'nodes and while the disk has room'

interface CreateFlags extends ConnectionFlags {
  readonly replicas: number
  readonly ack: AckLevel
  readonly minInSync?: number
  readonly maxLossEntries?: number
  readonly maxLossBytes?: number
  readonly maxLossMs?: number
  readonly keysMs?: number
  readonly keysCount?: number
  readonly retainBytes?: number
  readonly retainMs?: number
  readonly whenUnderReplicated?: SpaceSettings['whenUnderReplicated']
  readonly reconcile?: SpaceSettings['reconcile']
  readonly json?: boolean
}

/** @returns the command `space`, for its other subcommands */
export function addSpace(program: Command, context: Context): Command {
  const space = program.command('space').summary('create, list, change and drop spaces')
    .description('A space is a named log and the memory graph that results from it.')
  connectionOptions(space.command('create').argument('<name>', 'A-Z a-z 0-9 _ -, at most 64'))
    .summary('create a space')
    .description('Creates a space and places its members on nodes. Repeating it with the same '
      + 'settings changes nothing and succeeds.')
    .option('--replicas <n>', 'number of members besides the primary', whole(0, 15), 2)
    .addOption(ackOption('default ack level of writes').default('durable'))
    .option('--min-in-sync <n>', 'refuse committed writes while fewer than N members are in sync '
      + '(default: 2, or 1 without replicas)', whole(1, 16))
    .option('--max-loss-entries <n>', 'delay acknowledgements while N or more '
      + 'acknowledged entries exist on one member only', whole(1, Number.MAX_SAFE_INTEGER))
    .option('--max-loss-bytes <n>', 'the same limit in bytes', whole(1, Number.MAX_SAFE_INTEGER))
    .option('--max-loss-ms <duration>', 'the same limit as the age of the oldest such entry: '
      + durationUnits, wholeDuration)
    .option('--keys-ms <duration>', `how long an idempotency key is remembered: ${durationUnits} `
      + '(default: a day)', wholeDuration)
    .option('--keys-count <n>', 'number of idempotency keys remembered (default: a million)',
      whole(1, Number.MAX_SAFE_INTEGER))
    .option('--retain-bytes <size>', `${retainText}: while the journal of a node has no more since `
      + 'then', wholeBytes)
    .option('--retain-ms <duration>', `${retainText}: ${durationUnits}`, wholeDuration)
    .addOption(new Option('--when-under-replicated <what>', 'accept writes, delay their '
      + 'answers (wait) or refuse them while only one member is in sync (default: accept)')
      .choices(['accept', 'wait', 'refuse']))
    .addOption(new Option('--reconcile <how>', 'merge writes that a failover left behind into the '
      + 'log by itself, on command, or never; then they stay in salvages (default: automatic)')
      .choices(['automatic', 'manual', 'off']))
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram space create demo
  engram space create careful --max-loss-entries 1000 --when-under-replicated wait
  engram space create ledger --replicas 2 --ack committed --min-in-sync 2`)
    .action(context.act((name: string, flags: CreateFlags) => create(context, name, flags)))
  connectionOptions(space.command('list'))
    .summary('list spaces')
    .description('Lists all spaces on record at the arbiter.')
    .addOption(jsonOption())
    .action(context.act((flags: ConnectionFlags & { json?: boolean }) => list(context, flags)))
  return space
}

/** @throws CliError (usage) */
export function checkSpaceName(name: string, remedy = 'List spaces: engram space list'): void {
  const fault = nameFault(name)
  if (fault) throw usage(`invalid space name: ${fault}`, remedy)
}

/** For requests that do not reach the primary. @throws AdminError if no node knows the space */
export async function checkSpaceExists(connection: NatsConnection, name: string): Promise<void> {
  if (await lookUpSpace(connection, name) !== 'absent') return
  throw new AdminError('UNKNOWN_SPACE', `there is no space ${name}`, false)
}

async function create(context: Context, name: string, flags: CreateFlags): Promise<void> {
  checkSpaceName(name, 'Choose another name.')
  const { replicas, ack } = flags
  const minInSync = flags.minInSync ?? Math.min(2, replicas + 1)
  if (minInSync > replicas + 1) {
    throw usage(`--min-in-sync ${minInSync} can never be met by ${replicas + 1} members`,
      `Use at most ${replicas + 1}, or more --replicas.`)
  }
  await context.withClient(flags, async (client) => {
    const maxLoss = {
      ...(flags.maxLossEntries && { entries: flags.maxLossEntries }),
      ...(flags.maxLossBytes && { bytes: flags.maxLossBytes }),
      ...(flags.maxLossMs && { ms: flags.maxLossMs }),
    }
    const keys = {
      ...(flags.keysMs && { ms: flags.keysMs }),
      ...(flags.keysCount && { count: flags.keysCount }),
    }
    const retain = {
      ...(flags.retainBytes && { bytes: flags.retainBytes }),
      ...(flags.retainMs && { ms: flags.retainMs }),
    }
    const { whenUnderReplicated, reconcile } = flags
    const settings = {
      replicas,
      ack,
      minInSync,
      ...(Object.keys(maxLoss).length > 0 && { maxLoss }),
      ...(whenUnderReplicated && { whenUnderReplicated }),
      ...(reconcile && { reconcile }),
      ...(Object.keys(keys).length > 0 && { keys }),
      ...(Object.keys(retain).length > 0 && { retain }),
    }
    const answer = await client.admin({ type: 'createSpace', space: name, ...settings })
      .catch((error: unknown) => {
        throw otherSettings(error, name, { ...flags, minInSync })
      })
    if (flags.json) context.printJson(answer)
    else if (answer.created === false) context.print(`space ${name} exists with these settings`)
    else context.print(`space ${name} created: ${showSettings(settings)}`)
  })
}

/** Adds the command that changes the settings to those that were given. */
function otherSettings(error: unknown, name: string, flags: CreateFlags): unknown {
  if (!(error instanceof AdminError) || error.reason !== 'otherSettings') return error
  const wanted = Object.entries(flags).flatMap(([flag, value]) => {
    if (!changeable.has(flag) || value === undefined) return []
    return [`--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${String(value)}`]
  })
  return new RemediedError(error,
    `Change them (except the replicas) with: engram space set ${name} ${wanted.join(' ')}`)
}

/** Settings that `engram space set` changes. */
const changeable: ReadonlySet<string> = new Set([
  'ack',
  'minInSync',
  'maxLossEntries',
  'maxLossBytes',
  'maxLossMs',
  'keysMs',
  'keysCount',
  'retainBytes',
  'retainMs',
  'whenUnderReplicated',
  'reconcile',
])

async function list(
  context: Context,
  flags: ConnectionFlags & { json?: boolean },
): Promise<void> {
  await context.withClient(flags, async (client) => {
    const { spaces, unreadable } = await client.listSpaces()
    for (const { reason } of unreadable) context.note(reason)
    if (flags.json) {
      return context.printJson({ spaces, ...(unreadable.length > 0 && { unreadable }) })
    }
    if (spaces.length === 0) return context.note('no spaces; create one: engram space create NAME')
    context.print(table(
      ['SPACE', 'STATE', 'EPOCH', 'PRIMARY', 'MEMBERS', 'IN SYNC', 'ACK', 'MIN IN SYNC'],
      spaces.map((space) => [
        space.space,
        space.state,
        String(space.epoch),
        space.primary ?? 'none',
        space.members.join(' '),
        space.inSync.join(' '),
        space.settings.ack,
        String(space.settings.minInSync),
      ]),
    ))
  })
}
