/**
 * Requests and answers of a writer, and their consequences for the log. Both carry
 * a tick, a counter of this process, so their order in real time is exact.
 */
import type { ErrorAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { AckLevel } from '../../machines/protocol/messages.js'

export interface Attempt {
  readonly sentTick: number
  readonly sentAtMs: number
  answeredTick: number | null
  answeredAtMs: number | null
  answer: WriteAnswer | ErrorAnswer | { readonly ok: false; readonly code: 'NO_RESPONDERS' } | null
}

export interface WriteRecord {
  readonly key: string
  readonly nodeId: string
  readonly level: AckLevel
  readonly attempts: Attempt[]
  /** null while it is under way. `unknown`: given up without an answer. */
  outcome: 'taken' | 'refused' | 'unknown' | null
}

export interface Positive {
  readonly record: WriteRecord
  readonly attempt: Attempt
  readonly answer: WriteAnswer
  readonly answeredTick: number
}

/** Ended forks of all members, as `engram salvage` shows them. */
export interface SalvagedEntry extends LogEntry {
  readonly file: string
}

export interface FinalState {
  /** By node: its log, ascending. */
  readonly logs: ReadonlyMap<string, readonly LogEntry[]>
  readonly salvaged: readonly SalvagedEntry[]
}

export class History {
  readonly records: WriteRecord[] = []
  #tick = 0

  tick(): number {
    this.#tick += 1
    return this.#tick
  }

  positives(): Positive[] {
    return this.records.flatMap((record) =>
      record.attempts.flatMap((attempt) =>
        attempt.answer?.ok && attempt.answeredTick !== null
          ? [{ record, attempt, answer: attempt.answer, answeredTick: attempt.answeredTick }]
          : []
      )
    )
  }

  get takenCount(): number {
    return this.records.filter((record) => record.outcome === 'taken').length
  }

  /** Negative answers by code, 503s and attempts without an answer included. */
  failures(): Map<string, number> {
    const found = new Map<string, number>()
    for (const { attempts } of this.records) {
      for (const { answer } of attempts) {
        if (answer?.ok) continue
        const code = answer?.code ?? 'no answer'
        found.set(code, (found.get(code) ?? 0) + 1)
      }
    }
    return found
  }

  summary(): string {
    const epochs = new Map<string, number>()
    for (const { answer } of this.positives()) {
      const nodeAndEpoch = `${answer.node} epoch ${answer.epoch}`
      epochs.set(nodeAndEpoch, (epochs.get(nodeAndEpoch) ?? 0) + 1)
    }
    const open = this.records.filter((record) => record.outcome === null).length
    return `${this.records.length} writes, ${this.takenCount} taken, ${open} under way; `
      + `positive answers: ${counted(epochs)}; others: ${counted(this.failures())}`
  }

  /** Longest time without any positive answer, between two of them. Milliseconds. */
  longestGapMs(): number {
    const times = this.positives().map(({ attempt }) => attempt.answeredAtMs ?? 0)
      .toSorted((a, b) => a - b)
    return times.reduce((gap, time, n) => Math.max(gap, time - (times[n - 1] ?? time)), 0)
  }

  violations(final: FinalState): string[] {
    return [
      ...this.#epochOrder(),
      ...this.#oneNodePerEpoch(),
      ...logShape(final.logs),
      ...this.#answeredIsKept(final),
      ...this.#keysOnce(final),
    ]
  }

  /** Throws with all that is wrong, the history in short, and nothing else. */
  assertSound(final: FinalState): void {
    const wrong = this.violations(final)
    if (wrong.length === 0) return
    const shown = wrong.slice(0, 12).map((text) => `  - ${text}`).join('\n')
    throw new Error(`${wrong.length} violations in the history:\n${shown}\n${this.summary()}`)
  }

  /**
   * I2 as a client sees it: once a positive answer of epoch e has been received, no request that
   * is sent after it gets one of a lower epoch. Duplicates state the epoch of the first taking.
   */
  #epochOrder(): string[] {
    const fresh = this.positives().filter(({ answer }) => !answer.duplicate)
    const byAnswer = fresh.toSorted((a, b) => a.answeredTick - b.answeredTick)
    const bySending = fresh.toSorted((a, b) => a.attempt.sentTick - b.attempt.sentTick)
    const wrong: string[] = []
    let known: Positive | null = null
    let next = 0
    for (const one of bySending) {
      for (; next < byAnswer.length; next += 1) {
        const seen = byAnswer[next]
        if (!seen || seen.answeredTick > one.attempt.sentTick) break
        if (!known || seen.answer.epoch > known.answer.epoch) known = seen
      }
      if (known && one.answer.epoch < known.answer.epoch) {
        wrong.push(`epoch went back (I2): ${show(one)} was sent at `
          + `${ms(one.attempt.sentAtMs)}, after ${show(known)} was received at `
          + `${ms(known.attempt.answeredAtMs)}`)
      }
    }
    return wrong
  }

  /** I1: an epoch belongs to one node, and a place in the log to one request. */
  #oneNodePerEpoch(): string[] {
    const holders = new Map<number, string>()
    const places = new Map<string, Positive>()
    const wrong: string[] = []
    for (const one of this.positives()) {
      if (one.answer.duplicate) continue
      const { epoch, node, sequence } = one.answer
      const holder = holders.get(epoch)
      if (holder && holder !== node) wrong.push(`epoch ${epoch} of both ${holder}, ${node} (I1)`)
      holders.set(epoch, node)
      const place = `${epoch}/${sequence}`
      const other = places.get(place)
      if (other && other.record.key !== one.record.key) {
        wrong.push(`two keys at one place: ${show(one)} and ${show(other)}`)
      }
      places.set(place, one)
    }
    return wrong
  }

  /**
   * I4, I5, I6: committed is in every log; durable is in every log, as the entry that was answered
   * or as one that it was reconciled as, or in a salvage.
   */
  #answeredIsKept(final: FinalState): string[] {
    const salvaged = new Set(final.salvaged.map((entry) => placeOf(entry)))
    const wrong: string[] = []
    for (const [node, log] of final.logs) {
      const kept = new Set(log.map((entry) => placeOf(entry)))
      const home = new Set(log.flatMap((entry) => firstPlaceOf(entry)))
      const keys = new Map(log.map((entry) => [entry.writeId, entry.epoch]))
      for (const one of this.positives()) {
        const { answer, record } = one
        if (answer.ack === 'memory') continue
        const place = `${answer.epoch}/${answer.sequence}/${record.key}`
        // A duplicate's answer may state its own epoch: the key decides.
        if (kept.has(place) || (answer.duplicate && keys.has(record.key))) continue
        if (answer.ack === 'committed') {
          wrong.push(`lost on ${node} (I5): ${show(one)}`)
          continue
        }
        // Home from its fork, or sent again by its client before that.
        if (home.has(place) || (keys.get(record.key) ?? 0) > answer.epoch) continue
        if (!salvaged.has(place) && !answer.duplicate) {
          wrong.push(`neither in the log of ${node} nor in a salvage (I6): ${show(one)}`)
        }
      }
    }
    return wrong
  }

  /** I7. Every write here is one operation, so a key has one entry at most. */
  #keysOnce(final: FinalState): string[] {
    const wrong: string[] = []
    for (const [node, log] of final.logs) {
      const seen = new Map<string, number>()
      for (const { writeId, sequence } of log) {
        if (writeId === null) continue
        const first = seen.get(writeId)
        if (first !== undefined) {
          wrong.push(`key ${writeId} twice in the log of ${node}: ${first}, ${sequence} (I7)`)
        }
        seen.set(writeId, sequence)
      }
    }
    return wrong
  }
}

/** Without holes, epochs and timestamps never go back, and the same on every member (I3). */
function logShape(logs: FinalState['logs']): string[] {
  const wrong: string[] = []
  const [first] = logs
  for (const [node, log] of logs) {
    for (const [n, entry] of log.entries()) {
      const previous = log[n - 1]
      if (entry.sequence !== n + 1) {
        wrong.push(`log of ${node}: ${entry.sequence} at place ${n + 1}`)
        break
      }
      if (previous && previous.epoch > entry.epoch) {
        wrong.push(`log of ${node}: epoch goes back at ${entry.sequence}`)
      }
      if (previous && previous.timestamp > entry.timestamp) {
        wrong.push(`log of ${node}: timestamp goes back at ${entry.sequence}`)
      }
    }
    if (!first || first[0] === node) continue
    const length = Math.max(log.length, first[1].length)
    for (let n = 0; n < length; n += 1) {
      const [mine, theirs] = [log[n], first[1][n]]
      if (mine && theirs && placeOf(mine) === placeOf(theirs)) continue
      wrong.push(`logs differ at ${n + 1} (I3): ${node} has ${mine ? placeOf(mine) : 'nothing'}`
        + `, ${first[0]} has ${theirs ? placeOf(theirs) : 'nothing'}`)
      break
    }
  }
  return wrong
}

function placeOf(entry: LogEntry): string {
  return `${entry.epoch}/${entry.sequence}/${entry.writeId}`
}

/** The place at which a reconciled write was answered first. */
function firstPlaceOf({ reconciliation, writeId }: LogEntry): string[] {
  if (!reconciliation) return []
  const { epoch, sequence } = reconciliation.origin
  return [`${epoch}/${sequence}/${writeId}`]
}

function counted(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ') || 'none'
}

function ms(time: number | null): string {
  return time === null ? 'never' : `${time.toFixed(1)} ms`
}

function show(one: Positive): string {
  const { answer, record, attempt } = one
  return `${answer.ack}${answer.duplicate ? ' duplicate' : ''} answer of ${answer.node} (epoch `
    + `${answer.epoch}, sequence ${answer.sequence}) for ${record.key}, sent `
    + `${ms(attempt.sentAtMs)}, answered ${ms(attempt.answeredAtMs)}`
}
