/** Counts and sums up the records of a space, in their order, to compare them with its header. */
import type { SpaceState } from '../../actors/ports/store.js'
import { HashSum } from './hashSum.js'
import { decodeReport } from './forkRecord.js'
import { RecordCursor } from './imageRecords.js'
import { GroupCursor } from './keyGroup.js'
import { Table } from './keys.js'
import { digestText } from './record.js'
import { isHashed } from './recordFault.js'

/** The tables of an image, in their order. Edges by target are made of those by source. */
export const imageTables: readonly Table[] = [
  Table.report,
  Table.forgotten,
  Table.node,
  Table.edgeBySource,
  Table.quarantine,
  Table.origin,
  Table.keyGroup,
]

/** Records whose hashes one HashSum takes exactly. */
const HASHES_PER_SUM = 2 ** 20

export class StateSums {
  records = 0
  /** As in an image. */
  bytes = 0
  private readonly byTable = new Map<number, number>()
  private sum = new HashSum()
  private summed = 0
  private digest = 0n
  private keys = 0
  private strays = 0
  private openReports = 0
  private before: { table: number; bytes: Buffer; key: number; value: number } | undefined

  constructor(private readonly state: SpaceState) {}

  /** The next record, checked by itself already. Returns why it cannot come here, or null. */
  add(record: RecordCursor): string | null {
    const { table, bytes, key, value, end } = record
    if (!this.isAfter(record)) return 'a record is out of order'
    this.records += 1
    this.bytes += end - record.start
    this.byTable.set(table, this.count(table) + 1)
    if (isHashed(table)) this.addHash(bytes, value)
    if (table === Table.keyGroup) this.addKeys(record)
    else if (table === Table.origin && bytes.readBigUInt64BE(key) === 0n) this.strays += 1
    else if (table === Table.report) {
      if (decodeReport(bytes.subarray(value, end)).outcome === null) this.openReports += 1
    }
    return null
  }

  /** All records in the bytes. `check`: of each by itself. Returns the first fault, or null. */
  addAll(bytes: Buffer, check: (record: RecordCursor) => string | null = unchecked): string | null {
    const cursor = new RecordCursor(bytes)
    while (cursor.next()) {
      const fault = check(cursor) ?? this.add(cursor)
      if (fault !== null) return fault
    }
    return cursor.fault
  }

  private isAfter({ table, bytes, key, value }: RecordCursor): boolean {
    const { before } = this
    if (before === undefined) this.before = { table, bytes, key, value }
    else {
      const isOrdered = table === before.table
        ? compare(before.bytes, before.key, before.value, bytes, key, value) < 0
        : table > before.table
      if (!isOrdered) return false
      before.table = table
      before.bytes = bytes
      before.key = key
      before.value = value
    }
    return true
  }

  count(table: number): number {
    return this.byTable.get(table) ?? 0
  }

  /** Sum of the hashes, as a digest. */
  get hashes(): string {
    return digestText(this.sum.addTo(this.digest))
  }

  /** As it is now; what is added to it later does not count here. */
  copy(): StateSums {
    const copy = new StateSums(this.state)
    copy.records = this.records
    copy.bytes = this.bytes
    for (const [table, count] of this.byTable) copy.byTable.set(table, count)
    copy.digest = this.sum.addTo(this.digest)
    copy.keys = this.keys
    copy.strays = this.strays
    copy.openReports = this.openReports
    copy.before = this.before && { ...this.before }
    return copy
  }

  /** What the records do not have in common with the state, or null. */
  fault(state = this.state): string | null {
    const compared: readonly (readonly [string, number, number])[] = [
      ['nodes', this.count(Table.node), state.nodes],
      ['edges', this.count(Table.edgeBySource), state.edges],
      ['idempotency keys', this.keys, state.keys],
      ['open reports', this.openReports, state.openReports],
      ['writes in quarantine', this.count(Table.quarantine), state.quarantined],
      ['origins without a report', this.strays, state.strays],
      ['forgotten reports', this.count(Table.forgotten), state.forgotten],
    ]
    for (const [what, counted, said] of compared) {
      if (counted !== said) return `${counted} ${what}, and its header says ${said}`
    }
    if (this.hashes === state.digest) return null
    return `the sum of the hashes is ${this.hashes}, and its header says ${state.digest}`
  }

  private addHash(bytes: Buffer, at: number): void {
    this.sum.addAt(bytes, at)
    this.summed += 1
    if (this.summed % HASHES_PER_SUM !== 0) return
    this.digest = this.sum.addTo(this.digest)
    this.sum = new HashSum()
  }

  /** Keys of the group that are not forgotten. */
  private addKeys({ bytes, key, value, end }: RecordCursor): void {
    const { keysFrom } = this.state
    const first = Number(bytes.readBigUInt64BE(key))
    const cursor = new GroupCursor(first, bytes.subarray(value, end))
    while (cursor.next()) if (cursor.sequence >= keysFrom) this.keys += 1
  }
}

function unchecked(): null {
  return null
}

/** Negative: the first of the keys comes before the other. */
function compare(
  a: Buffer,
  aStart: number,
  aEnd: number,
  b: Buffer,
  bStart: number,
  bEnd: number,
): number {
  const length = Math.min(aEnd - aStart, bEnd - bStart)
  for (let at = 0; at < length; at += 1) {
    const difference = a[aStart + at]! - b[bStart + at]!
    if (difference !== 0) return difference
  }
  return aEnd - aStart - (bEnd - bStart)
}
