/** Versions that an entry makes, and records of writes of forks that it changes. */
import type { LogEntry } from './entries.js'
import type { OriginRecord, Version } from './forkNotes.js'

/** Returns the version that the entry stores: where and when its write was logged first. */
export function versionOf({ epoch, sequence, timestamp, reconciliation }: LogEntry): Version {
  if (reconciliation === undefined) return { epoch, sequence, timestamp, at: sequence }
  const { origin } = reconciliation
  return {
    epoch: origin.epoch,
    sequence: origin.sequence,
    timestamp: reconciliation.timestamp,
    at: sequence,
  }
}

/** Returns the name of the write with that origin; also the id of its item in the quarantine. */
export function originName(epoch: number, sequence: number): string {
  return `${epoch}-${sequence}`
}

/** Returns records of writes of forks: of the write in the entry, or of those that it notes. */
export function originsOf(entry: LogEntry): [name: string, record: OriginRecord][] {
  const { operation, reconciliation } = entry
  if (reconciliation !== undefined) {
    const { origin, outcome, via, by } = reconciliation
    const now = { epoch: entry.epoch, sequence: entry.sequence }
    return [[originName(origin.epoch, origin.sequence), { outcome, via, now, by }]]
  }
  if (operation.type !== 'ForkNote' || operation.note !== 'resent') return none
  return operation.writes.map((
    { epoch, sequence, now },
  ) => [originName(epoch, sequence), { outcome: 'resent', via: 'client', now, by: null }])
}

const none: [string, OriginRecord][] = []
