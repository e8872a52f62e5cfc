/**
 * Records of fork reports, quarantine and origins. Reports and items in quarantine are canonical
 * JSON after its hash, as nodes and edges are: they count in the digest. Origins, of which a long
 * fork has many, are short and do not count: their reports have the totals.
 *
 *   outcome, via, whether `by` is there (1) | now (2 x 8) | by (2 x 8)
 */
import { xxh64 } from '@node-rs/xxhash'
import type { Json } from '../../machines/graph/graph.js'
import type { ForkReport, OriginRecord, QuarantineItem } from '../../machines/log/forkNotes.js'
import { canonicalJson } from './record.js'

const HASH_BYTES = 8
const DOUBLE_BYTES = 8
const ORIGIN_BYTES = 1 + 4 * DOUBLE_BYTES

const OUTCOMES = ['resent', 'merged', 'superseded', 'quarantined'] as const
const VIAS = ['client', 'salvage', 'quarantine'] as const
const VIA_SHIFT = 2
const HAS_BY = 16

export function encodeReport(report: ForkReport): Buffer {
  return hashedJson('F', report as unknown as Json)
}

export function decodeReport(record: Buffer): ForkReport {
  return jsonOf(record) as ForkReport
}

export function encodeItem(item: QuarantineItem): Buffer {
  return hashedJson('Q', item as unknown as Json)
}

export function decodeItem(record: Buffer): QuarantineItem {
  return jsonOf(record) as QuarantineItem
}

export function encodeOrigin({ outcome, via, now, by }: OriginRecord): Buffer {
  const record = Buffer.allocUnsafeSlow(ORIGIN_BYTES)
  record[0] = OUTCOMES.indexOf(outcome) | (VIAS.indexOf(via) << VIA_SHIFT)
    | (by === null ? 0 : HAS_BY)
  let at = 1
  for (const number of [now.epoch, now.sequence, by?.epoch ?? 0, by?.sequence ?? 0]) {
    at = record.writeDoubleLE(number, at)
  }
  return record
}

export function decodeOrigin(record: Buffer): OriginRecord {
  const flags = record[0]!
  const number = (index: number): number => record.readDoubleLE(1 + index * DOUBLE_BYTES)
  return {
    outcome: OUTCOMES[flags & 3]!,
    via: VIAS[(flags >> VIA_SHIFT) & 3]!,
    now: { epoch: number(0), sequence: number(1) },
    by: flags & HAS_BY ? { epoch: number(2), sequence: number(3) } : null,
  }
}

/** `domain` is hashed too, and distinguishes this record from those of other tables. */
function hashedJson(domain: string, value: Json): Buffer {
  const text = Buffer.from(domain + canonicalJson(value))
  const record = Buffer.allocUnsafeSlow(HASH_BYTES + text.length)
  record.writeBigUInt64LE(xxh64(text), 0)
  text.copy(record, HASH_BYTES)
  return record
}

function jsonOf(record: Buffer): unknown {
  return JSON.parse(record.toString('utf8', HASH_BYTES + 1, record.length))
}
