/** engram space set */
import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import { amountText } from '../../machines/base/units.js'
import type { AckLevel, SpaceSettings } from '../../machines/protocol/messages.js'
import { showSettings } from '../../machines/protocol/spaceSettings.js'
import type { SettingsChange } from '../client/operator.js'
import type { ConnectionFlags } from '../config/sources.js'
import type { Reconcile } from '../status/status.js'
import { CliError, connectionOptions, durationUnits, jsonOption, usage, whole, wholeBytes,
  wholeDuration } from './context.js'
import type { Context } from './context.js'
import { ackOption, checkSpaceName, retainText } from './space.js'
import { setReplicas } from './spaceReplicas.js'

interface SetFlags extends ConnectionFlags {
  readonly replicas?: number
  readonly yes?: boolean
  readonly ack?: AckLevel
  readonly minInSync?: number
  readonly maxLossEntries?: Bound
  readonly maxLossBytes?: Bound
  readonly maxLossMs?: Bound
  readonly keysMs?: Bound
  readonly keysCount?: Bound
  readonly retainBytes?: Bound
  readonly retainMs?: Bound
  readonly whenUnderReplicated?: 'accept' | 'wait' | 'refuse'
  readonly reconcile?: Reconcile
  readonly json?: boolean
}

/** `none` removes the bound. (Commander takes null for an option without a value.) */
type Bound = number | 'none'

/** @param space the command `engram space` */
export function addSpaceSet(space: Command, context: Context): void {
  connectionOptions(space.command('set').argument('<name>'))
    .summary('change settings of a space')
    .description('Changes the given settings while the space keeps working. The others stay.')
    .option('--replicas <n>', 'members besides the primary: adds or takes out members, one after '
      + 'the other, and waits for each', whole(0, 15))
    .option('--yes', 'let fewer members remain (--replicas)')
    .addOption(ackOption('default ack level of writes'))
    .option('--min-in-sync <n>', 'refuse committed writes while fewer than N members are in sync',
      whole(1, 16))
    .option('--max-loss-entries <n|none>', 'delay acknowledgements while N or more '
      + 'acknowledged entries exist on one member only', bound)
    .option('--max-loss-bytes <n|none>', 'the same limit in bytes', bound)
    .option('--max-loss-ms <duration|none>', 'the same limit as the age of the oldest such entry: '
      + durationUnits, timeBound)
    .addOption(new Option('--when-under-replicated <what>', 'accept writes, delay their '
      + 'answers (wait) or refuse them while only one member is in sync')
      .choices(['accept', 'wait', 'refuse']))
    .addOption(new Option('--reconcile <what>', 'merge writes of a fork into the log by itself, '
      + 'on command (engram forks reconcile), or never (they stay in salvage files)')
      .choices(['automatic', 'manual', 'off']))
    .option('--keys-ms <duration|none>', 'how long an idempotency key is remembered: '
      + `${durationUnits} (none: a day)`, timeBound)
    .option('--keys-count <n|none>', 'number of idempotency keys remembered (none: a million)',
      bound)
    .option('--retain-bytes <size|none>', `${retainText}: while the journal of a node has no more `
      + 'since then', sizeBound)
    .option('--retain-ms <duration|none>', `${retainText}: ${durationUnits}`, timeBound)
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram space set demo --max-loss-entries 1000 --when-under-replicated wait
  engram space set demo --max-loss-entries none
  engram space set demo --reconcile manual
  engram space set demo --replicas 3
  engram space set demo --retain-ms 168h --retain-bytes 20GiB`)
    .action(context.act((name: string, flags: SetFlags) => set(context, name, flags)))
}

async function set(context: Context, name: string, flags: SetFlags): Promise<void> {
  checkSpaceName(name)
  const { replicas, yes = false, json = false } = flags
  const settings = changeOf(flags)
  const isSetting = Object.keys(settings).length > 0
  if (yes && replicas === undefined) {
    throw usage('--yes confirms nothing here', 'Give --replicas N --yes')
  }
  if (!isSetting && replicas === undefined) {
    throw usage('nothing to change', 'Give a setting. List: engram space set --help')
  }
  await context.withClient(flags, async (client) => {
    // First: minInSync may need the members that come.
    if (replicas !== undefined) {
      const done = await setReplicas(context, client, { space: name, replicas, yes }, json)
      if (json) context.printJson({ ...done, end: true })
      else {
        context.print(`space ${name}: ${amountText(replicas, 'replica')}; members: `
          + done.members.join(' '))
      }
    }
    if (!isSetting) return
    const answer = await client.adminAtPrimary({ type: 'setSpace', space: name, settings })
    checkTaken(name, settings, answer.settings)
    if (json) context.printJson(answer)
    else context.print(answer.settings
        ? `space ${name}: ${showSettings(answer.settings)}`
        : answer.message ?? `space ${name} was changed`)
  })
}

/** A primary of an earlier release leaves out what it does not know. */
function checkTaken(
  name: string,
  { retain }: SettingsChange,
  taken: Partial<SpaceSettings> | undefined,
): void {
  const isWanted = Object.values(retain ?? {}).some((value) => value !== null)
  if (!isWanted || !taken || taken.retain) return
  throw new CliError(`${name} does not retain more: its primary runs an earlier release`,
    'Upgrade all nodes, then repeat the command.')
}

/** The settings that were given. */
function changeOf(flags: SetFlags): SettingsChange {
  const { ack, minInSync, whenUnderReplicated, reconcile } = flags
  const maxLoss = given({
    entries: valueOf(flags.maxLossEntries),
    bytes: valueOf(flags.maxLossBytes),
    ms: valueOf(flags.maxLossMs),
  })
  const keys = given({ ms: valueOf(flags.keysMs), count: valueOf(flags.keysCount) })
  const retain = given({ bytes: valueOf(flags.retainBytes), ms: valueOf(flags.retainMs) })
  return given({
    ack,
    minInSync,
    whenUnderReplicated,
    reconcile,
    maxLoss: Object.keys(maxLoss).length > 0 ? maxLoss : undefined,
    keys: Object.keys(keys).length > 0 ? keys : undefined,
    retain: Object.keys(retain).length > 0 ? retain : undefined,
  })
}

function given<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields)
    .filter(([, value]) => value !== undefined)) as Partial<T>
}

function valueOf(bound: Bound | undefined): number | null | undefined {
  return bound === 'none' ? null : bound
}

/** Parser of a bound in bytes. */
const sizeBound = (text: string): Bound => (text === 'none' ? text : wholeBytes(text))

/** Parser of a bound that is a duration. */
const timeBound = (text: string): Bound => (text === 'none' ? text : wholeDuration(text))

/** Parser of a bound. */
function bound(text: string): Bound {
  if (text === 'none') return text
  try {
    return whole(1, Number.MAX_SAFE_INTEGER)(text)
  } catch {
    throw new InvalidArgumentError(
      `It must be a whole number from 1 to ${Number.MAX_SAFE_INTEGER}, or none.`,
    )
  }
}
