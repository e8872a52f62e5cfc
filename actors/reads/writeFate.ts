import type { Position } from '../../machines/base/ids.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { ForkReport, OriginRecord } from '../../machines/log/forkNotes.js'
import { contains, partsOf } from '../../machines/log/salvageParts.js'
import type { Member } from '../member/member.js'
import type { FateValue } from '../ports/clientApi.js'
import type { VersionReader } from '../ports/store.js'

type Question =
  | { readonly type: 'GetFate'; readonly key: string }
  | { readonly type: 'GetFate'; readonly epoch: number; readonly sequence: number }

/** gone: it is no longer kept. */
type EntryAt = (sequence: number) => Promise<LogEntry | 'gone' | undefined>

/**
 * Fate of one write, as far as this member knows. The write is identified by where it was logged
 * first, or by its idempotency key. `entryAt` reads the log.
 */
export async function fateOf(
  question: Question,
  member: Member,
  view: VersionReader,
  entryAt: EntryAt,
): Promise<FateValue> {
  const { store, overlay, log } = member
  if ('key' in question) await store.keysRead()
  const write = 'epoch' in question
    ? question
    : overlay.key(question.key) ?? store.key(question.key)
  if (!write) {
    const waiting = store.reports().some(({ salvages }) =>
      salvages.some(({ state }) => state === 'waiting')
    )
    return nowhere(null, 'unknown', 'no write with that key is in the log'
      + (waiting ? '; one may be in a salvage that waits' : ''))
  }
  const { epoch, sequence } = write
  const record = view.origin(epoch, sequence)
  // Known by another place: the fate is that of the write that was sent again.
  if (record?.outcome === 'resent') {
    const { now, via } = record
    const there = view.origin(now.epoch, now.sequence)
    const value = there && there.outcome !== 'resent'
      ? ofFork(now, there, member)
      : await placed(now, member, view, entryAt)
    return { ...value, epoch, sequence, via: value.via ?? via }
  }
  if (record) return ofFork(write, record, member)
  // A write that is found by its key is in the log, though below the root its epoch is not known.
  const isSummedUp = 'key' in question && sequence < log.root.sequence
  const isThere = log.epochAt(sequence) === epoch && sequence <= log.durable.sequence
  if (!isThere && !isSummedUp) {
    return beyond(write, member)
  }
  return await placed(write, member, view, entryAt)
}

/** Fate of a write that is in the log at that place. */
async function placed(
  at: Position,
  member: Member,
  view: VersionReader,
  entryAt: EntryAt,
): Promise<FateValue> {
  const item = member.store.quarantined(`${at.epoch}-${at.sequence}`)
  if (item) return quarantined(at, item.by, at)
  const entry = await entryAt(at.sequence)
  if (entry === 'gone') return withoutEntry(at, member)
  const first = entry?.reconciliation?.origin
  const known = first && view.origin(first.epoch, first.sequence)
  return known ? ofFork(first, known, member) : inLog(at, at, null, member)
}

/**
 * Fate of a write whose entry was given up. What became of it if it was taken from a fork is known
 * by where it was logged first, which only the entry says.
 */
function withoutEntry(at: Position, member: Member): FateValue {
  const value = inLog(at, at, null, member)
  const mayBeOfFork = member.store.reports().some(({ opened }) => opened.sequence < at.sequence)
  return mayBeOfFork
    ? { ...value, reason: `${value.reason}. That entry is no longer kept: if the write was taken `
      + 'from a fork, ask for its fate by the position at which it was logged first' }
    : value
}

/** Fate of a write that is not in the log. */
function beyond(write: Position, { known, store, log }: Member): FateValue {
  const { epoch: latest, record } = known
  const { epoch, sequence } = write
  if (epoch > latest) {
    return nowhere(write, 'unknown', `there was no epoch ${epoch} yet: the latest is ${latest}`)
  }
  const report = store.reports().find((one) => one.epoch === epoch)
  // Of a reported epoch, its own entries begin after the log that it took over; those up to the
  // fork point are here.
  const before = report ? Math.max(report.start.sequence, report.forkPoint.sequence) : Infinity
  const { root } = log
  if (epoch <= root.epoch && sequence < root.sequence && sequence <= before) {
    return nowhere(write, 'unknown', `of entries below ${root.sequence} it is not known any more `
      + 'which epoch each has; ask for the fate of the write by its idempotency key')
  }
  const [holder, orLower] = sequence < root.sequence
    ? [root.epoch, ' or a lower one']
    : [log.epochAt(sequence), '']
  if (epoch === latest && holder && holder !== epoch) {
    return nowhere(write, 'unknown',
      `no such entry was ever logged: entry ${sequence} is of epoch ${holder}${orLower}`)
  }
  if (epoch === latest) {
    return nowhere(write, 'unknown', `epoch ${epoch} has not logged entry ${sequence} yet`)
  }
  if (!report) {
    const last = log.history.find((span) => span.epoch === epoch)?.last
    return nowhere(write, 'unknown', 'no such entry was ever logged, as far as is known: '
      + (last === undefined
        ? `the log has none of epoch ${epoch}, and there is no report on it`
        : `epoch ${epoch} ended with entry ${last}`))
  }
  if (sequence <= before) {
    return nowhere(write, 'unknown',
      `no such entry was ever logged: those up to ${before} are of other epochs`)
  }
  const members = record?.assignment.members ?? []
  return missing(write, report, members.find(({ node }) => node === report.node)?.disk)
}

function inLog(
  { epoch, sequence }: Position,
  now: Position,
  via: FateValue['via'],
  { log }: Member,
): FateValue {
  const [fate, reason] = now.sequence <= log.safeSequence
    ? ['safe', 'on a second disk'] as const
    : now.sequence <= log.commitSequence
    ? ['committed', 'durable on all in-sync members'] as const
    : ['durable', 'durable on the primary, and not yet on all in-sync members'] as const
  const place = via === null ? 'it' : `it was reconciled (${via}), and`
  return {
    fate,
    epoch,
    sequence,
    now: positionOf(now),
    via,
    by: null,
    node: null,
    reason: `${place} is ${reason}, as entry ${now.sequence}`,
  }
}

function ofFork(write: Position, record: OriginRecord, member: Member): FateValue {
  const { outcome, via, now, by } = record
  switch (outcome) {
    case 'resent':
    case 'merged':
      return inLog(write, now, via, member)
    case 'superseded':
      return {
        ...nowhere(write, 'superseded', `a later write of its fork, ${show(by)}, took its place`),
        via,
        by,
        now: positionOf(now),
      }
    case 'quarantined': {
      const isKept = member.store.quarantined(`${write.epoch}-${write.sequence}`) !== undefined
      if (isKept || now.sequence > member.store.applied.sequence) {
        return { ...quarantined(write, by, now), via }
      }
      return {
        ...nowhere(write, 'superseded', `it lost against ${show(by)}; an operator discarded it`),
        via,
        by,
        now: positionOf(now),
      }
    }
  }
}

function quarantined(write: Position, by: Position | null, now: Position): FateValue {
  return {
    ...nowhere(write, 'quarantined', `it lost against ${show(by)}, and is in the quarantine`),
    by,
    now: positionOf(now),
  }
}

/** The write is beyond the fork point and not reconciled. `disk`: the present one of that node. */
function missing(write: Position, report: ForkReport, disk: string | undefined): FateValue {
  const { epoch, sequence } = write
  const salvage = report.salvages.find((one) =>
    one.state === 'waiting' && contains(partsOf(one, epoch).kept, sequence)
  )
  if (salvage) {
    const { name, node } = salvage
    if (node === report.node && disk !== undefined && disk !== report.disk) {
      const reason = `it waited on ${node}, in ${name}, and ${node} has another disk now`
      return { ...nowhere(write, 'unknown', reason), node }
    }
    return { ...nowhere(write, 'salvaged', `it waits on ${node}, in ${name}`), node }
  }
  const without = report.salvages.find((one) => contains(partsOf(one, epoch).missing, sequence))
  if (report.outcome === null && without) {
    return nowhere(write, 'unknown',
      `it is not in the log; ${without.node} no longer keeps it, and `
        + `the report on epoch ${epoch} is still open`)
  }
  if (report.outcome === null) {
    return {
      ...nowhere(write, 'unknown', `it is not in the log; ${report.node}, the primary of epoch `
        + `${epoch}, has not come back yet`),
      node: report.node,
    }
  }
  return gone(write, report)
}

/** The report is closed: a write that is known to have been logged is lost. */
function gone(write: Position, report: ForkReport): FateValue {
  const { epoch, sequence } = write
  const { node, outcome, reason, forkPoint, lastKnown, atMost, salvages } = report
  const ends = salvages.flatMap(({ spans }) => spans.filter((span) => span.epoch === epoch))
  const known = Math.max(lastKnown, ...ends.map(({ last }) => last))
  const closed = `the report on epoch ${epoch} is closed (${reason})`
  if (sequence <= known) return nowhere(write, 'lost', `it is nowhere: ${closed}`)
  if (outcome === 'level' || outcome === 'reconciled') {
    return nowhere(write, 'unknown', `no such entry was ever on the disk of ${node}, which had `
      + `${known} as the last of epoch ${epoch}; had it been answered at memory, it would be lost`)
  }
  if (outcome === 'dismissed') {
    return nowhere(write, 'unknown', `nothing is known of such an entry: ${closed}, before ${node} `
      + 'came back')
  }
  if (atMost !== null && sequence > forkPoint.sequence + atMost) {
    return nowhere(write, 'unknown', 'no such entry can have been acknowledged: epoch '
      + `${epoch} had at most ${atMost} beyond ${forkPoint.sequence} (maxLoss)`)
  }
  return nowhere(write, 'lost', `if there ever was such an entry, it is nowhere: ${closed}, and `
    + `${known} is the last of epoch ${epoch} that any other member had heard of`)
}

function nowhere(
  write: Position | null,
  fate: FateValue['fate'],
  reason: string,
): FateValue {
  return {
    fate,
    epoch: write?.epoch ?? null,
    sequence: write?.sequence ?? null,
    now: null,
    via: null,
    by: null,
    node: null,
    reason,
  }
}

function positionOf({ epoch, sequence }: Position): Position {
  return { epoch, sequence }
}

function show(by: Position | null): string {
  return by ? `(${by.epoch}, ${by.sequence})` : 'another one'
}
