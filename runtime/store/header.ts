import type { SpaceState } from '../../actors/ports/store.js'
import { digestText } from './record.js'

/** The one header record of a space; changes in the transaction of the entries that it covers. */
export interface SpaceHeader {
  readonly epoch: number
  readonly sequence: number
  /** Sum of the hashes of all records, modulo 2^64. */
  readonly digest: bigint
  readonly nodes: number
  readonly edges: number
  readonly ignored: number
  /** Idempotency keys, and rests of those whose request was split over two calls. */
  readonly keys: number
  /** Keys of earlier entries are forgotten. */
  readonly keysFrom: number
  /** Fork reports that are open. */
  readonly openReports: number
  /** Writes in quarantine. */
  readonly quarantined: number
  /** Origins under epochs without a report. */
  readonly strays: number
  /** Forgotten reports whose origins are not removed yet. */
  readonly forgotten: number
  /**
   * Time of the last entry; 0: unknown, since an earlier version wrote the file without it.
   */
  readonly timestamp: number
  /** Time that key retention uses (machines/log/keyClock.ts). */
  readonly keysNow: number
  /** How often this copy of the space was replaced as a whole; 0 in files of earlier versions. */
  readonly installs: number
}

export const emptyHeader: SpaceHeader = {
  epoch: 0,
  sequence: 0,
  digest: 0n,
  nodes: 0,
  edges: 0,
  ignored: 0,
  keys: 0,
  keysFrom: 0,
  openReports: 0,
  quarantined: 0,
  strays: 0,
  forgotten: 0,
  timestamp: 0,
  keysNow: 0,
  installs: 0,
}

const FIELD_BYTES = 8
const FIELDS = 15
/** Files of earlier versions have fewer. */
const FIELDS_BEFORE = 12

// Safe integers as doubles: exact, and without a BigInt for each.
export function encodeHeader(header: SpaceHeader): Buffer {
  const record = Buffer.allocUnsafeSlow(FIELDS * FIELD_BYTES)
  record.writeBigUInt64LE(header.digest, 0)
  let at = FIELD_BYTES
  const { epoch, sequence, nodes, edges, ignored, keys } = header
  const { openReports, quarantined, strays, forgotten, keysFrom, timestamp } = header
  for (const field of [
    epoch,
    sequence,
    nodes,
    edges,
    ignored,
    keys,
    openReports,
    quarantined,
    strays,
    forgotten,
    keysFrom,
    timestamp,
    header.keysNow,
    header.installs,
  ]) {
    at = record.writeDoubleLE(field, at)
  }
  return record
}

export function decodeHeader(record: Buffer): SpaceHeader {
  const fields = record.length / FIELD_BYTES
  if (fields < FIELDS_BEFORE) throw new RangeError(`bug: a header of ${record.length} bytes`)
  const field = (
    index: number,
  ): number => (index < fields ? record.readDoubleLE(index * FIELD_BYTES) : 0)
  return {
    digest: record.readBigUInt64LE(0),
    epoch: field(1),
    sequence: field(2),
    nodes: field(3),
    edges: field(4),
    ignored: field(5),
    keys: field(6),
    openReports: field(7),
    quarantined: field(8),
    strays: field(9),
    forgotten: field(10),
    keysFrom: field(11),
    timestamp: field(12),
    keysNow: field(13),
    installs: field(14),
  }
}

export function stateOf(header: SpaceHeader): SpaceState {
  const { epoch, sequence, digest, installs: _, ...rest } = header
  return { ...rest, position: { epoch, sequence }, digest: digestText(digest) }
}

export function headerOf(state: SpaceState, installs: number): SpaceHeader {
  const { position: { epoch, sequence }, digest, ...rest } = state
  return { ...rest, epoch, sequence, digest: BigInt(`0x${digest}`), installs }
}
