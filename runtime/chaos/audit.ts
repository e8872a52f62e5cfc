/**
 * The books: what was answered against what is there, and against what the cluster says of it. A
 * pure function over the history of a load, the log, the salvages, fates and fork reports; it
 * decides which promises of DESIGN section 8 were broken.
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
  /** As `engram status` tells: primary, replica, promoting … */
  readonly role: string
  /** null, as below: it does not answer. */
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
  /** Times in which the disk of a node was full. */
  readonly filled: readonly (Span & { readonly node: string })[]
  readonly members: readonly MemberEnd[]
  /** Fork reports of reigns that ended in the run. */
  readonly reports: readonly ForkReport[]
  /** By key: what the cluster says of the records that it was asked about. */
  readonly fates: ReadonlyMap<string, FateValue>
  /** Nodes that answer, and bring home what they have without an order. */
  readonly returned: ReadonlySet<string>
  /** All members of the space were in sync at one sequence in the end. */
  readonly hasConverged: boolean
}

/**
 * Where acknowledged records are, each in one place. present: in the log, where they were
 * acknowledged. resent: sent again by their client. merged: home from a fork. superseded,
 * quarantined: home as well, and without effect. salvaged: waiting in a file. lost: nowhere.
 */
export type LevelAudit = { acknowledged: number } & Record<Place, number>

export interface LostRecord {
  readonly key: string
  readonly level: AckLevel
  readonly epoch: number
  readonly sequence: number
  readonly node: string
  readonly why: string
  /** A report of the cluster tells of it. */
  readonly isAccounted: boolean
  /** The answer had promised that this cannot be. */
  readonly isBroken: boolean
}

export interface Audit {
  /** By the level that the answer stated. */
  readonly acknowledged: Readonly<Record<AckLevel, LevelAudit>>
  readonly written: number
  /** Certainly not taken, as their errors said. */
  readonly refused: number
  /** No definite answer came; and how many of them are in the log. */
  readonly unknown: number
  readonly unknownPresent: number
  /** Entries of the log beyond the first with the same key. */
  readonly duplicates: number
  /** The first hundred; `acknowledged` counts them all. */
  readonly lost: readonly LostRecord[]
  readonly unreadableSalvages: readonly string[]
  /** As the cluster gives account of reigns that ended without a handover. */
  readonly reports: readonly ForkReport[]
  /** Records whose fate the cluster was asked for. */
  readonly asked: number
  /** In words, with the invariant; empty when all was kept. */
  readonly broken: readonly string[]
}

const lostShownMax = 100

/** Weighs the evidence. */
export function audit(evidence: Evidence): Audit {
  const { records, log } = evidence
  const inLog = new Set(log.flatMap(({ key }) => (key === null ? [] : [key])))
  const acknowledged = {
    memory: emptyLevel(), durable: emptyLevel(), committed: emptyLevel(),
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
    acknowledged, written: records.length, refused: refused.length, unknown: unknown.length,
    unknownPresent: unknown.filter(({ key }) => inLog.has(key)).length,
    duplicates: log.filter(({ key }) => key !== null).length - inLog.size,
    lost: lost.slice(0, lostShownMax),
    unreadableSalvages: evidence.unreadable,
    reports: evidence.reports, asked: evidence.fates.size,
    broken: [
      ...brokenLevels(lost), ...fateFaults(found, evidence.fates),
      ...reportFaults(evidence.reports, log), ...openFaults(evidence.reports, evidence.returned),
      ...logFaults(log), ...refused.flatMap(({ key, failure }) =>
        (inLog.has(key) ? [`${key} was refused (${failure}) and is in the log`] : [])),
      ...memberFaults(evidence),
    ],
  }
}

function emptyLevel(): LevelAudit {
  const zeros = Object.fromEntries(places.map((place) => [place, 0])) as Record<Place, number>
  return { acknowledged: 0, ...zeros }
}

/** Why an acknowledged record is not where it was; none where that is accounted for. */
function missing(
  key: string, answer: NonNullable<WrittenRecord['answer']>, { place, entry }: Found,
  { log, unreadable, filled, reports }: Evidence,
): LostRecord[] {
  const { level, epoch, sequence, node, atMs } = answer
  if (place === 'present' || (place !== 'lost' && level !== 'committed')) return []
  const one = { key, level, epoch, sequence, node, isAccounted: isAccounted(answer, reports) }
  if (place !== 'lost') {
    const where = entry ? `${place}, at (${entry.epoch}, ${entry.sequence})` : 'in a salvage'
    return [{ ...one, isBroken: true, why: `${where}, and it was committed (I5)` }]
  }
  if (level === 'memory') {
    // Within one reign the buffer goes into the log, unless the disk does not take it.
    const ended = log.some((entry) => entry.epoch > epoch)
    const isFull = filled.some((one) =>
      one.node === node && one.fromMs <= atMs && atMs <= one.toMs)
    const why = `in the memory of ${node}, ${isFull ? 'whose disk was full'
      : `whose reign of epoch ${epoch} ${ended ? 'ended' : 'went on'}`}`
    return [{ ...one, why, isBroken: !ended && !isFull }]
  }
  if (level === 'durable' && one.isAccounted) {
    const why = `lost with the disk of ${node}, as the report on epoch ${answer.loggedEpoch} tells`
    return [{ ...one, why, isBroken: false }]
  }
  const where = `neither in the log nor in a salvage (${level === 'committed' ? 'I5' : 'I6'})`
  const unread = unreadable.length > 0 ? `; not read: ${unreadable.join('; ')}` : ''
  return [{ ...one, why: where + unread, isBroken: true }]
}

function brokenLevels(lost: readonly LostRecord[]): string[] {
  const broken = lost.filter((one) => one.isBroken)
  const levels = [...new Set(broken.map(({ level }) => level))]
  return levels.map((level) => {
    const of = broken.filter((one) => one.level === level)
    const [first] = of
    return `${of.length} record(s) answered at ${level} are missing; ${first?.key} of epoch ${
      first?.epoch}, sequence ${first?.sequence}: ${first?.why}`
  })
}

/** I7, and the shape of the log: no holes, no way back. The first fault of each kind is told. */
function logFaults(log: readonly LoggedRecord[]): string[] {
  const found = new Map<string, string>()
  const add = (kind: string, text: string): void => {
    if (!found.has(kind)) found.set(kind, text)
  }
  const seen = new Map<string, number>()
  for (const [n, { key, sequence, epoch, isWhole }] of log.entries()) {
    const before = log[n - 1]
    if (before && sequence !== before.sequence + 1) {
      add('hole', `the log has ${before.sequence} and then ${sequence}`)
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

/** I8: in the end, all members at one place, with one digest. */
function memberFaults({ members, hasConverged }: Evidence): string[] {
  if (!hasConverged) return [`the members did not come to one place (I8): ${show(members)}`]
  if (new Set(members.map(({ digest }) => digest)).size <= 1) return []
  return [`the members differ at one sequence (I8): ${show(members)}`]
}

function show(members: readonly MemberEnd[]): string {
  return members.map(({ node, role, epoch, inSync, appliedSequence, digest }) =>
    `${node} is ${role} of epoch ${epoch ?? '-'}${inSync ? '' : ', not in sync'}, at `
      + `${appliedSequence ?? '-'}, `
      + `digest ${digest.slice(0, 12) || 'unknown'}`).join('; ') || 'none answers'
}
