/**
 * The audit of a chaos run. It compares what was answered with what is stored, and with what the
 * cluster says of it. A pure function of the history of a load, the log, the salvages, the fates
 * and the fork reports. It decides which invariants were broken (I3, I5 to I8, I10).
 */
import type { FateValue } from '../../actors/ports/clientApi.js'
import type { ForkReport } from '../../machines/log/forkNotes.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { fateFaults, isAccounted, openFaults, placesOf, reportFaults } from './recordAudit.js'
import type { Span } from './outage.js'
import { places } from './records.js'
import type { Found, LoggedRecord, Place, SalvagedRecord, WrittenRecord } from './records.js'

export interface MemberEnd {
  readonly node: string
  /** As `engram status` shows it: primary, replica, promoting … */
  readonly role: string
  /** null, here and below, if the node does not answer. */
  readonly epoch: number | null
  readonly inSync: boolean
  readonly appliedSequence: number | null
  readonly digest: string
}

export interface Evidence {
  readonly records: readonly WrittenRecord[]
  /** The whole log since the run began, ascending. */
  readonly log: readonly LoggedRecord[]
  readonly salvaged: readonly SalvagedRecord[]
  /** Salvages that could not be read, and why. */
  readonly unreadable: readonly string[]
  /** Periods in which the disk of a node was full. */
  readonly filled: readonly (Span & { readonly node: string })[]
  readonly members: readonly MemberEnd[]
  /** Fork reports of epochs that ended in the run. */
  readonly reports: readonly ForkReport[]
  /** Fates by key, of the records that the cluster was asked about. */
  readonly fates: ReadonlyMap<string, FateValue>
  /** Nodes that answer, and that upload their salvages without a command. */
  readonly returned: ReadonlySet<string>
  /** True if all members of the space were in sync at one sequence in the end. */
  readonly hasConverged: boolean
}

/**
 * Numbers of acknowledged records by the one place where each is. present: in the log, where it was
 * acknowledged. resent: by its client. merged: reconciled from a fork. superseded, quarantined:
 * reconciled as well, without effect. salvaged: waiting in a file. lost: nowhere.
 */
export type LevelAudit = { acknowledged: number } & Record<Place, number>

export interface LostRecord {
  readonly key: string
  readonly level: AckLevel
  readonly epoch: number
  readonly sequence: number
  readonly node: string
  readonly why: string
  /** True if a fork report of the cluster covers it. */
  readonly isAccounted: boolean
  /** True if the answer had promised that it cannot be lost. */
  readonly isBroken: boolean
}

export interface Audit {
  /** By the level that the answer stated. */
  readonly acknowledged: Readonly<Record<AckLevel, LevelAudit>>
  readonly written: number
  /** Writes whose error says that they were not applied. */
  readonly refused: number
  /** Writes without a definite answer. */
  readonly unknown: number
  /** Those of them that are in the log. */
  readonly unknownPresent: number
  /** Entries of the log whose key an earlier entry has. */
  readonly duplicates: number
  /** The first hundred. `acknowledged` counts them all. */
  readonly lost: readonly LostRecord[]
  readonly unreadableSalvages: readonly string[]
  /** The cluster's fork reports on epochs that ended without a handover. */
  readonly reports: readonly ForkReport[]
  /** Number of records whose fate the cluster was asked for. */
  readonly asked: number
  /** A sentence each, with the invariant. Empty if every promise was kept. */
  readonly broken: readonly string[]
}

const lostShownMax = 100

export function audit(evidence: Evidence): Audit {
  const { records, log } = evidence
  const inLog = new Set(log.flatMap(({ key }) => (key === null ? [] : [key])))
  const acknowledged = {
    memory: emptyLevel(),
    durable: emptyLevel(),
    committed: emptyLevel(),
  }
  const lost: LostRecord[] = []
  const found = placesOf(records, log, evidence.salvaged)
  for (const { key, answer } of records) {
    if (!answer) continue
    const one = found.get(key)!
    const level = acknowledged[answer.level]
    level.acknowledged += 1
    level[one.place] += 1
    lost.push(...missing(key, answer, one, evidence))
  }
  const refused = records.filter((one) => !one.answer && one.isRefused)
  const unknown = records.filter((one) => !one.answer && !one.isRefused)
  return {
    acknowledged,
    written: records.length,
    refused: refused.length,
    unknown: unknown.length,
    unknownPresent: unknown.filter(({ key }) => inLog.has(key)).length,
    duplicates: log.filter(({ key }) => key !== null).length - inLog.size,
    lost: lost.slice(0, lostShownMax),
    unreadableSalvages: evidence.unreadable,
    reports: evidence.reports,
    asked: evidence.fates.size,
    broken: [
      ...brokenLevels(lost),
      ...fateFaults(found, evidence.fates),
      ...reportFaults(evidence.reports, log),
      ...openFaults(evidence.reports, evidence.returned),
      ...logFaults(log),
      ...refused.flatMap((
        { key, failure },
      ) => (inLog.has(key) ? [`${key} was refused (${failure}) and is in the log`] : [])),
      ...memberFaults(evidence),
    ],
  }
}

function emptyLevel(): LevelAudit {
  const zeros = Object.fromEntries(places.map((place) => [place, 0])) as Record<Place, number>
  return { acknowledged: 0, ...zeros }
}

/** The loss or the broken promise that a record's place means, if any. */
function missing(
  key: string,
  answer: NonNullable<WrittenRecord['answer']>,
  { place, entry }: Found,
  { log, unreadable, filled, reports }: Evidence,
): LostRecord[] {
  const { level, epoch, sequence, node, atMs } = answer
  if (place === 'present' || (place !== 'lost' && level !== 'committed')) return []
  const one = { key, level, epoch, sequence, node, isAccounted: isAccounted(answer, reports) }
  if (place !== 'lost') {
    const where = entry ? `${place}, at (${entry.epoch}, ${entry.sequence})` : 'in a salvage'
    return [{ ...one, isBroken: true, why: `${where}, although it was committed (I5)` }]
  }
  if (level === 'memory') {
    // Within one epoch the buffer is logged, unless the disk refuses it.
    const ended = log.some((entry) => entry.epoch > epoch)
    const isFull = filled.some((one) => one.node === node && one.fromMs <= atMs && atMs <= one.toMs)
    const why = `in the memory of ${node}, ${
      isFull
        ? 'whose disk was full'
        : `whose epoch ${epoch} ${ended ? 'ended' : 'went on'}`
    }`
    return [{ ...one, why, isBroken: !ended && !isFull }]
  }
  if (level === 'durable' && one.isAccounted) {
    const why = `lost with the disk of ${node}, by the report on epoch ${answer.loggedEpoch}`
    return [{ ...one, why, isBroken: false }]
  }
  const where = `neither in the log nor in a salvage (${level === 'committed' ? 'I5' : 'I6'})`
  const unread = unreadable.length > 0 ? `; could not be read: ${unreadable.join('; ')}` : ''
  return [{ ...one, why: where + unread, isBroken: true }]
}

function brokenLevels(lost: readonly LostRecord[]): string[] {
  const broken = lost.filter((one) => one.isBroken)
  const levels = [...new Set(broken.map(({ level }) => level))]
  return levels.map((level) => {
    const of = broken.filter((one) => one.level === level)
    const [first] = of
    return `${of.length} record(s) answered at ${level} are missing; ${first?.key} of epoch `
      + `${first?.epoch}, sequence ${first?.sequence}: ${first?.why}`
  })
}

/** Faults against I7 and the log's shape (no holes, no older epoch): the first of each kind. */
function logFaults(log: readonly LoggedRecord[]): string[] {
  const found = new Map<string, string>()
  const add = (kind: string, text: string): void => {
    if (!found.has(kind)) found.set(kind, text)
  }
  const seen = new Map<string, number>()
  for (const [n, { key, sequence, epoch, isWhole }] of log.entries()) {
    const before = log[n - 1]
    if (before && sequence !== before.sequence + 1) {
      add('hole', `the log goes from ${before.sequence} to ${sequence}`)
    }
    if (before && epoch < before.epoch) {
      add('epoch', `the epoch goes back from ${before.epoch} to ${epoch} at ${sequence} (I3)`)
    }
    if (!isWhole) add('content', `${key} at ${sequence} is not what was sent`)
    if (key === null) continue
    const first = seen.get(key)
    if (first !== undefined) add('twice', `${key} took effect at ${first} and ${sequence} (I7)`)
    else seen.set(key, sequence)
  }
  return [...found.values()]
}

/** Faults against I8: in the end all members are at one sequence, with one digest. */
function memberFaults({ members, hasConverged }: Evidence): string[] {
  if (!hasConverged) return [`the members did not reach one sequence (I8): ${show(members)}`]
  if (new Set(members.map(({ digest }) => digest)).size <= 1) return []
  return [`the members differ at one sequence (I8): ${show(members)}`]
}

function show(members: readonly MemberEnd[]): string {
  return members.map(({ node, role, epoch, inSync, appliedSequence, digest }) =>
    `${node} is ${role} of epoch ${epoch ?? '-'}${inSync ? '' : ', not in sync'}, at `
    + `${appliedSequence ?? '-'}, `
    + `digest ${digest.slice(0, 12) || 'unknown'}`
  ).join('; ') || 'no member answers'
}
