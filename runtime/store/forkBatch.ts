/**
 * Fork reports, origins and quarantine of a space as stored, with the changes of one batch.
 *
 * Origins are stored under the *report key* of their epoch: the sequence that opened its report, or
 * 0 if it has none. So a report that is forgotten takes all its origins along at once, however
 * many. Their records are removed later, some with each transaction (`forgottenOrigins`).
 */
import type { Position } from '../../machines/base/ids.js'
import type { ForkReports } from '../../machines/forks/forkReports.js'
import type { ForkReport, OriginRecord, QuarantineItem } from '../../machines/log/forkNotes.js'
import { originName } from '../../machines/log/versions.js'
import { decodeOrigin, encodeItem, encodeOrigin, encodeReport } from './forkRecord.js'
import type { HashSum } from './hashSum.js'
import type { SpaceHeader } from './header.js'
import { numberIn, numbersKey, prefixEnd, Table, tableEnd, tableKey } from './keys.js'

/** Limit of the origins of forgotten reports that one transaction removes. */
const FORGOTTEN_PER_TRANSACTION = 1000

/** Reads of the committed state. */
export interface StoredRecords {
  /** The bytes are valid until the next call only. */
  get(key: Buffer): Buffer | undefined
  keys(range: { start: Buffer; end: Buffer; limit?: number }): Iterable<Buffer>
}

export type Reports = ReadonlyMap<number, ForkReport>

export function originKey(space: number, reports: Reports, at: Position): Buffer {
  return numbersKey(space, Table.origin, reportKeyOf(reports, at.epoch), at.epoch, at.sequence)
}

function reportKeyOf(reports: Reports, epoch: number): number {
  return reports.get(epoch)?.opened.sequence ?? 0
}

export class ForkBatch implements ForkReports {
  /** With this batch's changes. */
  private readonly current: Map<number, ForkReport>
  /** Epochs of reports that were put or forgotten. */
  private readonly changed = new Set<number>()
  private readonly origins = new Map<string, { at: Position; record: OriginRecord }>()
  /** Origins that were stored without a report, and are removed from there. */
  private readonly removed = new Map<string, Position>()
  private readonly items = new Map<string, { at: Position; item: QuarantineItem | null }>()
  private readonly forgotten: { reportKey: number; epoch: number }[] = []
  private quarantined: number
  private straysNow: number

  constructor(
    private readonly space: number,
    private readonly stored: StoredRecords,
    reports: Reports,
    private readonly header: SpaceHeader,
  ) {
    this.current = new Map(reports)
    this.quarantined = header.quarantined
    this.straysNow = header.strays
  }

  reports(): ForkReport[] {
    return [...this.current.values()].toSorted((a, b) => a.epoch - b.epoch)
  }

  report(epoch: number): ForkReport | undefined {
    return this.current.get(epoch)
  }

  putReport(report: ForkReport): void {
    const { epoch } = report
    this.changed.add(epoch)
    if (this.current.has(epoch)) {
      this.current.set(epoch, report)
      return
    }
    const adopted = this.strays(epoch).map((sequence) => {
      const at = { epoch, sequence }
      return { at, record: this.origin(at)! }
    })
    this.current.set(epoch, report)
    for (const { at, record } of adopted) {
      const name = nameOf(at)
      this.removed.set(name, at)
      this.origins.set(name, { at, record })
    }
    this.straysNow -= adopted.length
  }

  forgetReport(epoch: number): void {
    this.forgotten.push({ reportKey: reportKeyOf(this.current, epoch), epoch })
    this.current.delete(epoch)
    this.changed.add(epoch)
    for (const [name, { at }] of this.origins) {
      if (at.epoch === epoch) this.origins.delete(name)
    }
  }

  origin(at: Position): OriginRecord | undefined {
    const name = nameOf(at)
    const put = this.origins.get(name)
    if (put !== undefined) return put.record
    if (this.removed.has(name) && !this.current.has(at.epoch)) return undefined
    const record = this.stored.get(originKey(this.space, this.current, at))
    return record === undefined ? undefined : decodeOrigin(record)
  }

  putOrigin(at: Position, record: OriginRecord): void {
    if (!this.current.has(at.epoch) && this.origin(at) === undefined) this.straysNow += 1
    this.origins.set(nameOf(at), { at, record })
  }

  get strayCount(): number {
    return this.straysNow
  }

  strays(epoch: number): number[] {
    const prefix = numbersKey(this.space, Table.origin, 0, epoch)
    const sequences = new Set<number>()
    for (const key of this.stored.keys({ start: prefix, end: prefixEnd(prefix) })) {
      const sequence = numberIn(key, 2)
      if (!this.removed.has(originName(epoch, sequence))) sequences.add(sequence)
    }
    for (const { at } of this.origins.values()) {
      if (at.epoch === epoch) sequences.add(at.sequence)
    }
    return [...sequences].toSorted((a, b) => a - b)
  }

  forgetStray(): void {
    let lowest: Position | undefined
    const prefix = numbersKey(this.space, Table.origin, 0)
    for (const key of this.stored.keys({ start: prefix, end: prefixEnd(prefix) })) {
      const at = { epoch: numberIn(key, 1), sequence: numberIn(key, 2) }
      if (this.removed.has(nameOf(at))) continue
      lowest = at
      break
    }
    for (const { at } of this.origins.values()) {
      if (this.current.has(at.epoch)) continue
      if (lowest === undefined || at.epoch < lowest.epoch
        || (at.epoch === lowest.epoch && at.sequence < lowest.sequence)) lowest = at
    }
    if (lowest === undefined) return
    this.origins.delete(nameOf(lowest))
    this.removed.set(nameOf(lowest), lowest)
    this.straysNow -= 1
  }

  hasItem(at: Position): boolean {
    const put = this.items.get(nameOf(at))
    if (put !== undefined) return put.item !== null
    return this.stored.get(this.itemKey(at)) !== undefined
  }

  putItem(item: QuarantineItem): void {
    if (!this.hasItem(item.origin)) this.quarantined += 1
    this.items.set(item.id, { at: item.origin, item })
  }

  removeItem(at: Position): void {
    if (!this.hasItem(at)) return
    this.quarantined -= 1
    this.items.set(nameOf(at), { at, item: null })
  }

  /** Adds the changes of the batch; returns the fields of the header that depend on them. */
  write(
    hashes: HashSum,
    puts: Buffer[],
    removes: Buffer[],
  ): Pick<SpaceHeader, 'openReports' | 'quarantined' | 'strays' | 'forgotten'> {
    const put = (key: Buffer, record: Buffer | null): void => {
      const old = this.stored.get(key)
      if (old !== undefined) hashes.remove(old)
      if (record !== null) {
        hashes.add(record)
        puts.push(key, record)
      } else if (old !== undefined) removes.push(key)
    }
    for (const epoch of this.changed) {
      const report = this.current.get(epoch)
      const record = report === undefined ? null : encodeReport(report)
      put(numbersKey(this.space, Table.report, epoch), record)
    }
    for (const { at, item } of this.items.values()) {
      put(this.itemKey(at), item === null ? null : encodeItem(item))
    }
    this.writeOrigins(puts, removes)
    const open = this.reports().filter(({ outcome }) => outcome === null)
    return {
      openReports: open.length,
      quarantined: this.quarantined,
      strays: this.straysNow,
      forgotten: this.header.forgotten + this.forgotten.length,
    }
  }

  private writeOrigins(puts: Buffer[], removes: Buffer[]): void {
    for (const { at, record } of this.origins.values()) {
      puts.push(originKey(this.space, this.current, at), encodeOrigin(record))
    }
    for (const [name, at] of this.removed) {
      // Removals come after puts, so keys that are put again must not be among them.
      if (this.origins.has(name) && !this.current.has(at.epoch)) continue
      removes.push(numbersKey(this.space, Table.origin, 0, at.epoch, at.sequence))
    }
    for (const { reportKey, epoch } of this.forgotten) {
      puts.push(numbersKey(this.space, Table.forgotten, reportKey, epoch), Buffer.alloc(1))
    }
  }

  private itemKey({ epoch, sequence }: Position): Buffer {
    return numbersKey(this.space, Table.quarantine, epoch, sequence)
  }
}

/**
 * Keys of origins that were forgotten before the present batch, a bounded number; `ended`: the last
 * one of a report is among them.
 */
export function forgottenOrigins(
  space: number,
  stored: StoredRecords,
): { removes: Buffer[]; ended: number } {
  const removes: Buffer[] = []
  const start = tableKey(space, Table.forgotten)
  const end = tableEnd(space, Table.forgotten)
  const [mark] = stored.keys({ start, end, limit: 1 })
  if (mark === undefined) return { removes, ended: 0 }
  const prefix = numbersKey(space, Table.origin, numberIn(mark, 0), numberIn(mark, 1))
  const range = { start: prefix, end: prefixEnd(prefix), limit: FORGOTTEN_PER_TRANSACTION }
  for (const key of stored.keys(range)) removes.push(key)
  if (removes.length === FORGOTTEN_PER_TRANSACTION) return { removes, ended: 0 }
  removes.push(mark)
  return { removes, ended: 1 }
}

function nameOf({ epoch, sequence }: Position): string {
  return originName(epoch, sequence)
}
