/**
 * The books: what was answered against what is there. A pure function over the history of a load,
 * the log and the salvages; it decides which promises of DESIGN section 8 were broken.
 */
import type { AckLevel } from '../../machines/protocol.js'
import type { Span } from './outage.js'

/** One write of the load. Times are ms since the run began. */
export interface WrittenRecord {
  /** Idempotency key; no other write has it. */
  readonly key: string
  readonly sentAtMs: number
  /** The positive answer; null when there was none. */
  readonly answer: {
    /** The level that it states. */
    readonly level: AckLevel
    readonly epoch: number
    readonly sequence: number
    readonly node: string
    readonly atMs: number
  } | null
  /** Code of the error it ended with; null when it was answered, or is under way. */
  readonly failure: string | null
  /** The failure says that it never took effect. */
  readonly isRefused: boolean
}

/** An entry of the log since the run began. */
export interface LoggedRecord {
  readonly sequence: number
  readonly epoch: number
  /** null: not a write of a client, or one without a key. */
  readonly key: string | null
  /** What it holds is what was sent under that key. */
  readonly isWhole: boolean
}

export interface SalvagedRecord {
  readonly key: string
  readonly epoch: number
  readonly node: string
}

export interface MemberEnd {
  readonly node: string
  /** As `engram status` tells: primary, replica, promoting … */
  readonly role: string
  readonly epoch: number
  readonly inSync: boolean
  readonly appliedSequence: number
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
  /** All members of the space were in sync at one sequence in the end. */
  readonly hasConverged: boolean
}

export interface LevelBooks {
  acknowledged: number
  /** In the log. */
  present: number
  /** Not in the log, and in a salvage file. */
  salvaged: number
  /** In neither. */
  lost: number
}

export interface LostRecord {
  readonly key: string
  readonly level: AckLevel
  readonly epoch: number
  readonly sequence: number
  readonly node: string
  readonly why: string
  /** The answer had promised that this cannot be. */
  readonly isBroken: boolean
}

export interface Books {
  /** By the level that the answer stated. */
  readonly acknowledged: Readonly<Record<AckLevel, LevelBooks>>
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
  /** In words, with the invariant; empty when all was kept. */
  readonly broken: readonly string[]
}

const lostShownMax = 100

/** Weighs the evidence. */
export function balance(evidence: Evidence): Books {
  const { records, log } = evidence
  const inLog = new Set(log.flatMap(({ key }) => (key === null ? [] : [key])))
  const acknowledged = {
    memory: emptyLevel(), durable: emptyLevel(), committed: emptyLevel(),
  }
  const lost: LostRecord[] = []
  const inSalvage = new Set(evidence.salvaged.map(({ key }) => key))
  for (const { key, answer } of records) {
    if (!answer) continue
    const level = acknowledged[answer.level]
    level.acknowledged += 1
    if (inLog.has(key)) level.present += 1
    else if (inSalvage.has(key)) level.salvaged += 1
    else level.lost += 1
    if (!inLog.has(key)) lost.push(...missing(key, answer, inSalvage.has(key), evidence))
  }
  const refused = records.filter((one) => !one.answer && one.isRefused)
  const unknown = records.filter((one) => !one.answer && !one.isRefused)
  return {
    acknowledged, written: records.length, refused: refused.length, unknown: unknown.length,
    unknownPresent: unknown.filter(({ key }) => inLog.has(key)).length,
    duplicates: log.filter(({ key }) => key !== null).length - inLog.size,
    lost: lost.slice(0, lostShownMax),
    unreadableSalvages: evidence.unreadable,
    broken: [
      ...brokenLevels(lost), ...logFaults(log), ...refused.flatMap(({ key, failure }) =>
        (inLog.has(key) ? [`${key} was refused (${failure}) and is in the log`] : [])),
      ...memberFaults(evidence),
    ],
  }
}

function emptyLevel(): LevelBooks {
  return { acknowledged: 0, present: 0, salvaged: 0, lost: 0 }
}

/** Why an acknowledged record is not in the log; none when a salvage accounts for it. */
function missing(
  key: string, answer: NonNullable<WrittenRecord['answer']>, isSalvaged: boolean,
  { log, unreadable, filled }: Evidence,
): LostRecord[] {
  const { level, epoch, sequence, node, atMs } = answer
  if (isSalvaged && level !== 'committed') return []
  const one = { key, level, epoch, sequence, node }
  if (isSalvaged) {
    return [{ ...one, isBroken: true, why: 'in a salvage, and it was committed (I5)' }]
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
  const place = `neither in the log nor in a salvage (${level === 'committed' ? 'I5' : 'I6'})`
  const unread = unreadable.length > 0 ? `; not read: ${unreadable.join('; ')}` : ''
  return [{ ...one, why: place + unread, isBroken: true }]
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
  const tell = (kind: string, text: string): void => {
    if (!found.has(kind)) found.set(kind, text)
  }
  const seen = new Map<string, number>()
  for (const [n, { key, sequence, epoch, isWhole }] of log.entries()) {
    const before = log[n - 1]
    if (before && sequence !== before.sequence + 1) {
      tell('hole', `the log has ${before.sequence} and then ${sequence}`)
    }
    if (before && epoch < before.epoch) {
      tell('epoch', `the epoch goes back from ${before.epoch} to ${epoch} at ${sequence} (I3)`)
    }
    if (!isWhole) tell('content', `${key} at ${sequence} is not what was sent`)
    if (key === null) continue
    const first = seen.get(key)
    if (first !== undefined) tell('twice', `${key} took effect at ${first} and ${sequence} (I7)`)
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
    `${node} is ${role} of epoch ${epoch}${inSync ? '' : ', not in sync'}, at ${appliedSequence}, `
      + `digest ${digest.slice(0, 12) || 'unknown'}`).join('; ') || 'none answers'
}
