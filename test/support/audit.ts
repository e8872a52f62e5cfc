/** The final at the end: the log of every member, and the salvage files of every disk. */
import type { LogEntry } from '../../machines/log/entries.js'
import type { ForkReport } from '../../machines/log/forkNotes.js'
import { cliHere, findObjects, jsonOf } from './cli.js'
import { positive } from './client.js'
import type { AnyCluster } from './cluster.js'
import type { FinalState, History, SalvagedEntry } from './history.js'
import { notYet, waitFor } from './wait.js'

const pageLimit = 500
const triesWithoutProgressMax = 400
const readTimeoutMs = 1000
/** A read without an answer counts as so many without progress: it takes as long. */
const timeoutTries = 20

/**
 * Logs of the given members, read page by page. `.any` is a queue group: which member answers is
 * the broker's choice, so it is asked until each of them has answered for each page. A connection
 * whose other end has vanished takes its share, unanswered, for as long as the broker holds it:
 * such a read is asked again, as any client would.
 */
export async function readLogs(
  cluster: AnyCluster,
  members: readonly { readonly node: string; readonly firstSequence?: number | null }[],
  end: number,
): Promise<Map<string, LogEntry[]>> {
  const logs = new Map(
    members.map((
      { node, firstSequence },
    ) => [node, { first: firstSequence ?? 1, entries: [] as LogEntry[] }]),
  )
  const nextOf = ({ first, entries }: { first: number; entries: readonly LogEntry[] }) =>
    first + entries.length
  let idle = 0
  for (;;) {
    const behind = [...logs].filter(([, log]) => nextOf(log) <= end)
    const [wanted] = behind
    if (!wanted) return withBeginnings(logs)
    const from = nextOf(wanted[1])
    const query = { type: 'GetEntries', from, limit: pageLimit }
    const reply = await cluster.client.read(query, { any: true, timeoutMs: readTimeoutMs })
    if (!reply.ok && reply.code === 'TIMEOUT' && idle < triesWithoutProgressMax) {
      idle += timeoutTries
      continue
    }
    // A member that was installed has no entries from before.
    if (!reply.ok && reply.code === 'TRUNCATED' && idle < triesWithoutProgressMax) {
      idle += 1
      continue
    }
    const answer = positive(reply, `GetEntries from ${from}`)
    const log = logs.get(answer.node)
    const page = entriesOf(answer.value)
    const isNext = log !== undefined && nextOf(log) === from
    idle = isNext && page.length > 0 ? 0 : idle + 1
    if (isNext) log.entries.push(...page)
    if (idle > triesWithoutProgressMax) {
      throw new Error(`GetEntries from ${from} on engram.v1.read.demo.any: none of `
        + `${behind.map(([id, got]) => `${id} (has ${nextOf(got) - 1} of ${end})`).join(', ')} `
        + `answered with entries in ${idle} tries; last answer: `
        + JSON.stringify(answer).slice(0, 300))
    }
  }
}

/** Logs that begin later get their beginning from one that has it: digests were compared. */
function withBeginnings(
  logs: ReadonlyMap<string, { readonly first: number; readonly entries: LogEntry[] }>,
): Map<string, LogEntry[]> {
  const whole = [...logs.values()].find(({ first }) => first === 1)?.entries
  return new Map([...logs].map(([node, { first, entries }]) => {
    if (first === 1) return [node, entries]
    if (!whole) throw new Error('no member has the log from its first entry')
    return [node, [...whole.slice(0, first - 1), ...entries]]
  }))
}

/** The value is the list of entries, or an object that holds it. */
export function entriesOf(value: unknown): LogEntry[] {
  return findObjects<LogEntry>(value, isEntry)
}

function isEntry(candidate: Record<string, unknown>): boolean {
  return typeof candidate['sequence'] === 'number' && typeof candidate['epoch'] === 'number'
    && typeof candidate['operation'] === 'object'
}

export interface SalvageListing {
  readonly name: string
}

export async function listSalvages(directory: string): Promise<SalvageListing[]> {
  const result = await cliHere(['salvage', 'list', directory, '--json'])
  if (result.stdout.trim() === '') return []
  return findObjects<SalvageListing>(jsonOf(result), (one) => typeof one['name'] === 'string')
}

export async function readSalvages(directory: string): Promise<SalvagedEntry[]> {
  const found: SalvagedEntry[] = []
  for (const { name } of await listSalvages(directory)) {
    const shown = await cliHere(['salvage', 'show', directory, name, '--json'])
    for (const entry of entriesOf(jsonOf(shown))) found.push({ ...entry, file: name })
  }
  return found
}

/**
 * The end of a fault test: waits until nothing is on its way home from a fork any more and the
 * members are at one place with equal digests, reads all logs and salvages, and checks the history
 * against them.
 */
export async function audit(
  cluster: AnyCluster,
  history: History,
  count?: number,
): Promise<FinalState> {
  await cluster.converged(count)
  await forksHome(cluster)
  const members = await cluster.converged(count)
  const end = members[0]?.endSequence ?? 0
  const logs = await readLogs(cluster, members, end)
  const salvaged: SalvagedEntry[] = []
  for (const node of cluster.nodes.values()) salvaged.push(...await readSalvages(node.data))
  const final = { logs, salvaged }
  history.assertSound(final)
  return final
}

/** Fork reports of the primary, oldest first. */
export async function forkReports(cluster: AnyCluster): Promise<ForkReport[]> {
  const reply = await cluster.client.read({ type: 'GetForks' }, { timeoutMs: 2000 })
  return positive(reply, 'GetForks').value as ForkReport[]
}

/** Waits until each report on an epoch of a running node is closed; returns all reports. */
export async function forksHome(cluster: AnyCluster): Promise<ForkReport[]> {
  return await waitFor('the reports on epochs of running nodes to be closed', async () => {
    const reports = await forkReports(cluster)
    const open = reports.filter(({ outcome, node }) =>
      outcome === null && cluster.nodes.get(node)?.isRunning
    )
    return open.length === 0 ? reports : notYet(JSON.stringify(open))
  }, { seconds: 20, everyMs: 50 })
}

/** Every write was answered in the end, none refused (I10 as a client sees it). */
export function assertAllTaken(history: History): void {
  const open = history.records.filter((record) => record.outcome !== 'taken')
  if (open.length === 0) return
  const shown = open.slice(0, 5).map((record) =>
    `${record.key} ${record.outcome}: ${JSON.stringify(record.attempts.at(-1)?.answer)}`
  )
  throw new Error(`${open.length} of ${history.records.length} writes were never taken:\n  `
    + `${shown.join('\n  ')}\n${history.summary()}`)
}

/** Not one attempt failed: what a planned handover promises to clients. */
export function assertNoErrors(history: History): void {
  const failures = history.failures()
  if (failures.size === 0) return
  throw new Error(`clients saw errors where none are allowed: ${history.summary()}`)
}
