/** engram up */
import { resolve } from 'node:path'
import { Option } from 'commander'
import type { Command } from 'commander'
import { startControl } from '../chaos/control.js'
import type { ControlServer } from '../chaos/control.js'
import { PortBusyError } from '../cluster/broker.js'
import { Cluster, ClusterStartError } from '../cluster/cluster.js'
import { publishUp, releaseData, takeData } from '../cluster/clusterFile.js'
import { freePort, NatsServerError } from '../cluster/natsServer.js'
import { here, shellWord } from '../cluster/nodeProcess.js'
import { defaultNatsUrl, flagWords } from '../config/natsSettings.js'
import { loadSettings } from '../config/sources.js'
import type { ConnectionFlags, Environment, Settings } from '../config/sources.js'
import { parseAddress } from '../http/server.js'
import { tokenFor } from '../http/token.js'
import type { ClusterSpace } from '../status/status.js'
import { CliError, connectionOptions, defaultData, exit, jsonOption, usage,
  whole } from './context.js'
import type { Action, Context } from './context.js'
import { outliveReaders } from './readers.js'
import { endSignals } from './signals.js'
import type { EndSignals } from './signals.js'
import { checkSpaceName } from './space.js'
import { startUpPage } from './upPage.js'
import type { UpPage } from './upPage.js'

interface UpFlags extends ConnectionFlags {
  readonly nodes: number
  readonly space: string
  readonly replicas: number
  readonly data: string
  readonly natsPort: number
  readonly http: string
  readonly httpTokenFile?: string
  readonly playground?: boolean
  readonly inspectPayloads?: boolean
  readonly auth?: boolean
  readonly restart?: boolean
  readonly chaos?: boolean
  readonly json?: boolean
}

const defaultHttp = '127.0.0.1:7432'
const defaultNatsPort = 4222

export function addUp(program: Command, context: Context): void {
  const up = connectionOptions(program.command('up'))
  const nats = up.options.find(({ long }) => long === '--nats')
  if (nats) nats.description = 'join the cluster of this NATS server, instead of a private one'
  up.summary('run a cluster on this machine')
    .description('Runs a private nats-server and several nodes in the foreground, each in its own '
      + 'process. Ctrl-C hands over and stops them all; a second Ctrl-C stops them at once.')
    .option('--nodes <n>', 'number of nodes, named n1, n2 …', whole(1, 32), 3)
    .option('--space <name>', 'space to create', 'demo')
    .option('--replicas <n>', 'number of members of that space besides the primary', whole(0, 14),
      2)
    .option('--data <dir>', 'directory for all data and logs', defaultData)
    .addOption(new Option('--nats-port <port>', 'port of the private nats-server; if the '
      + 'default port is busy, the next free one is used')
      .argParser(whole(0, 65_535)).default(defaultNatsPort).conflicts('nats'))
    .option('--http <host:port>', 'address of the page and status of the cluster; if the default '
      + 'port is busy, the next free one is used; a token protects any address but loopback',
      defaultHttp)
    .option('--http-token-file <file>', 'file with the token of the page (default: a new token)')
    .option('--playground', 'allow the page to write, to kill and pause nodes, to kill actors '
      + 'and to hand over')
    .option('--inspect-payloads',
      'show texts in actor contexts on the page, which may be contents of memories')
    .addOption(new Option('--auth', 'require passwords on the private nats-server; they are '
      + 'written to a file in the data directory').conflicts('nats'))
    .option('--restart', 'start a node again when it dies')
    .option('--chaos', 'enable fault injection for `engram chaos` (slightly slower)')
    .addOption(jsonOption())
    .addHelpText('after', `
Without --restart a node that dies stays down, so that you can watch the failover. The command
that starts it again is printed. Ctrl-C here stops such a node as well.
Logs are in DIR/logs: two files of at most 16 MiB for each node (n1.log, n1.log.1).

This command ignores ENGRAM_NATS_URL and the like. Only --nats joins an existing cluster.

With --json one line goes to stdout when the cluster is ready:
  {"ready":true,"nats":"nats://…","http":"http://…","nodes":[{"id":"n1","pid":1,"http":"…"}]}

Examples:
  engram up
  engram up --nodes 5 --replicas 2 --data /tmp/engram
  engram up --nats nats://10.0.0.5:4222     # nodes on an existing NATS server`)
  up.action(context.act((flags: UpFlags) =>
    run(context, flags, {
      natsPort: up.getOptionValueSource('natsPort') !== 'default',
      http: up.getOptionValueSource('http') !== 'default',
      space: up.getOptionValueSource('space') !== 'default',
    })
  ))
}

/** True for options that were given on the command line. */
interface Chosen {
  readonly natsPort: boolean
  readonly http: boolean
  readonly space: boolean
}

async function run(context: Context, flags: UpFlags, chosen: Chosen): Promise<Action> {
  checkFlags(flags)
  outliveReaders()
  const signals = endSignals('up')
  const data = resolve(context.io.cwd, flags.data)
  const env = withoutNats(context.io.env)
  // Also checks the options in file and environment, before anything is started.
  const settings = flags.nats === undefined
    ? loadSettings(flags, env, 'operator')
    : context.settings(flags, 'operator')
  if (flags.nats === undefined) refuseNatsOf(settings, flags.config ?? env['ENGRAM_CONFIG'])
  const token = tokenFor(flags.http, flags.httpTokenFile)
  noteIgnored(context, flags, settings)
  try {
    await takeData(data)
    const cluster = await Cluster.start({
      nodes: Array.from({ length: flags.nodes }, (_, i) => `n${i + 1}`),
      data,
      nats: flags.nats === undefined ? null : {
        operator: settings.nats,
        node: context.settings(flags, 'node').nats,
        flags: flagWords(flags),
      },
      natsPort: flags.natsPort,
      stepOver: !chosen.natsPort,
      auth: flags.auth ?? false,
      restart: flags.restart ?? false,
      chaos: flags.chaos ?? false,
      config: flags.config && resolve(flags.config),
      env: { ...env, ...(flags.playground ? { ENGRAM_CHAOS: '1' } : {}) },
      show: (line) => context.note(line),
      isInterrupted: () => signals.seen > 0,
    })
    return await lead({ context, flags, chosen, settings, token, data, cluster, signals })
  } catch (error) {
    // A server that has just been started may get the signal, too.
    const isStart = error instanceof ClusterStartError || error instanceof NatsServerError
    if (isStart && signals.seen > 0) return exit.ok
    throw withRemedy(error)
  } finally {
    releaseData(data)
  }
}

/** The environment without connection settings, which are not meant for the nodes' server. */
function withoutNats(env: Environment): Environment {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) =>
      !name.startsWith('ENGRAM_NATS_') || name === 'ENGRAM_NATS_SERVER'
    ),
  )
}

/** A cluster is only joined on purpose, since that cannot be undone. */
function noteIgnored(context: Context, flags: UpFlags, { nats }: Settings): void {
  if (flags.nats !== undefined) return
  const named = context.io.env['ENGRAM_NATS_URL']
  const ignored = named
    ? { what: 'ENGRAM_NATS_URL', url: named }
    : nats.servers === defaultNatsUrl
    ? null
    : { what: 'The NATS server of the config file', url: nats.servers }
  if (ignored === null) return
  const servers = ignored.url.replaceAll(/\/\/[^@/,]*@/g, '//')
  context.note(`${ignored.what} is ignored: engram up runs its own NATS server. To start `
    + `nodes on the other server:\n  engram up --nats ${shellWord(servers)}`)
}

/** Nodes read the same file and would use its credentials and TLS on the private server. */
function refuseNatsOf({ nats }: Settings, file: string | undefined): void {
  const about = Object.keys(nats).filter((name) => name !== 'servers')
  if (about.length === 0) return
  throw usage(`${file} configures the connection to a NATS server (${about.join(', ')}), but `
    + 'engram up runs its own', 'Remove "nats" from the file, or use that server: --nats URL.')
}

function withRemedy(error: unknown): unknown {
  if (error instanceof PortBusyError) {
    return usage(error.message, 'Choose another --nats-port, or 0 for any free port.')
  }
  return error instanceof ClusterStartError ? new CliError(error.message, error.remedy) : error
}

function checkFlags(flags: UpFlags): void {
  checkSpaceName(flags.space, 'Choose another name.')
  parseAddress(flags.http)
  const about = Object.keys(flags).find((name) => /^nats[A-Z]/.test(name) && name !== 'natsPort')
  if (about !== undefined && flags.nats === undefined) {
    const flag = `--${about.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    throw usage(`${flag} needs an existing NATS server`, 'Name the server: --nats URL.')
  }
  if (flags.replicas < flags.nodes) return
  throw usage(`--replicas ${flags.replicas} needs ${flags.replicas + 1} nodes, but --nodes is `
    + `${flags.nodes}`, `Use --nodes ${flags.replicas + 1}, or --replicas ${flags.nodes - 1}.`)
}

interface Lead {
  readonly context: Context
  readonly flags: UpFlags
  readonly chosen: Chosen
  readonly settings: Settings
  readonly token: string | null
  readonly data: string
  readonly cluster: Cluster
  readonly signals: EndSignals
}

/** Runs the started cluster until it is ended. */
async function lead(up: Lead): Promise<Action> {
  const { context, flags, data, cluster, signals } = up
  let page: UpPage | null = null
  let control: ControlServer | null = null
  try {
    const made = await Promise.race([
      spaceOf(up).then((space) => ({ space })),
      signals.first.then(() => null),
    ])
    if (made) {
      page = await startPage(up)
      control = await startControl(cluster)
      publishUp(data, {
        nats: cluster.broker.url,
        auth: cluster.broker.authFile,
        http: page.url,
        control: control.address,
      })
      if (flags.json) printReadyJson(context, cluster, page)
      else printReady(up, page, made.space)
      await signals.first
    }
  } catch (error) {
    await control?.close()
    await page?.close()
    await cluster.kill()
    throw error
  }
  context.note('Handing over and stopping; press Ctrl-C again to stop at once.')
  await control?.close()
  page?.endCommands()
  const orderly = cluster.stop().then(() => 'stopped')
  const how = await Promise.race([orderly, signals.second.then(() => 'abrupt')])
  if (how === 'abrupt') await cluster.kill()
  await page?.close()
  return exit.ok
}

/** The first space. null on a cluster with other nodes, unless --space names one. */
async function spaceOf({ context, flags, chosen, cluster }: Lead): Promise<ClusterSpace | null> {
  const others = flags.nats === undefined || chosen.space ? [] : await cluster.others()
  if (others.length === 0) return await cluster.ensureSpace(flags.space, flags.replicas)
  context.note(`The NATS server has other nodes (${others.join(', ')}), so no space is created. `
    + `To create one:\n  engram space create NAME --nats ${cluster.broker.url}${wordsOf(cluster)}`)
  return null
}

const wordsOf = ({ broker }: Cluster): string =>
  broker.flags.map((word) => ` ${shellWord(word)}`).join('')

async function startPage({ context, flags, chosen, settings, token, cluster }: Lead) {
  const { host, port } = parseAddress(flags.http)
  const free = chosen.http || port === 0 ? port : await freePort(port)
  if (free !== port) context.note(`Port ${port} is in use; HTTP listens on ${free}.`)
  const shown = host.includes(':') ? `[${host}]` : host
  return startUpPage({
    address: `${shown}:${free}`,
    token,
    cluster,
    config: settings.config,
    playground: flags.playground ?? false,
    payloads: flags.inspectPayloads ?? false,
    note: (line) => context.note(line),
  })
}

function printReadyJson(context: Context, cluster: Cluster, page: UpPage): void {
  context.printJson({
    ready: true,
    nats: cluster.broker.url,
    http: page.url,
    nodes: cluster.nodes.map(({ id, pid, http }) => ({ id, pid, http })),
    auth: cluster.broker.authFile,
    data: cluster.options.data,
    page: page.open,
  })
}

function printReady(up: Lead, page: UpPage, space: ClusterSpace | null): void {
  const { context, data, cluster } = up
  const { url, authFile } = cluster.broker
  const nodes = cluster.nodes.map((node) =>
    `  ${node.id}   pid ${node.pid}   ${node.http ?? 'no HTTP'}   log ${here(node.log)}`
  )
  context.print([
    `Ready: NATS ${url}, status ${page.url}/status, data ${here(data)}`,
    ...nodes,
    ...(authFile ? [`  passwords: ${here(authFile)}`] : []),
    ...(space
      ? [`Space ${space.id}: primary ${space.primary}, in sync ${space.inSync.join(' ')}`]
      : []),
    '',
    `Watch the cluster: open ${page.open} in a browser.`,
    '',
    ...(space ? whatToTry(up, space) : []),
    'Ctrl-C hands over and stops all nodes.',
  ].join('\n'))
}

function whatToTry({ context, flags, data, cluster }: Lead, space: ClusterSpace): string[] {
  const { url, flags: flagsOfNats } = cluster.broker
  const primary = cluster.nodes.find((node) => node.id === space.primary) ?? cluster.nodes[0]
  const { env, cwd } = context.io
  // Without --nats, commands find the cluster by its default data directory.
  const found = data === resolve(cwd, defaultData)
    && !(flags.nats ?? env['ENGRAM_NATS_URL'] ?? env['ENGRAM_CONFIG'])
  const to = found ? '' : ` --nats ${url}${wordsOf(cluster)}`
  return [
    'Try in another terminal:',
    `  npx engram write ${space.id}${to} `
    + '\'{"type":"StoreNode","node":{"id":"n1","content":"hello"}}\'',
    `  npx engram read ${space.id} get n1${to}`,
    `  npx engram status --watch${to}`,
    ...(flagsOfNats.length > 0
      ? []
      : [`  nats --server ${url} request engram.v1.write.${space.id} `
        + `'{"type":"UpdateActivation","nodeId":"n1","activation":0.8}'`]),
    '',
    `Then kill the primary and watch: kill -9 ${primary?.pid}`,
    'Start it again:',
    `  ${primary?.command}`,
    '',
  ]
}
