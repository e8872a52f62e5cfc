/**
 * Segment files. A segment gets its name only when its first flush (the head, and what recovery
 * restates) is durable: it is written to a temporary file, synced, renamed, and the directory is
 * synced. So a named segment always has a sound head, and any fault of the head is corruption.
 */
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { FileSystemError } from '../../actors/ports/fileSystem.js'
import type { FileHandle, FileSystem } from '../../actors/ports/fileSystem.js'
import { readSafe, writeSafe } from '../codec/frameBytes.js'
import { encodeFlush, readRecordHeader, RECORD_HEADER_BYTES, type FlushPlace,
  type RecordPart } from './record.js'

const HEAD_PAYLOAD_BYTES = 16
export const SEGMENT_HEAD_BYTES = RECORD_HEADER_BYTES + HEAD_PAYLOAD_BYTES
const SUFFIX = '.segment'
const TEMPORARY = '.tmp'

/**
 * The head says where the previous segment ends. Bytes beyond that are void: a torn write, or a
 * last flush that this segment restates.
 */
export interface SegmentHead {
  readonly journal: string
  readonly flush: number
  /** 0: this is the first segment. */
  readonly previousSegment: number
  readonly previousEnd: number
}

export function segmentName(segment: number): string {
  return String(segment).padStart(10, '0') + SUFFIX
}

/** Numbers of the segments in the directory, ascending. */
export function listSegments(fileSystem: FileSystem, directory: string): Promise<number[]> {
  return listNumbers(fileSystem, directory, /^\d{10}\.segment$/)
}

/** Numbers of the segments that have an index. */
export function listIndexes(fileSystem: FileSystem, directory: string): Promise<number[]> {
  return listNumbers(fileSystem, directory, /^\d{10}\.index$/)
}

async function listNumbers(
  fileSystem: FileSystem,
  directory: string,
  pattern: RegExp,
): Promise<number[]> {
  const names = await fileSystem.list(directory)
  return names
    .filter((name) => pattern.test(name))
    .map((name) => Number(name.slice(0, 10)))
    .toSorted((a, b) => a - b)
}

/** Removes segments and indexes that never got their name because of a crash. */
export async function removeTemporary(fileSystem: FileSystem, directory: string): Promise<void> {
  for (const name of await fileSystem.list(directory)) {
    if (/^\d{10}\.(segment|index)\.tmp$/.test(name)) await fileSystem.remove(join(directory, name))
  }
}

/** Null if the first record of `bytes` is not a sound head of that segment. */
export function readSegmentHead(bytes: Buffer, segment: number): SegmentHead | null {
  const header = readRecordHeader(bytes, 0, null, segment, 0)
  if (typeof header === 'string' || header.type !== 'segment') return null
  const payload = bytes.subarray(RECORD_HEADER_BYTES, SEGMENT_HEAD_BYTES)
  if (header.payloadBytes !== HEAD_PAYLOAD_BYTES || crc32c(payload) !== header.payloadCrc) {
    return null
  }
  return {
    journal: bytes.toString('hex', 8, 24).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    flush: header.flush,
    previousSegment: readSafe(payload, 0),
    previousEnd: readSafe(payload, 8),
  }
}

function headPart(previousSegment: number, previousEnd: number): RecordPart {
  const payload = Buffer.alloc(HEAD_PAYLOAD_BYTES)
  writeSafe(payload, previousSegment, 0)
  writeSafe(payload, previousEnd, 8)
  return { type: 'segment', space: null, payload }
}

export interface NewSegment {
  readonly handle: FileHandle
  readonly segment: number
  /** Place of the next record. */
  readonly end: number
}

/** The write of a new segment failed, before it had a name: nothing has changed. */
export class SegmentNotCreatedError extends Error {
  readonly code = 'SEGMENT_NOT_CREATED'
  constructor(message: string, cause: unknown) {
    super(message, { cause })
    this.name = 'SegmentNotCreatedError'
  }
}

/**
 * Creates the segment with its head and `restated` as its first flush, all of it durable.
 * SegmentNotCreatedError: the write failed (disk full); a later attempt may succeed. Any other
 * error comes from a sync or rename: what is durable is unknown.
 */
export async function createSegment(
  fileSystem: FileSystem,
  directory: string,
  place: Omit<FlushPlace, 'offset'>,
  previousEnd: number,
  restated: readonly RecordPart[],
): Promise<NewSegment> {
  const path = join(directory, segmentName(place.segment))
  const parts = [headPart(previousEnd > 0 ? place.segment - 1 : 0, previousEnd), ...restated]
  const flush = encodeFlush(parts, { ...place, offset: 0 })
  let handle: FileHandle | undefined
  try {
    await fileSystem.remove(path + TEMPORARY).catch(ignoreMissing)
    handle = await fileSystem.open(path + TEMPORARY, 'create')
    await handle.write(flush.buffers, 0)
  } catch (error) {
    await handle?.close().catch(() => undefined)
    await fileSystem.remove(path + TEMPORARY).catch(() => undefined)
    throw new SegmentNotCreatedError(
      `cannot create segment ${path}: ${(error as Error).message}`,
      error,
    )
  }
  try {
    await handle.datasync()
    await fileSystem.rename(path + TEMPORARY, path)
    await fileSystem.syncDirectory(directory)
  } catch (error) {
    await handle.close().catch(() => undefined)
    throw error
  }
  return { handle, segment: place.segment, end: flush.bytes }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof FileSystemError) || error.code !== 'ENOENT') throw error
}

/** Segments held open for reading besides the one being written. */
const OPEN_MAX = 8

/** Read handles by segment: opened when needed; the least recently used one is closed when idle. */
export class SegmentReaders {
  readonly #open = new Map<number, { handle: Promise<FileHandle>; users: number }>()

  constructor(
    private readonly fileSystem: FileSystem,
    private readonly directory: string,
    /** Name of the file that belongs to a segment. */
    private readonly nameOf = segmentName,
  ) {}

  async use<T>(segment: number, run: (handle: FileHandle) => Promise<T>): Promise<T> {
    const reader = this.#open.get(segment) ?? {
      handle: this.fileSystem.open(join(this.directory, this.nameOf(segment)), 'read'),
      users: 0,
    }
    // Last in the map: used last.
    this.#open.delete(segment)
    this.#open.set(segment, reader)
    reader.users++
    try {
      return await run(await reader.handle)
    } catch (error) {
      // A handle that could not be opened, or that fails, is not kept.
      if (this.#open.get(segment) === reader) this.#open.delete(segment)
      throw error
    } finally {
      reader.users--
      if (this.#open.get(segment) !== reader && reader.users === 0) shut(reader.handle)
      this.#trim()
    }
  }

  /** Later uses open the file anew. */
  forget(segment: number): void {
    const reader = this.#open.get(segment)
    this.#open.delete(segment)
    if (reader?.users === 0) shut(reader.handle)
  }

  close(): void {
    for (const { handle } of this.#open.values()) shut(handle)
    this.#open.clear()
  }

  #trim(): void {
    for (const [segment, reader] of this.#open) {
      if (this.#open.size <= OPEN_MAX) return
      if (reader.users > 0) continue
      this.#open.delete(segment)
      shut(reader.handle)
    }
  }
}

function shut(handle: Promise<FileHandle>): void {
  handle.then((open) => open.close()).catch(() => undefined)
}
