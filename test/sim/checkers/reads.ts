/** Reads: the value as of the sequence that the answer names, within the bounds asked for. */
import type { LogEntry } from '../../../machines/memory.js'
import type { ReadAnswer } from '../../../actors/ports.js'
import type { ReadRecord } from '../history.js'
import type { World } from '../world.js'
import { tokenOf } from './books.js'

/** Answers give whole milliseconds; clocks may run ten per cent slow. */
const roundingMs = 1
const driftMax = 1.1
/**
 * A notice that is lost alone, on a connection that lives, is told again at each heartbeat; ages
 * are understated meanwhile. (NATS does so to a slow consumer only.)
 */
const lostNoticeMs = 1500

type Answered = ReadRecord & { readonly answer: ReadAnswer; readonly answeredAtMs: number }

/** `log`: the final one, of the primary. */
export function checkReads(world: World, log: readonly LogEntry[]): void {
  if (world.checks.record.mayLoseCommitted) return
  const answered = world.history.reads.flatMap((read): Answered[] => {
    const { answer, answeredAtMs } = read.attempt
    return answer?.ok && answeredAtMs !== null ? [{ ...read, answer, answeredAtMs }] : []
  })
  const reader = new LogReader(log)
  for (const read of answered) {
    checkValue(world, read, reader)
    checkBounds(world, read)
  }
  checkRecency(world, answered)
  checkMonotonic(world, answered)
}

/** Values of the workload's ids at every sequence of the log. */
class LogReader {
  private readonly writes = new Map<string, { sequence: number; token: string }[]>()
  private readonly ends = new Map<number, number>()

  constructor(private readonly log: readonly LogEntry[]) {
    for (const entry of log) {
      this.ends.set(entry.epoch, entry.sequence)
      if (entry.operation.type !== 'StoreNode') continue
      const { id } = entry.operation.node
      const token = tokenOf(entry) ?? ''
      const there = this.writes.get(id)
      if (there) there.push({ sequence: entry.sequence, token })
      else this.writes.set(id, [{ sequence: entry.sequence, token }])
    }
  }

  valueAt(id: string, sequence: number): string | null {
    return this.writes.get(id)?.findLast((write) => write.sequence <= sequence)?.token ?? null
  }

  /** As many as the answer had: it may stop early, at a frame or at its size. */
  entries(from: number, upTo: number, count: number): readonly LogEntry[] {
    const least = Math.min(1, Math.max(0, upTo - from + 1))
    return this.log.slice(from - 1, Math.min(upTo, from - 1 + Math.max(least, count)))
  }

  /** Whether what a reign's primary had at the sequence is what the log has there. */
  covers(epoch: number, sequence: number): boolean {
    return sequence <= (this.ends.get(epoch) ?? 0)
  }

  epochAt(sequence: number): number {
    return this.log[sequence - 1]?.epoch ?? 0
  }
}

function checkValue(world: World, read: Answered, reader: LogReader): void {
  const { answer, query, target, committed } = read
  const isCommitted = target === 'any' || committed
  if (target === 'any' && reader.epochAt(answer.sequence) !== answer.epoch) {
    world.violate('read', `${answer.node} answers from (${answer.epoch}, ${answer.sequence}), `
      + `the log has epoch ${reader.epochAt(answer.sequence)} there`)
  }
  // An uncommitted tail may have become a fork.
  if (!isCommitted && !reader.covers(answer.epoch, answer.sequence)) return
  const [value, expected] = 'nodeId' in query
    ? [(answer.value as { content?: string } | null)?.content ?? null,
      reader.valueAt(query.nodeId, answer.sequence)]
    : [JSON.stringify(answer.value), JSON.stringify(reader.entries(query.from, answer.sequence,
      (answer.value as unknown[]).length))]
  if (value === expected) return
  world.violate('read', `${JSON.stringify(query)} at ${answer.node} (${target}) as of `
    + `${answer.sequence} gives ${value}, the log says ${expected}`)
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
    const before = target === 'primary' ? attempt.sentAtMs
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
      && before.answer.sequence > read.answer.sequence) {
      world.violate('read', `${read.client} read as of ${before.answer.sequence}, then as of `
        + `${read.answer.sequence}, both in epoch ${read.answer.epoch}`)
    }
    lanes.set(lane, read)
  }
}
