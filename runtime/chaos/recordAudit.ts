/**
 * The account of each acknowledged record: in which one place it is, by the log and the salvages;
 * whether the cluster says the same (GetFate); and whether its fork reports (GetForks) count what
 * the log holds. Pure.
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
  // Until it is noted in the log where it waits.
  salvaged: ['salvaged', 'unknown'],
  // What no member ever heard of is known to nobody.
  lost: ['lost', 'unknown'],
}

export function placesOf(
  records: readonly WrittenRecord[], log: readonly LoggedRecord[],
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

/** `answer`: where it was acknowledged. */
function placeIn(
  { epoch, sequence, home }: LoggedRecord, answer: NonNullable<WrittenRecord['answer']>,
): Place {
  if (epoch === answer.loggedEpoch && sequence === answer.sequence) return 'present'
  // Sent again, by its key alone, or with its origin.
  if (!home || (home.via === 'client' && home.outcome === 'merged')) return 'resent'
  return home.outcome
}

/** Records whose fate is asked for: all that are not where they were, and some of the others. */
export function questionable(
  found: ReadonlyMap<string, Found>, othersMax: number,
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

/** What the cluster says of a record, where that is not what was found. */
export function fateFaults(
  found: ReadonlyMap<string, Found>, told: ReadonlyMap<string, FateValue>,
): string[] {
  const faults: string[] = []
  for (const [key, fate] of told) {
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
  return [`${faults.length} record(s) are not what the cluster says of them (GetFate): `
    + faults[0]!]
}

/**
 * Closed reports that count other writes than the log holds. What was displaced by a write that
 * came home is told by no entry of its own: reports are not compared then.
 */
export function reportFaults(
  reports: readonly ForkReport[], log: readonly LoggedRecord[],
): string[] {
  if (log.some(({ home }) => home?.isDisplacing || home?.via === 'quarantine')) return []
  const outcomes = new Map<string, Place>()
  for (const { home, resent } of log) {
    for (const at of resent) outcomes.set(`${at.epoch}-${at.sequence}`, 'resent')
    if (!home) continue
    const place = home.via === 'client' && home.outcome === 'merged' ? 'resent' : home.outcome
    outcomes.set(`${home.epoch}-${home.sequence}`, place)
  }
  return reports.filter(({ outcome }) => outcome !== null).flatMap((report) => {
    const own = [...outcomes].filter(([name]) => {
      const [epoch, sequence] = name.split('-').map(Number)
      return epoch === report.epoch && sequence! > report.forkPoint.sequence
    })
    const count = (place: Place): number => own.filter(([, one]) => one === place).length
    const counts = (['resent', 'merged', 'superseded', 'quarantined'] as const)
      .filter((place) => count(place) !== report[place]
        + (place === 'quarantined' ? report.discarded : 0))
      .map((place) => `${report[place]} ${place}, the log has ${count(place)}`)
    return counts.length === 0 ? []
      : [`the report on epoch ${report.epoch} counts ${counts.join('; ')} (GetForks)`]
  })
}

/**
 * Reports that are open though their node is back, and takes its salvages by itself.
 * `returned`: nodes that answer.
 */
export function openFaults(
  reports: readonly ForkReport[], returned: ReadonlySet<string>,
): string[] {
  return reports.filter(({ outcome, node }) => outcome === null && returned.has(node))
    .map(({ epoch, node, salvages }) => {
      const waiting = salvages.filter(({ state }) => state === 'waiting').map(({ name }) => name)
      return `the report on epoch ${epoch} is still open, and ${node} is back`
        + (waiting.length === 0 ? '' : `: ${waiting.join(', ')} waits`)
    })
}

/** What a closed report calls lost has been acknowledged: no more of that may be missing. */
export function isAccounted(
  answer: NonNullable<WrittenRecord['answer']>, reports: readonly ForkReport[],
): boolean {
  const report = reports.find(({ epoch }) => epoch === answer.loggedEpoch)
  return report?.outcome === 'lost' && answer.sequence > report.forkPoint.sequence
}
