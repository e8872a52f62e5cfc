/** engram node */
import type { Command } from 'commander'
import { nameFault } from '../../machines/protocol/subjects.js'
import { loadMergeRules } from '../config/mergeRules.js'
import { fileOptions, listOptions, options, wordOptions } from '../config/options.js'
import { environmentName, httpSetting, loadSettings, suspectVariables } from '../config/sources.js'
import type { ConnectionFlags } from '../config/sources.js'
import { tokenFor } from '../http/token.js'
import type { NodeOptions, RunningNode } from '../node/node.js'
import { openLog } from '../system/logger.js'
import type { LogLevel } from '../system/logger.js'
import { connectionOptions, exit, jsonOption, usage } from './context.js'
import type { Action, Context } from './context.js'
import { outliveReaders } from './readers.js'
import { endSignals } from './signals.js'
import type { EndSignals } from './signals.js'
import { table } from './text.js'

interface NodeFlags extends ConnectionFlags {
  readonly id?: string
  readonly data?: string
  readonly zone?: string
  readonly http?: string
  readonly httpTokenFile?: string
  readonly inspectPayloads?: boolean
  readonly set?: readonly string[]
  readonly replyPrefixes?: string
  readonly helpConfig?: boolean
  readonly chaos?: boolean
  readonly requireData?: boolean
  readonly json?: boolean
}

/** Returns the command, for its subcommands. */
export function addNode(program: Command, context: Context): Command {
  return connectionOptions(program.command('node'))
    .summary('run one node, for production')
    .description('Runs one node in the foreground. SIGTERM hands its primaries over and stops it. '
      + 'Logs go to stderr as JSON lines.')
    .option('--id <id>', 'name of the node, unique in the cluster [ENGRAM_ID]')
    .option('--data <dir>', 'data directory, used by this node only [ENGRAM_DATA]')
    .option('--zone <name>', 'failure domain of the node, such as a rack: members of a space are '
      + 'placed in different zones where possible [ENGRAM_ZONE]')
    .option('--http <host:port>', 'address of page, health, metrics and status; port 0: any port; '
      + 'off: no HTTP; a token protects any address but loopback [ENGRAM_HTTP] '
      + '(default: 127.0.0.1:0)')
    .option('--http-token-file <file>', 'file with that token [ENGRAM_HTTP_TOKEN_FILE] '
      + '(default: a new token, printed at each start)')
    .option('--inspect-payloads',
      'show texts in actor contexts on the page, which may be contents of memories')
    .option('--set <option=value...>',
      'set an option, such as heartbeatMs=200 or segmentBytes=128MiB')
    .option('--reply-prefixes <list>', 'answer clients only on subjects below these '
      + '[ENGRAM_REPLY_PREFIXES] (default: _INBOX)')
    .option('--chaos', 'allow operators to kill actors of this node, for `engram chaos` '
      + '[ENGRAM_CHAOS=1]; not for production')
    .option('--require-data', 'refuse to start with an empty data directory if the cluster knows '
      + 'the node; its volume may not be mounted [ENGRAM_REQUIRE_DATA=1]')
    .option('--help-config', 'list all options')
    .addOption(jsonOption())
    .addHelpText('after', `
Example:
  engram node --id n1 --nats nats://10.0.0.5:4222 --data /var/lib/engram/n1 --http 127.0.0.1:7433

ENGRAM_LOG_LEVEL: debug, info (default), warn, error.
Exit codes: 0 stopped, 1 failed (can be restarted), 2 wrong usage or options.`)
    .action(context.act((flags: NodeFlags) => runNode(context, flags)))
}

async function runNode(context: Context, flags: NodeFlags): Promise<Action> {
  if (flags.helpConfig) return showOptions(context, flags.json ?? false)
  const settings = loadSettings(
    { ...flags, options: parseSets(flags.set ?? []) },
    context.io.env,
    'node',
  )
  const id = flags.id ?? settings.id
  const data = flags.data ?? settings.data
  if (!id) throw usage('a node needs an id', 'Give one, such as --id n1.')
  const fault = nodeNameFault(id)
  if (fault) throw usage(`invalid node id: ${fault}`, 'Choose another id.')
  if (!data) throw usage('a node needs a data directory', 'Give --data DIR.')
  const zone = flags.zone ?? settings.zone ?? null
  const zoneFault = zone === null ? null : nodeNameFault(zone)
  if (zoneFault) throw usage(`invalid zone: ${zoneFault}`, 'Choose another name.')
  const log = openLog({ level: logLevel(context), fields: { node: id } })
  for (const suspect of suspectVariables(context.io.env)) log.logger.warn({}, suspect)
  const address = httpSetting(flags.http) ?? settings.http
  const httpAddress = address === undefined ? '127.0.0.1:0' : address
  const tokenFile = flags.httpTokenFile ?? context.io.env['ENGRAM_HTTP_TOKEN_FILE']
  const options = {
    id,
    data,
    nats: settings.nats,
    config: settings.config,
    log,
    chaos: flags.chaos ?? context.io.env['ENGRAM_CHAOS'] === '1',
    zone,
    requiresData: flags.requireData ?? context.io.env['ENGRAM_REQUIRE_DATA'] === '1',
    http: httpAddress === null ? null : {
      address: httpAddress,
      token: tokenFor(httpAddress, tokenFile),
      inspectPayloads: flags.inspectPayloads ?? false,
    },
    mergeRules: await loadMergeRules(settings.merge),
    replyPrefixes: settings.replyPrefixes,
  }
  outliveReaders()
  try {
    return await superviseNode(context, options, flags.json ?? false)
  } finally {
    await log.sink.flush(lastLinesMs)
  }
}

const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

function logLevel(context: Context): LogLevel {
  const given = context.io.env['ENGRAM_LOG_LEVEL'] ?? 'info'
  const level = logLevels.find((known) => known === given)
  if (level) return level
  throw usage(`ENGRAM_LOG_LEVEL=${given} is not a log level`, `Use ${logLevels.join(', ')}.`)
}

/** Names that begin with _, such as `_all`, are used in subjects. */
function nodeNameFault(id: string): string | null {
  return nameFault(id) ?? (id.startsWith('_') ? 'a node name does not begin with _' : null)
}

/** Time for a start to be given up when the node is stopped before it runs, ms. */
const startStopMs = 1000
/** Time beyond the node's own deadline for a stop, ms. */
const lateMs = 2000
/** Time to write the last log lines, ms. */
const lastLinesMs = 500

async function superviseNode(
  context: Context,
  options: Omit<NodeOptions, 'stopRequested'>,
  json: boolean,
): Promise<Action> {
  const signals = endSignals('node')
  const stopRequested = stopReason(context, signals)
  // Loaded lazily: storage and actors, which no other command needs.
  const { startNode } = await import('../node/node.js')
  if (signals.seen > 0) return exit.ok
  const starting = startNode({ ...options, stopRequested })
  const node = await Promise.race([starting, stopRequested.then(() => null)])
  if (node === null) {
    // The start is given up. If that takes longer, the process ends as in a crash, which is safe.
    await within(starting, startStopMs)
    return exit.ok
  }
  printReady(context, node, json)
  const reason = await Promise.race([node.finished, stopRequested])
  if (typeof reason === 'number') return reason
  return await within(node.finished, options.config.stopMs + lateMs) ?? exit.failed
}

function printReady(context: Context, node: RunningNode, json: boolean): void {
  const { node: it } = node.status()
  if (json) {
    context.printJson({
      ready: true,
      id: it.id,
      pid: it.pid,
      http: it.http,
      data: it.data,
      page: node.page,
    })
  } else {
    context.print(`${it.id} is ready: pid ${it.pid}, ${node.page ?? 'no HTTP'}, data ${it.data}`)
  }
}

/** Resolves with the reason when a signal or the end of the parent process stops this node. */
function stopReason(context: Context, signals: EndSignals): Promise<string> {
  return new Promise((resolve) => {
    void signals.first.then(resolve)
    if (context.io.env['ENGRAM_LIFELINE'] !== 'stdin') return
    // `engram up` holds the other end, which closes however that process ends.
    const { stdin } = context.io
    for (const event of ['end', 'close', 'error']) {
      stdin.once(event, () => resolve('engram up has ended'))
    }
    stdin.resume()
  })
}

/** Result of the promise. undefined if it fails or takes longer. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([promise.catch(() => undefined), late])
  } finally {
    clearTimeout(timer)
  }
}

function parseSets(sets: readonly string[]): Record<string, string> {
  return Object.fromEntries(sets.map((set) => {
    const at = set.indexOf('=')
    if (at < 1) throw usage(`${set} is not option=value`, 'For example: --set heartbeatMs=200')
    return [set.slice(0, at), set.slice(at + 1)]
  }))
}

function showOptions(context: Context, json: boolean): void {
  if (json) return context.printJson({ options, wordOptions, listOptions, fileOptions })
  const numbers = Object.entries({ ...options, ...wordOptions }).map(([name, info]) => [
    name,
    String(info.default),
    info.unit,
    environmentName(name),
    info.doc,
  ])
  const lists = Object.entries(listOptions).map(([name, info]) => [
    name,
    info.default.join(','),
    info.unit,
    environmentName(name),
    info.doc,
  ])
  const others = Object.entries(fileOptions).map(([name, info]) => [
    name,
    'none',
    info.unit,
    '(config file only)',
    info.doc,
  ])
  context.print(
    table(['OPTION', 'DEFAULT', 'UNIT', 'ENVIRONMENT', 'MEANING'], [...numbers, ...lists,
      ...others]),
  )
}
