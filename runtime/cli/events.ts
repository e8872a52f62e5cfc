/** engram events */
import type { Command } from 'commander'
import { nameFault } from '../../machines/subjects.js'
import { inboxPrefix } from '../bus/options.js'
import { connect } from '../client/client.js'
import { hear } from '../inspect/hearing.js'
import { Inspector } from '../inspect/inspector.js'
import { InOrder, Story } from '../inspect/story.js'
import type { Told } from '../inspect/story.js'
import { situation } from '../inspect/situation.js'
import type { ConnectionFlags } from '../settings.js'
import { CliError, connectionOptions, jsonOption, untilStopped, usage } from './context.js'
import type { Context } from './context.js'

interface EventsFlags extends ConnectionFlags {
  readonly follow?: boolean
  readonly json?: boolean
}

export function addEvents(program: Command, context: Context): void {
  connectionOptions(program.command('events'))
    .argument('[space]', 'this space alone, and what concerns nodes')
    .summary('tell what happens: promotions, forks, alerts, nodes lost and back')
    .description('Tells in sentences how things stand: who reigns over each space and who is in '
      + 'sync. With --follow it goes on with what happens: promotions with their steps and '
      + 'reasons, handovers, forks, alerts, changes of the in-sync sets, restarts of actors, '
      + 'nodes lost and back.')
    .option('-f, --follow', 'go on until Ctrl-C')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram events --follow demo
  engram events --follow --json | jq 'select(.kind == "promotion")'

--json: one object per line: at, kind, text, and node, space, epoch … where they apply.
What happens before the command runs, or while NATS is away, is not told.`)
    .action(context.act((space: string | undefined, flags: EventsFlags) =>
      events(context, space, flags)))
}

async function events(
  context: Context, space: string | undefined, flags: EventsFlags,
): Promise<void> {
  const fault = space === undefined ? null : nameFault(space)
  if (fault !== null) throw usage(`the space: ${fault}`, 'Names of spaces: engram space list')
  const { nats } = context.settings(flags)
  const client = await connect({ ...nats, name: 'engram events' })
  try {
    const order = new InOrder()
    const story = new Story({ tell: (told) => order.add(told, performance.now()), space })
    const end = flags.follow ? await follow(context, client, inboxPrefix(nats), story) : () => {}
    const status = await client.status()
    if (status.nodes.length === 0 && !flags.follow) {
      throw new CliError(`no Engram node answers on ${client.connection.getServer()}`,
        'Start one with `engram up` or `engram node`, or name another server with --nats.')
    }
    const printAll = (lines: readonly Told[]): void => {
      for (const told of lines) print(context, told, flags)
    }
    printAll(situation(status, Date.now(), space))
    const pace = setInterval(() => printAll(order.due(performance.now())), 50)
    if (flags.follow) await untilStopped(context)
    clearInterval(pace)
    end()
    printAll(order.due(Infinity))
  } finally {
    await client.close()
  }
}

/** Subscribes; returns what ends it. */
async function follow(
  context: Context, client: Awaited<ReturnType<typeof connect>>, prefix: string, story: Story,
): Promise<() => void> {
  const { connection } = client
  hear(connection, {
    onAlert: (space, data) => story.onAlert(space, data),
    onAnnouncement: (announcement) => story.onAnnouncement(announcement, Date.now()),
  })
  const inspector = new Inspector({
    connection, inboxPrefix: prefix,
    onEnvelope: (envelope) => story.onEnvelope(envelope),
    onFault: (message) => context.note(`warning: ${message}`),
  })
  await inspector.start()
  return () => inspector.stop()
}

function print(context: Context, told: Told, { json }: EventsFlags): void {
  if (json) context.printJson(told)
  else context.print(`${told.at.slice(11, 23)}  ${told.text}`)
}
