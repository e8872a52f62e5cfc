/**
 * The audit of each acknowledged record. It determines the one place where the record is, by the
 * log and the salvages. It checks whether the cluster says the same (GetFate), and whether the fork
 * reports (GetForks) count what the log holds. Pure.
 */
import type { FateValue } from '../../actors/ports/clientApi.js'
import type { ForkReport } from '../../machines/log/forkNotes.js'
import type { Found, LoggedRecord, Place, SalvagedRecord, WrittenRecord } from './records.js'

/** Fates of the cluster that agree with a place. */
const fates: Record<Place, readonly FateValue['fate'][]> = {
  present: ['safe', 'committed', 'durable'],
  resent: ['safe', 'committed', 'durable'],
  merged: ['safe', 'committed', 'durable'],
  superseded: ['superseded'],
  quarantined: ['quarantined'],
  // `unknown` until the log notes the salvage in which it waits.
  salvaged: ['salvaged', 'unknown'],
  // `unknown` if no member ever heard of it.
  lost: ['lost', 'unknown'],
}

export function placesOf(
  records: readonly WrittenRecord[],
  log: readonly LoggedRecord[],
  salvaged: readonly SalvagedRecord[],
): Map<string, Found> {
  const byKey = new Map<string, LoggedRecord>()
  for (const entry of log) {
    if (entry.key !== null && !byKey.has(entry.key)) byKey.set(entry.key, entry)
  }
  const files = new Set(salvaged.map(({ key }) => key))
  const found = new Map<string, Found>()
  for (const { key, answer } of records) {
    if (!answer) continue
    const entry = byKey.get(key) ?? null
    const place = entry ? placeIn(entry, answer) : files.has(key) ? 'salvaged' : 'lost'
    found.set(key, { place, entry })
  }
  return found
}

/** @param answer where it was acknowledged */
function placeIn(
  { epoch, sequence, origin }: LoggedRecord,
  answer: NonNullable<WrittenRecord['answer']>,
): Place {
  if (epoch === answer.loggedEpoch && sequence === answer.sequence) return 'present'
  // Resent by the client, with its key alone or with its origin.
  if (!origin || (origin.via === 'client' && origin.outcome === 'merged')) return 'resent'
  return origin.outcome
}

/** Records whose fate is asked for: all that have moved, and a sample of the others. */
export function questionable(
  found: ReadonlyMap<string, Found>,
  othersMax: number,
): readonly string[] {
  const present: string[] = []
  const others: string[] = []
  for (const [key, { place }] of found) {
    if (place === 'present') present.push(key)
    else others.push(key)
  }
  const step = Math.max(1, Math.ceil(present.length / othersMax))
  return [...others, ...present.filter((_, index) => index % step === 0)]
}

/** Faults where the cluster's word on a record differs from what was found. */
export function fateFaults(
  found: ReadonlyMap<string, Found>,
  answered: ReadonlyMap<string, FateValue>,
): string[] {
  const faults: string[] = []
  for (const [key, fate] of answered) {
    const one = found.get(key)
    if (!one) continue
    const { place, entry } = one
    const isElsewhere = entry !== null && fate.now !== null
      && (fate.now.epoch !== entry.epoch || fate.now.sequence !== entry.sequence)
    if (fates[place].includes(fate.fate) && !isElsewhere) continue
    const where = entry === null ? '' : ` at (${entry.epoch}, ${entry.sequence})`
    faults.push(`${key} is ${place}${where}; the cluster says ${fate.fate}: ${fate.reason}`)
  }
  if (faults.length === 0) return []
  return [`the cluster's answers (GetFate) are wrong for ${faults.length} record(s), such as: `
    + faults[0]!]
}

/**
 * Closed reports whose counts differ from the log. A write that was displaced by a reconciled one
 * has no entry of its own, so reports are not compared if there is one.
 */
export function reportFaults(
  reports: readonly ForkReport[],
  log: readonly LoggedRecord[],
): string[] {
  if (log.some(({ origin }) => origin?.isDisplacing || origin?.via === 'quarantine')) return []
  const outcomes = new Map<string, Place>()
  for (const { origin, resent } of log) {
    for (const at of resent) outcomes.set(`${at.epoch}-${at.sequence}`, 'resent')
    if (!origin) continue
    const place = origin.via === 'client' && origin.outcome === 'merged' ? 'resent' : origin.outcome
    outcomes.set(`${origin.epoch}-${origin.sequence}`, place)
  }
  return reports.filter(({ outcome }) => outcome !== null).flatMap((report) => {
    const own = [...outcomes].filter(([name]) => {
      const [epoch, sequence] = name.split('-').map(Number)
      return epoch === report.epoch && sequence! > report.forkPoint.sequence
    })
    const count = (place: Place): number => own.filter(([, one]) => one === place).length
    const counts = (['resent', 'merged', 'superseded', 'quarantined'] as const)
      .filter((place) =>
        count(place) !== report[place]
            + (place === 'quarantined' ? report.discarded : 0)
      )
      .map((place) => `${report[place]} ${place}, the log has ${count(place)}`)
    return counts.length === 0
      ? []
      : [`the report on epoch ${report.epoch} counts ${counts.join('; ')} (GetForks)`]
  })
}

/**
 * Reports that are still open although their node is back and uploads its salvages by itself.
 * @param returned nodes that answer
 */
export function openFaults(
  reports: readonly ForkReport[],
  returned: ReadonlySet<string>,
): string[] {
  return reports.filter(({ outcome, node }) => outcome === null && returned.has(node))
    .map(({ epoch, node, salvages }) => {
      const waiting = salvages.filter(({ state }) => state === 'waiting').map(({ name }) => name)
      return `the report on epoch ${epoch} is still open, and ${node} is back`
        + (waiting.length === 0 ? '' : `: ${waiting.join(', ')} waits`)
    })
}

/** True if a closed report says that writes of this epoch beyond the fork point were lost. */
export function isAccounted(
  answer: NonNullable<WrittenRecord['answer']>,
  reports: readonly ForkReport[],
): boolean {
  const report = reports.find(({ epoch }) => epoch === answer.loggedEpoch)
  return report?.outcome === 'lost' && answer.sequence > report.forkPoint.sequence
}
