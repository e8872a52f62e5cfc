/** Reads: the value as of the sequence that the answer names, within the bounds asked for. */
import type { FateValue, ReadAnswer } from '../../../actors/ports/clientApi.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import type { ForkReport, QuarantineItem } from '../../../machines/log/forkNotes.js'
import type { ReadRecord } from '../history.js'
import type { World } from '../world.js'
import { nameOf } from './entries.js'
import { ForkModel } from './forkModel.js'

/** Answers give whole milliseconds; clocks may run ten per cent slow. */
const roundingMs = 1
const driftMax = 1.1
/**
 * A notice that is lost alone, on a connection that lives, is repeated at each heartbeat; ages
 * are understated meanwhile. (NATS does so to a slow consumer only.)
 */
const lostNoticeMs = 1500

const fates: ReadonlySet<string> = new Set<FateValue['fate']>([
  'safe',
  'committed',
  'durable',
  'superseded',
  'quarantined',
  'salvaged',
  'lost',
  'unknown',
])

type Answered = ReadRecord & { readonly answer: ReadAnswer; readonly answeredAtMs: number }

/** `log`: the final one, of the primary. */
export function checkReads(world: World, log: readonly LogEntry[]): void {
  if (world.checks.record.mayLoseCommitted) return
  const answered = world.history.reads.flatMap((read): Answered[] => {
    const { answer, answeredAtMs } = read.attempt
    return answer?.ok && answeredAtMs !== null ? [{ ...read, answer, answeredAtMs }] : []
  })
  checkValues(world, answered, log)
  for (const read of answered) {
    checkBounds(world, read)
    if (read.query.type === 'GetFate') checkFate(world, read, log)
  }
  checkRecency(world, answered)
  checkMonotonic(world, answered)
}

/** Each against the model as it is when the log has been applied up to the answer's sequence. */
function checkValues(world: World, answered: readonly Answered[], log: readonly LogEntry[]): void {
  const ends = new Map(log.map(({ epoch, sequence }) => [epoch, sequence]))
  const model = new ForkModel()
  let applied = 0
  for (const read of answered.toSorted((a, b) => a.answer.sequence - b.answer.sequence)) {
    const { answer: { sequence, epoch, node }, target, committed } = read
    const at = log[sequence - 1]?.epoch ?? 0
    if (target === 'any' && at !== epoch) {
      world.violate('read', `${node} answers from (${epoch}, ${sequence}), the log has epoch `
        + `${at} there`)
    }
    for (; applied < Math.min(sequence, log.length); applied += 1) model.apply(log[applied]!)
    const isCommitted = target === 'any' || committed
    // An uncommitted tail may have become a fork.
    if (!isCommitted && sequence > (ends.get(epoch) ?? 0)) continue
    const given = expected(read, model, log, isCommitted)
    if (!given) continue
    world.checks.saw(`reads checked: ${read.query.type}`)
    const [value, due] = given.map((one) => JSON.stringify(sorted(one)))
    if (value === due) continue
    world.violate('read', `${JSON.stringify(read.query)} at ${node} (${target}) as of ${sequence} `
      + `gives ${value}, the log says ${due}`)
  }
}

/** The value given, and the value due; null: the answer's sequence does not say what it knew. */
function expected(
  { query, answer: { value, sequence } }: Answered,
  model: ForkModel,
  log: readonly LogEntry[],
  isCommitted: boolean,
): [value: unknown, due: unknown] | null {
  switch (query.type) {
    case 'GetNode':
      return [value, model.nodes.get(query.nodeId)?.node ?? null]
    case 'GetEdges': {
      const due = [...model.edges.values()].map(({ edge }) => edge)
        .filter(({ source }) => source === query.nodeId)
      return [value, due.toSorted((a, b) => (a.target < b.target ? -1 : 1))]
    }
    case 'GetEntries':
      return [value, entriesAsShown(log, query, sequence, (value as unknown[]).length)]
    case 'GetForks': {
      // Fork reports are read from the store, whose state a primary's latest sequence does not show.
      if (!isCommitted) return null
      return [(value as ForkReport[]).map(shortReport), reportsOf(model)]
    }
    case 'GetQuarantine': {
      if (!isCommitted) return null
      const due = [...model.items.values()]
        .toSorted((a, b) =>
          a.origin.epoch - b.origin.epoch || a.origin.sequence - b.origin.sequence
        )
      return [(value as QuarantineItem[]).map(({ id, operation }) => ({ id, operation })),
        due.slice(0, query.limit).map(({ origin, operation }) => ({ id: nameOf(origin),
          operation })
        )]
    }
    default:
      return null
  }
}

/** As many as the answer had: it may stop early, at a frame or at its size. */
function entriesAsShown(
  log: readonly LogEntry[],
  { from }: { from: number },
  upTo: number,
  count: number,
): unknown[] {
  const least = Math.min(1, Math.max(0, upTo - from + 1))
  return log.slice(from - 1, Math.min(upTo, from - 1 + Math.max(least, count)))
    .map((entry) => (entry.reconciliation
      ? { ...entry, origin: entry.reconciliation.origin }
      : entry)
    )
}

export function shortReport(report: ForkReport): object {
  const {
    epoch,
    outcome,
    lost,
    resent,
    merged,
    superseded,
    quarantined,
    discarded,
    salvages,
  } = report
  return {
    epoch,
    outcome,
    lost,
    resent,
    merged,
    superseded,
    quarantined,
    discarded,
    salvages: Object.fromEntries(
      salvages.map(({ node, name, state }) => [`${node}/${name}`, state]),
    ),
  }
}

/** In the form of `shortReport`, counted anew. */
export function reportsOf(model: ForkModel): object[] {
  return [...model.reports].toSorted(([a], [b]) => a - b)
    .map(([epoch, { outcome, lost, salvages }]) => ({
      epoch,
      outcome,
      lost,
      ...model.counts(epoch),
      salvages: Object.fromEntries(salvages),
    }))
}

/** With fields in one order. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, one]) => [name, sorted(one)]))
}

/** "Safe" and "committed" are promises: the write is in every later log, where they say. */
function checkFate(world: World, { query, answer, target }: Answered,
  log: readonly LogEntry[]): void
{
  const value = answer.value as FateValue
  world.checks.saw(`fates given: ${value.fate}`)
  const given = `${JSON.stringify(query)} at ${answer.node} (${target}) gives ${
    JSON.stringify(value)
  }`
  if (!fates.has(value.fate) || typeof value.reason !== 'string') {
    world.violate('fate', `${given}, which makes no sense`)
  }
  const { fate, now, epoch, sequence } = value
  if (fate === 'safe' || fate === 'committed') {
    const isThere = now !== null && log[now.sequence - 1]?.epoch === now.epoch
    if (!isThere) world.violate('fate', `${given}, and the log has no such entry`)
  }
  const isInLog = sequence !== null && log[sequence - 1]?.epoch === epoch
  if (fate === 'lost' && isInLog) world.violate('fate', `${given}, and it is in the log`)
}

function checkBounds(world: World, { answer, minSequence, maxStalenessMs }: Answered): void {
  if (answer.sequence < minSequence) {
    world.violate('read', `${answer.node} answers as of ${answer.sequence}, `
      + `${minSequence} was asked for`)
  }
  if (answer.stalenessMs > maxStalenessMs) {
    world.violate('read', `${answer.node} answers ${answer.stalenessMs} ms old, `
      + `${maxStalenessMs} were asked for`)
  }
}

/**
 * A primary read sees what was answered as committed before it was asked for; a member's answer
 * what was so answered more than its staleness ago.
 */
function checkRecency(world: World, answered: readonly Answered[]): void {
  const commits = [...world.history.acknowledged()]
    .filter(({ answer }) => answer.ack === 'committed')
    .map(({ attempt, answer }) => ({ atMs: attempt.answeredAtMs!, sequence: answer.sequence }))
    .toSorted((a, b) => a.atMs - b.atMs)
  const slackMs = world.plan.faults.some(({ kind }) => kind === 'drop') ? lostNoticeMs : 0
  let highest = 0
  for (const commit of commits) commit.sequence = highest = Math.max(highest, commit.sequence)
  for (const { answer, target, attempt } of answered) {
    const before = target === 'primary'
      ? attempt.sentAtMs
      : attempt.sentAtMs - ((answer.stalenessMs ?? Infinity) + roundingMs) * driftMax - slackMs
    const due = commits.findLast(({ atMs }) => atMs < before)
    if (!due || answer.sequence >= due.sequence) continue
    world.violate('read', `${answer.node} (${target}, ${answer.stalenessMs} ms old) answers as of `
      + `${answer.sequence} a read of ${attempt.sentAtMs.toFixed(1)} ms; committed was `
      + `${due.sequence} at ${due.atMs.toFixed(1)} ms`)
  }
}

/** Within an epoch, a client that asks the primary again does not see an earlier state. */
function checkMonotonic(world: World, answered: readonly Answered[]): void {
  const lanes = new Map<string, Answered>()
  for (const read of answered.toSorted((a, b) => a.attempt.number - b.attempt.number)) {
    if (read.target !== 'primary') continue
    const lane = `${read.client}/${read.committed}/${read.answer.epoch}`
    const before = lanes.get(lane)
    if (before && before.answeredAtMs <= read.attempt.sentAtMs
      && before.answer.sequence > read.answer.sequence)
    {
      world.violate('read', `${read.client} read as of ${before.answer.sequence}, then as of `
        + `${read.answer.sequence}, both in epoch ${read.answer.epoch}`)
    }
    lanes.set(lane, read)
  }
}
