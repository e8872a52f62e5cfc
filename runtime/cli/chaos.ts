/** engram chaos */
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { InvalidArgumentError } from 'commander'
import type { Command } from 'commander'
import { Control } from '../chaos/control.js'
import { ChaosRefusedError } from '../chaos/errors.js'
import { faultKinds, faultLongestMs } from '../chaos/plan.js'
import type { FaultKind } from '../chaos/plan.js'
import type { ChaosReport, Progress } from '../chaos/run.js'
import { connect } from '../client/client.js'
import type { EngramClient } from '../client/client.js'
import { readUpRecord } from '../cluster/clusterFile.js'
import type { UpRecord } from '../cluster/clusterFile.js'
import type { ConnectionFlags } from '../config/sources.js'
import { showAudit } from './chaosText.js'
import { CliError, connectionOptions, defaultData, durationOption, exit, jsonOption, usage,
  whole } from './context.js'
import type { Action, Context } from './context.js'
import { checkSpaceName } from './space.js'
import { showCount, showMs } from './text.js'

interface ChaosFlags extends ConnectionFlags {
  readonly for: number
  readonly faults?: readonly FaultKind[]
  readonly data?: string
  readonly rate: number
  readonly seed?: number
  readonly json?: boolean
}

const shortestMs = 2 * faultLongestMs
const longestMs = 3_600_000

export function addChaos(program: Command, context: Context): void {
  connectionOptions(program.command('chaos').argument('<space>'))
    .summary('inject faults into a cluster and check that it keeps its promises')
    .description('Writes numbered records at mixed ack levels while it injects faults into an '
      + '`engram up` cluster, one at a time: it kills actors, kills and pauses nodes, kills the '
      + 'broker, cuts connections and fills disks. Then it makes an audit: it compares what was '
      + 'acknowledged with the log and the salvages, and with what the cluster says (engram fate, '
      + 'engram forks). Exits 1 if a promise was broken.')
    .addOption(durationOption('--for <duration>', 'how long to run load and inject faults', 60_000))
    .option('--faults <list>', `kinds of faults: ${faultKinds.join(',')} (default: all)`,
      parseFaults)
    .option('--data <dir>', 'data directory of the engram up (default: found from its nodes, else '
      + `${defaultData})`)
    .option('--rate <n>', 'writes per second', whole(1, 5000), 200)
    .option('--seed <n>', 'repeat the faults of an earlier run with this seed (default: random)',
      whole(0, 2 ** 31 - 2))
    .addOption(jsonOption())
    .addHelpText('after', `
Faults that cannot be injected into this cluster are listed and skipped:
  actor    kills an actor: any \`engram up\`; other nodes if started with --chaos
  kill     SIGKILL of a node, which engram up starts again: any \`engram up\`
  pause    SIGSTOP of a node, shorter or longer than its lease: any \`engram up\`
  broker   SIGKILL of the nats-server: if engram up started it
  network  cuts or stalls the connection of a node: \`engram up --chaos\`
  disk     fills the disk of a node whose data directory is a small file system of its own:
           at most 1 GiB, mounted as root before engram up, such as:
           mount -t tmpfs -o size=256m tmpfs .engram/n2

Do not use it on a space with data that you need: the records stay in the space.

Examples:
  engram up --chaos            # in another terminal
  engram chaos demo --for 2m
  engram chaos demo --faults actor,kill --seed 7 --json`)
    .action(context.act((space: string, flags: ChaosFlags) => chaos(context, space, flags)))
}

function parseFaults(text: string): FaultKind[] {
  const names = text.split(',').map((name) => name.trim()).filter(Boolean)
  const unknown = names.find((name) => !faultKinds.some((kind) => kind === name))
  if (unknown !== undefined || names.length === 0) {
    const what = unknown === undefined ? 'No fault is named' : `${unknown} is not a fault`
    throw new InvalidArgumentError(`${what}. Use some of: ${faultKinds.join(', ')}.`)
  }
  return faultKinds.filter((kind) => names.includes(kind))
}

async function chaos(context: Context, space: string, flags: ChaosFlags): Promise<Action> {
  checkSpaceName(space)
  if (flags.for < shortestMs || flags.for > longestMs) {
    throw usage(`--for ${showMs(flags.for)} is out of range`,
      `Use ${showMs(shortestMs)} to ${showMs(longestMs)}.`)
  }
  const data = resolve(context.io.cwd, flags.data ?? defaultData)
  const record = readUpRecord(data)
  if (flags.data !== undefined && !record?.nats) {
    throw new CliError(`no engram up runs on ${data}`,
      'Start one with engram up --chaos, or name its data directory with --data DIR.')
  }
  const found = located(context, flags, record)
  const { runChaos } = await import('../chaos/run.js')
  const clients = await connectAs(context, found)
  const interrupt = new Interrupt(context)
  const output = new Output(context)
  try {
    const seed = flags.seed ?? randomInt(2 ** 31 - 2)
    context.note(`injecting faults into ${space} for ${showMs(flags.for)}, seed ${seed}`)
    const report = await runChaos({
      ...clients,
      space,
      forMs: flags.for,
      kinds: flags.faults ?? faultKinds,
      rate: flags.rate,
      seed,
      control: await controlOf(clients.operator, record),
      signal: interrupt.signal,
      log: output.line,
      progress: output.progress,
    })
    output.end()
    return print(context, report, flags.json ?? false)
  } catch (error) {
    if (error instanceof ChaosRefusedError) throw new CliError(error.message, error.remedy)
    throw error
  } finally {
    interrupt.ignore()
    await clients.operator.close()
    await clients.writer.close()
  }
}

/** Address of NATS: from the flags, else from the record of --data. */
function located(
  context: Context,
  flags: ChaosFlags,
  record: UpRecord | null,
): ConnectionFlags {
  const { env } = context.io
  const given = flags.nats ?? flags.config
    ?? (flags.data === undefined ? env['ENGRAM_NATS_URL'] ?? env['ENGRAM_CONFIG'] : undefined)
  if (given !== undefined || !record?.nats) return flags
  const auth = record.auth && existsSync(record.auth) ? { natsAuth: record.auth } : {}
  return { nats: record.nats, ...auth, ...flags }
}

/** Two connections, since an operator may not write and a writer may not send commands. */
async function connectAs(
  context: Context,
  flags: ConnectionFlags,
): Promise<{ operator: EngramClient; writer: EngramClient }> {
  const asOperator = context.settings(flags, 'operator').nats
  const asWriter = context.settings(flags, 'writer').nats
  const operator = await connect({ ...asOperator, name: 'engram-chaos' })
  try {
    // Unprotected: the audit is about what the nodes keep, not about what a client resends.
    const writer = await connect({ ...asWriter, name: 'engram-chaos-writer', protect: false })
    return { operator, writer }
  } catch (error) {
    await operator.close()
    throw error
  }
}

/**
 * Control of the `engram up` that owns the nodes of this connection. No other cluster must be
 * harmed. It is the one of --data, or is found beside a node's directory.
 */
async function controlOf(
  operator: EngramClient,
  record: UpRecord | null,
): Promise<Control | null> {
  const { nodes } = await operator.status()
  const parents = new Set(nodes.flatMap(({ data }) => (data === null ? [] : [dirname(data)])))
  const records = [record, ...[...parents].map((parent) => readUpRecord(parent))]
  for (const address of records.map((one) => one?.control)) {
    if (!address) continue
    const control = new Control(address)
    const owned = await control.means().then((means) => means.nodes, () => [])
    const pids = new Set(owned.map(({ pid }) => pid))
    if (nodes.some(({ pid }) => pid !== null && pids.has(pid))) return control
  }
  return null
}

/** Progress on stderr: one changing line on a terminal, else a line every ten seconds. */
class Output {
  readonly #stderr: NodeJS.WriteStream
  #shown = 0

  constructor(context: Context) {
    this.#stderr = context.io.stderr as NodeJS.WriteStream
  }

  readonly line = (text: string): void => {
    this.#stderr.write(`${this.#clear}  ${text}\n`)
  }

  readonly progress = (progress: Progress): void => {
    const { elapsedMs, written, acknowledged, faults, primary, inSync } = progress
    this.#shown += 1
    const { isTTY } = this.#stderr
    if (!isTTY && this.#shown % 10 !== 0) return
    const line = `  ${showMs(elapsedMs)}: ${showCount(acknowledged)} of ${showCount(written)} `
      + `acknowledged, ${faults} faults, primary ${primary ?? 'none'}, in sync ${inSync.join(' ')}`
    this.#stderr.write(isTTY ? `${this.#clear}${line}` : `${line}\n`)
  }

  end(): void {
    this.#stderr.write(this.#clear)
  }

  /** Clears the line. */
  get #clear(): string {
    return this.#stderr.isTTY ? '\r\u001B[K' : ''
  }
}

function print(context: Context, report: ChaosReport, json: boolean): Action {
  if (json) context.printJson(report)
  else context.print(showAudit(report))
  return report.ok ? exit.ok : exit.failed
}

/** The first Ctrl-C ends the faults, and the audit is made. A second one ends at once. */
class Interrupt {
  readonly #controller = new AbortController()
  readonly #onSignal = (): void => {
    if (this.signal.aborted) process.exit(exit.failed)
    this.#controller.abort()
    this.context.note('ending early; press Ctrl-C again to stop without the audit')
  }

  constructor(private readonly context: Context) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.#onSignal)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  ignore(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#onSignal)
  }
}
