/** Holds the index of a closed segment against what the segment has. Changes nothing. */
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { FileHandle, FileSystem } from '../../actors/ports/fileSystem.js'
import { checkedPage, encodeBlock, indexName, readIndex, type IndexedSpace,
  type IndexTable } from './indexFile.js'
import type { SegmentLedger, SpaceLedger } from './ledger.js'
import type { DiskPart } from './parts.js'

export type IndexVerdict =
  | { readonly kind: 'sound'; readonly places: ReadonlyMap<string, DiskPart> }
  | { readonly kind: 'missing' }
  /** A start sees that, too, and reads the segment. */
  | { readonly kind: 'unusable'; readonly reason: string }
  /** A start would believe it. */
  | { readonly kind: 'wrong'; readonly reason: string }

export interface IndexCheckOptions {
  readonly fileSystem: FileSystem
  readonly directory: string
  readonly journal: string
}

/** Throws FileSystemError when the places cannot be read. */
export async function checkIndex(
  { fileSystem, directory, journal }: IndexCheckOptions,
  ledger: SegmentLedger,
): Promise<IndexVerdict> {
  const { segment, end } = ledger
  const table = await readIndex(fileSystem, directory, journal, segment, end)
  if (table === null) return { kind: 'missing' }
  if (typeof table === 'string') return { kind: 'unusable', reason: table }
  const reason = refuseTable(table, ledger)
  if (reason !== null) return { kind: 'wrong', reason }
  const handle = await fileSystem.open(join(directory, indexName(segment)), 'read')
  try {
    for (const space of table.spaces) {
      const verdict = await checkPlaces(handle, space, ledger.of(space.uuid))
      if (verdict !== null) return verdict
    }
  } finally {
    await handle.close()
  }
  const places = new Map(table.spaces.map(({ uuid, count, offset }) => [uuid, { count, offset }]))
  return { kind: 'sound', places }
}

function refuseTable(table: IndexTable, ledger: SegmentLedger): string | null {
  if (table.highestFlush !== ledger.highestFlush) return `its last flush is ${table.highestFlush}`
  if (table.records !== ledger.records) return `it counts ${table.records} records`
  if (table.spaces.length !== ledger.spaces.size) return `it has ${table.spaces.length} spaces`
  for (const indexed of table.spaces) {
    const space = ledger.spaces.get(indexed.uuid)
    if (!space) return `it has space ${indexed.uuid}`
    if (!isTheSame(indexed, space)) return `it has other records of space ${indexed.uuid}`
  }
  return null
}

function isTheSame({ timeMs, first, count, items }: IndexedSpace, space: SpaceLedger): boolean {
  const { places } = space
  return timeMs === space.timeMs && count === places.length
    && first === (count > 0 ? places.at(0).first : 0) && isDeepStrictEqual(items, space.items())
}

/** Null: they are those of the segment. */
async function checkPlaces(
  handle: FileHandle,
  { uuid, offset }: IndexedSpace,
  { places }: SpaceLedger,
): Promise<IndexVerdict | null> {
  let at = offset
  for (const piece of encodeBlock(places)) {
    const there = Buffer.alloc(piece.length)
    await handle.read(there, at)
    if (checkedPage(there) === null) {
      return { kind: 'unusable', reason: `bad checksum of its places of space ${uuid}` }
    }
    if (!there.equals(piece)) {
      return { kind: 'wrong', reason: `it has other places of space ${uuid}` }
    }
    at += piece.length
  }
  return null
}
