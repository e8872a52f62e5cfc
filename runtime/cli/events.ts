/** engram events */
import type { Command } from 'commander'
import type { RecordedEvent } from '../../machines/protocol/events.js'
import { inboxPrefix } from '../bus/options.js'
import { connect } from '../client/client.js'
import type { EngramClient } from '../client/client.js'
import type { ConnectionFlags } from '../config/sources.js'
import type { EventLine } from '../inspect/eventLine.js'
import { Inspector } from '../inspect/inspector.js'
import { eventsOfNodes } from '../inspect/past.js'
import { summaryText } from '../inspect/summaryText.js'
import { EventText, InOrder } from '../inspect/eventText.js'
import { connectionOptions, jsonOption, noNodes, untilStopped, whole } from './context.js'
import type { Context } from './context.js'
import { checkSpaceExists, checkSpaceName } from './space.js'

interface EventsFlags extends ConnectionFlags {
  readonly follow?: boolean
  readonly last: number
  readonly json?: boolean
}

/** Number of kept events shown by default. */
const lastDefault = 20

export function addEvents(program: Command, context: Context): void {
  connectionOptions(program.command('events'))
    .argument('[space]', 'only this space, and events of nodes')
    .summary('show events: promotions, forks, alerts, nodes lost and back')
    .description('Shows the latest events that the nodes have kept, and the present state: the '
      + 'primary and the in-sync members of each space. With --follow it goes on with new events: '
      + 'promotions with their steps and reasons, handovers, forks, alerts, changes of in-sync '
      + 'sets, restarts of actors, nodes lost and back.')
    .option('-f, --follow', 'show new events until Ctrl-C')
    .option('--last <count>', 'number of past events to show', whole(0, 100_000), lastDefault)
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram events --last 100
  engram events --follow demo
  engram events --follow --json | jq 'select(.kind == "promotion")'

--json prints one object per line: at, kind, text, and node, space, epoch … if they apply.
Each node keeps its latest events over restarts: promotions, handovers, alerts, changes of in-sync
sets, nodes lost and back. Only --follow shows steps of promotions and restarts of actors.
Past promotions as a table: engram history`)
    .action(
      context.act((space: string | undefined, flags: EventsFlags) => events(context, space, flags)),
    )
}

async function events(
  context: Context,
  space: string | undefined,
  flags: EventsFlags,
): Promise<void> {
  if (space !== undefined) checkSpaceName(space)
  const { nats } = context.settings(flags)
  const client = await connect({ ...nats, name: 'engram events' })
  try {
    if (space !== undefined) await checkSpaceExists(client.connection, space)
    const order = new InOrder()
    const events = new EventText({ emit: (line) => order.add(line, performance.now()), space })
    const end = flags.follow ? await follow(context, client, inboxPrefix(nats), events) : () => {}
    const [status, past] = await Promise.all([
      client.status(),
      flags.last === 0 ? [] : pastOf(client, inboxPrefix(nats), space),
    ])
    if (status.nodes.length === 0 && !flags.follow) throw noNodes(client)
    const printAll = (lines: readonly EventLine[]): void => {
      for (const line of lines) print(context, line, flags)
    }
    if (flags.last > 0) printAll(events.onPast(past).slice(-flags.last))
    printAll(summaryText(status, Date.now(), space))
    const pace = setInterval(() => printAll(order.due(performance.now())), 50)
    if (flags.follow) await untilStopped(context)
    clearInterval(pace)
    end()
    printAll(order.due(Infinity))
  } finally {
    await client.close()
  }
}

/** Events kept by the nodes that answer. */
async function pastOf(
  { connection }: EngramClient,
  inboxPrefix: string,
  space: string | undefined,
): Promise<RecordedEvent[]> {
  const nodes = await eventsOfNodes({ connection, inboxPrefix }, { space })
  return [...nodes.values()].flat()
}

/** Subscribes to new events. Returns a function that ends it. */
async function follow(
  context: Context,
  { connection }: EngramClient,
  prefix: string,
  events: EventText,
): Promise<() => void> {
  const inspector = new Inspector({
    connection,
    inboxPrefix: prefix,
    onEnvelope: (envelope) => events.onEnvelope(envelope),
    onFault: (message) => context.note(`warning: ${message}`),
  })
  await inspector.start()
  return () => inspector.stop()
}

function print(context: Context, line: EventLine, { json }: EventsFlags): void {
  if (json) context.printJson(line)
  else context.print(`${showTime(line.at)}  ${line.text}`)
}

/** `21:55:53.410`, preceded by the date unless it is today. UTC, as in --json. */
function showTime(at: string): string {
  const isToday = at.slice(0, 10) === new Date().toISOString().slice(0, 10)
  return isToday ? at.slice(11, 23) : `${at.slice(0, 10)} ${at.slice(11, 23)}`
}
