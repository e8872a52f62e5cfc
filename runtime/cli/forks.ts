/** engram forks, engram forks close | reconcile */
import type { Command } from 'commander'
import type { ForkReport } from '../../machines/log/forkNotes.js'
import type { EngramClient } from '../client/client.js'
import { AdminError } from '../client/errors.js'
import type { ConnectionFlags } from '../config/sources.js'
import { atRiskText, openReportOf, waitingWrites, waitText } from '../status/forks.js'
import type { ClusterSpace, ClusterStatus } from '../status/status.js'
import { connectionOptions, durationOption, exit, jsonOption, noNodes, RemediedError,
  whole } from './context.js'
import type { Action, Context } from './context.js'
import { endingOf } from './errors.js'
import { checkSpaceName } from './space.js'
import { showCount, table } from './text.js'

interface ForksFlags extends ConnectionFlags {
  readonly deadline: number
  readonly json?: boolean
}

type CommandFlags = ConnectionFlags & { readonly json?: boolean }

export function addForks(program: Command, context: Context): void {
  const forks = connectionOptions(program.command('forks')
    .argument('[space]', 'only this space (default: all)'))
    // Options after the name of a subcommand belong to it, even if this command has them too.
    .enablePositionalOptions()
    .summary('list fork reports: what became of writes that a failover left behind')
    .description('If an epoch ends without a handover, its primary may have acknowledged writes '
      + 'that the next primary does not have: a fork. Each such epoch has a fork report. It says '
      + 'how many writes are at risk, what became of those that were found, and what it waits for.')
    .addOption(durationOption('--deadline <duration>', 'for each space', 10_000))
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram forks
  engram forks demo                 # also says what its open reports wait for
  engram forks close demo 3         # give up the writes of epoch 3 that are missing
  engram forks reconcile demo       # merge salvages, if the space has reconcile manual
  engram forks --json | jq '.spaces[].reports[] | select(.outcome == null)'`)
    .action(
      context.act((space: string | undefined, flags: ForksFlags) => show(context, space, flags)),
    )
  connectionOptions(forks.command('close').argument('<space>')
    .argument('<epoch>', 'epoch that ended', whole(1, Number.MAX_SAFE_INTEGER)))
    .summary('give up a fork report')
    .description('Closes the report as dismissed. Writes of the epoch that are still missing count '
      + 'as lost. Use it if a disk is gone for good.')
    .addOption(jsonOption())
    .action(
      context.act((space: string, epoch: number, _flags: CommandFlags, command: Command) =>
        close(context, space, epoch, command.optsWithGlobals())
      ),
    )
  connectionOptions(forks.command('reconcile').argument('<space>'))
    .summary('merge salvages into the log')
    .description('Makes every node upload its salvages of the space now. For spaces with reconcile '
      + 'manual, which wait for this command.')
    .addOption(jsonOption())
    .action(
      context.act((space: string, _flags: CommandFlags, command: Command) =>
        reconcile(context, space, command.optsWithGlobals())
      ),
    )
}

interface SpaceForks {
  readonly id: string
  readonly reports: readonly ForkReport[]
  /** Number of writes in quarantine now. */
  readonly quarantined: number
}

/** Number of spaces asked at the same time. */
const askedMax = 16

async function show(
  context: Context,
  name: string | undefined,
  flags: ForksFlags,
): Promise<Action> {
  if (name !== undefined) checkSpaceName(name)
  return await context.withClient(flags, async (client) => {
    const status = await client.status()
    const ids = name === undefined ? idsOf(client, status) : [name]
    const found: SpaceForks[] = []
    let faults = 0
    const ask = async (id: string): Promise<void> => {
      const deadlineMs = flags.deadline
      const reports = await client.readAll(id, { type: 'GetForks' }, { deadlineMs })
      const known = status.spaces.find((space) => space.id === id)
      found.push({ id, reports, quarantined: known?.forks?.quarantined ?? 0 })
    }
    const left = [...ids]
    await Promise.all(Array.from({ length: askedMax }, async () => {
      for (let id = left.shift(); id !== undefined; id = left.shift()) {
        try {
          await ask(id)
        } catch (error) {
          // One space without a primary must not hide the others.
          if (name !== undefined) throw error
          faults += 1
          context.note(`${id} is left out: ${endingOf(error).label}`)
        }
      }
    }))
    const spaces = ids.flatMap((id) => found.find((one) => one.id === id) ?? [])
    if (flags.json) context.printJson({ spaces })
    else print(context, spaces, name, status)
    return faults === 0 ? exit.ok : exit.failed
  })
}

function idsOf(client: EngramClient, status: ClusterStatus): string[] {
  if (status.nodes.length > 0) return status.spaces.map(({ id }) => id)
  throw noNodes(client)
}

function print(
  context: Context,
  spaces: readonly SpaceForks[],
  name: string | undefined,
  status: ClusterStatus,
): void {
  const some = spaces.filter(({ reports, quarantined }) => reports.length > 0 || quarantined > 0)
  if (some.length === 0) {
    return context.note(`no forks${name === undefined ? '' : ` of ${name}`}: every epoch ended `
      + 'with a handover, or all of its writes were found')
  }
  context.print(some.map((one) => {
    const said = status.spaces.find(({ id }) => id === one.id)
    return [
      ...(name === undefined ? [`SPACE ${one.id}`] : []),
      ...(one.reports.length > 0 ? [reportTable(one.reports)] : []),
      ...(one.quarantined > 0
        ? [`${showCount(one.quarantined)} in quarantine: `
          + `engram quarantine list ${one.id}`]
        : []),
      ...(name === undefined ? [] : waits(one, said)),
    ].join('\n')
  }).join('\n\n'))
}

function reportTable(reports: readonly ForkReport[]): string {
  return table(
    ['EPOCH', 'PRIMARY', 'FORK POINT', 'AT RISK', 'RESENT', 'MERGED', 'SUPERSEDED', 'QUARANTINED',
      'WAITING', 'LOST', 'STATE', 'OPENED'],
    reports.map((report) => [
      String(report.epoch),
      report.node,
      `(${report.forkPoint.epoch}, ${report.forkPoint.sequence})`,
      atRiskText(openReportOf(report)),
      ...[report.resent, report.merged, report.superseded, report.quarantined,
        waitingWrites(report)].map(showCount),
      report.outcome === null ? '-' : lostText(report),
      report.outcome ?? 'open',
      new Date(report.openedAtMs).toISOString(),
    ]),
  )
}

/** Zero is exact. Any other number is a lower bound. */
function lostText({ lost }: ForkReport): string {
  return lost === 0 ? '0' : `at least ${showCount(lost)}`
}

/** Lines that say what open reports wait for, and why the others were closed. */
function waits({ id, reports }: SpaceForks, status: ClusterSpace | undefined): string[] {
  const space = status ?? { id, members: [] }
  const lines = reports.map((report) => {
    const text = report.outcome === null ? waitText(openReportOf(report), space) : report.reason
    return text === '' ? '' : `  epoch ${report.epoch}: ${text}`
  }).filter((line) => line !== '')
  return lines.length === 0 ? [] : ['', ...lines]
}

async function close(
  context: Context,
  space: string,
  epoch: number,
  flags: CommandFlags,
): Promise<void> {
  checkSpaceName(space)
  await context.withClient(flags, async (client) => {
    const answer = await client.adminAtPrimary({ type: 'closeFork', space, epoch })
      .catch((error: unknown) => {
        if (!(error instanceof AdminError) || error.code !== 'INVALID_OPERATION') throw error
        throw new RemediedError(error, `List reports: engram forks ${space}`)
      })
    if (flags.json) context.printJson(answer)
    else context.print(answer.message ?? `closed the report on epoch ${epoch} of ${space}`)
  })
}

type NodeAnswer =
  | { readonly node: string; readonly started: boolean }
  | { readonly node: string; readonly fault: string }

async function reconcile(context: Context, space: string, flags: CommandFlags): Promise<Action> {
  checkSpaceName(space)
  return await context.withClient(flags, async (client) => {
    const status = await client.status()
    const known = status.spaces.find(({ id }) => id === space)
    if (status.nodes.length > 0 && !known) {
      throw new AdminError('UNKNOWN_SPACE', `no node knows the space ${space}`, false)
    }
    // Former members may have salvages too.
    const answered = status.nodes.filter(({ pid }) => pid !== null).map(({ id }) => id)
    if (answered.length === 0) idsOf(client, status)
    const nodes = await Promise.all(answered.map((node) => reconcileAt(client, node, space)))
    if (flags.json) context.printJson({ nodes })
    else for (const answer of nodes) context.print(answerText(answer, space))
    const away = known?.members.filter(({ node }) => !answered.includes(node)) ?? []
    for (const { node } of away) {
      context.note(`${node} does not answer: its salvages wait until it is back`)
    }
    return nodes.some((answer) => 'fault' in answer) ? exit.failed : exit.ok
  })
}

async function reconcileAt(
  client: EngramClient,
  node: string,
  space: string,
): Promise<NodeAnswer> {
  try {
    const { started } = await client.admin({ type: 'reconcile', space }, { node })
    return { node, started: started ?? false }
  } catch (error) {
    // A node that is no member of the space has nothing of it.
    if (error instanceof AdminError && error.code === 'UNKNOWN_SPACE') {
      return { node, started: false }
    }
    return { node, fault: endingOf(error).label }
  }
}

function answerText(answer: NodeAnswer, space: string): string {
  if ('fault' in answer) return `${answer.node}: ${answer.fault}`
  return answer.started
    ? `${answer.node} uploads its salvages of ${space}`
    : `${answer.node} has no salvages of ${space}`
}
