/** engram inspect */
import type { Command } from 'commander'
import { nameFault } from '../../machines/protocol/subjects.js'
import { inboxPrefix } from '../bus/options.js'
import { openConnection } from '../client/connection.js'
import type { ConnectionFlags } from '../config/sources.js'
import { HttpListenError } from '../http/server.js'
import { Inspector } from '../inspect/inspector.js'
import { InspectionSnapshot } from '../inspect/snapshot.js'
import { statelyEvents, statelySnapshot, stoppedEvent } from '../inspect/stately.js'
import { defaultInspectorUrl, startStatelyServer } from '../inspect/statelyServer.js'
import { CliError, connectionOptions, exit, jsonOption, untilStopped, usage,
  whole } from './context.js'
import type { Context } from './context.js'

interface InspectFlags extends ConnectionFlags {
  readonly node?: string
  readonly port: number
  readonly inspector: string
  readonly inspectPayloads?: boolean
  readonly json?: boolean
}

export function addInspect(program: Command, context: Context): void {
  connectionOptions(program.command('inspect'))
    .summary('show the running statecharts in Stately\'s inspector')
    .description('Serves the inspection stream of all nodes (or one) to Stately\'s inspector. Open '
      + 'the printed page in a browser. It draws each actor as its running statechart, with the '
      + 'messages between nodes. Nodes publish inspection events only while this command runs. It '
      + 'runs in the foreground; Ctrl-C ends it.')
    .option('--node <id>', 'only this node')
    .option('--port <port>', 'port of the page on 127.0.0.1; 0: any port', whole(0, 65_535), 8080)
    .option('--inspector <url>', 'inspector that the page embeds; it receives all data that is '
      + 'shown', defaultInspectorUrl)
    .option('--inspect-payloads',
      'include texts in actor contexts, which may be contents of memories')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram inspect
  engram inspect --node n1 --port 0

Programs can read the same events from the WebSocket on that port:
  createWebSocketReceiver({ server: 'ws://127.0.0.1:8080' }) of @statelyai/inspect`)
    .action(context.act((flags: InspectFlags) => inspect(context, flags)))
}

async function inspect(context: Context, flags: InspectFlags): Promise<void> {
  const { node, inspectPayloads: payloads = false } = flags
  const fault = node === undefined ? null : nameFault(node)
  if (fault !== null) throw usage(`invalid --node: ${fault}`, 'List nodes: engram status')
  if (!/^https?:\/\//.test(flags.inspector) || !URL.canParse(flags.inspector)) {
    throw usage(`invalid --inspector: ${flags.inspector} is not an http or https URL`,
      `The default is ${defaultInspectorUrl}`)
  }
  const { nats } = context.settings(flags)
  const snapshot = new InspectionSnapshot()
  const server = await startStatelyServer({
    port: flags.port,
    inspectorUrl: flags.inspector,
    greeting: () => statelySnapshot(snapshot),
  }).catch(portInUse)
  const connection = await openConnection({ ...nats, name: 'engram inspect' })
    .catch(async (error: unknown) => {
      await server.close()
      throw error
    })
  const inspector = new Inspector({
    connection,
    inboxPrefix: inboxPrefix(nats),
    node,
    payloads,
    onEnvelope: (envelope) => {
      const gone = snapshot.apply(envelope)
      server.send(statelyEvents(envelope, snapshot, gone))
    },
    onNode: (id) => context.note(`${id} is shown`),
    onNodeLost: (id) => {
      context.note(`${id} does not answer`)
      server.send(snapshot.drop(id).map((actor) => stoppedEvent(id, actor)))
    },
    onFault: (message) => context.note(`warning: ${message}`),
  })
  await inspector.start()
  const { url, webSocketUrl } = server
  if (flags.json) context.printJson({ ready: true, url, webSocket: webSocketUrl })
  else {
    context.print(`Open ${url} in a browser. WebSocket for programs: ${webSocketUrl}. `
      + 'Ctrl-C ends it.')
  }
  await untilStopped(context)
  inspector.stop()
  await server.close()
  await connection.drain()
}

/** Replaces the remedy, which names --http, an option of another command. */
function portInUse(error: unknown): never {
  if (!(error instanceof HttpListenError)) throw error
  throw new CliError(error.message, 'Choose another port: --port 0', exit.failed, error.code)
}
