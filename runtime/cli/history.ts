/** engram history */
import type { Command } from 'commander'
import type { PromotionReport } from '../../machines/protocol/events.js'
import { inboxPrefix } from '../bus/options.js'
import type { ConnectionFlags } from '../config/sources.js'
import { eventsOfNodes } from '../inspect/past.js'
import { promotionsIn } from '../inspect/promotions.js'
import { connectionOptions, jsonOption, noNodes } from './context.js'
import type { Context } from './context.js'
import { checkSpaceExists, checkSpaceName } from './space.js'
import { orDash, showCount, showMs, table } from './text.js'

interface HistoryFlags extends ConnectionFlags {
  readonly json?: boolean
}

export function addHistory(program: Command, context: Context): void {
  connectionOptions(program.command('history'))
    .argument('[space]', 'only this space')
    .summary('list past promotions: from whom to whom, why, and how long writes stopped')
    .description('Lists the promotions that the nodes have kept: the last thousand that each of '
      + 'them heard of, over restarts. `engram events` shows all other events.')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram history
  engram history demo --json | jq '.promotions[] | {to, ms, atRisk}'

INTERRUPTED: from the last sign of the former primary until writes were accepted again.
AT RISK: lower bound of the writes that only the former primary has; - if not known.
Their later fate: engram forks SPACE`)
    .action(
      context.act((space: string | undefined, flags: HistoryFlags) =>
        history(context, space, flags)
      ),
    )
}

async function history(
  context: Context,
  space: string | undefined,
  flags: HistoryFlags,
): Promise<void> {
  if (space !== undefined) checkSpaceName(space)
  const prefix = inboxPrefix(context.settings(flags).nats)
  await context.withClient(flags, async (client) => {
    const { connection } = client
    const reach = { connection, inboxPrefix: prefix }
    const nodes = await eventsOfNodes(reach, { space, types: ['promoted'] })
    const promotions = promotionsIn([...nodes.values()].flat())
    if (nodes.size === 0) throw noNodes(client)
    if (space !== undefined && promotions.length === 0) await checkSpaceExists(connection, space)
    if (flags.json) context.printJson({ promotions })
    else context.print(showPromotions(promotions, space))
  })
}

export function showPromotions(
  promotions: readonly PromotionReport[],
  space: string | undefined,
): string {
  if (promotions.length === 0) {
    return space === undefined
      ? 'no promotions are known'
      : `no promotions of ${space} are known`
  }
  return table(['TIME', 'SPACE', 'EPOCH', 'FROM', 'TO', 'INTERRUPTED', 'AT RISK', 'REASON'],
    promotions.map(({ atMs, space: of, epoch, from, to, ms, atRisk, reason }) => [
      showTime(atMs),
      of,
      String(epoch),
      from ?? '-',
      to,
      from === null ? '-' : showMs(ms),
      orDash(atRisk, showCount),
      reason,
    ]))
}

/** `2026-11-29 21:55:53 UTC`, in one time zone for all readers. */
function showTime(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
