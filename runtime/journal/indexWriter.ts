/** Writes the indexes of closed segments: one after the other, beside all other work. */
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { FileSystemError, type FileHandle, type FileSystem } from '../../actors/ports/fileSystem.js'
import type { Logger } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'
import { blockBytes, encodeBlock, encodeIndexHead, encodeSpace, INDEX_HEAD_BYTES,
  indexName } from './indexFile.js'
import type { SegmentLedger } from './ledger.js'
import type { DiskPart } from './parts.js'

/** Written at once, between two turns of the event loop: a page takes less than a millisecond. */
const CHUNK_BYTES = 64 * 1024
const CHUNK_PIECES = 256
const TEMPORARY = '.tmp'

export interface IndexWriterOptions {
  readonly journal: string
  readonly directory: string
  readonly fileSystem: FileSystem
  readonly logger: Logger
  /** Lets the event loop have its turn. */
  readonly pause: () => Promise<void>
  /** Called when the file is in place; the places of each space are in it. */
  readonly onWritten: (ledger: SegmentLedger, places: ReadonlyMap<string, DiskPart>) => void
}

export class IndexWriter {
  readonly #queue: SegmentLedger[] = []
  #work: Promise<void> | null = null
  #isClosed = false

  constructor(private readonly options: IndexWriterOptions) {}

  /**
   * Takes the ledger of a closed segment. What fails is tried again with the next ledger, and at
   * the next start: until then its places stay in memory.
   */
  add(ledger: SegmentLedger): void {
    if (!ledger.isWhole) return
    this.#queue.push(ledger)
    this.#work ??= this.#run().finally(() => {
      this.#work = null
    })
  }

  /** Forgets a segment that is removed. Resolves when its index is not being written any more. */
  async forget(segment: number): Promise<void> {
    if (this.#queue[0]?.segment === segment) await this.idle()
    const at = this.#queue.findIndex((ledger) => ledger.segment === segment)
    if (at >= 0) this.#queue.splice(at, 1)
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    while (this.#work) await this.#work
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.idle()
  }

  async #run(): Promise<void> {
    const { logger, pause, onWritten } = this.options
    await pause()
    while (this.#queue.length > 0 && !this.#isClosed) {
      const ledger = this.#queue[0]!
      try {
        const places = await this.#write(ledger)
        if (places === null) return
        this.#queue.shift()
        onWritten(ledger, places)
      } catch (error) {
        logger.warn({ segment: ledger.segment, error: messageOf(error) },
          'the index of a journal segment cannot be written: its places stay in memory')
        return
      }
    }
  }

  /** Null: the journal was closed meanwhile. */
  async #write(ledger: SegmentLedger): Promise<Map<string, DiskPart> | null> {
    const { fileSystem, directory } = this.options
    const path = join(directory, indexName(ledger.segment))
    await fileSystem.remove(path + TEMPORARY).catch(ignoreMissing)
    try {
      const places = await this.#fill(path + TEMPORARY, ledger)
      if (places === null) await fileSystem.remove(path + TEMPORARY)
      // Not synced: a name that a power cut takes costs a scan.
      else await fileSystem.rename(path + TEMPORARY, path)
      return places
    } catch (error) {
      await fileSystem.remove(path + TEMPORARY).catch(() => undefined)
      throw error
    }
  }

  async #fill(path: string, ledger: SegmentLedger): Promise<Map<string, DiskPart> | null> {
    const handle = await this.options.fileSystem.open(path, 'create')
    try {
      const places = await this.#put(handle, ledger)
      if (places !== null) await handle.datasync()
      return places
    } finally {
      await handle.close()
    }
  }

  /** The head comes last, when the checksum of the table is known. */
  async #put(handle: FileHandle, ledger: SegmentLedger): Promise<Map<string, DiskPart> | null> {
    const table = await this.#tableOf(ledger)
    let at = INDEX_HEAD_BYTES
    let some: Buffer[] = []
    let bytes = 0
    for (const piece of pieces(ledger, table)) {
      some.push(piece)
      bytes += piece.length
      if (bytes < CHUNK_BYTES && some.length < CHUNK_PIECES) continue
      await handle.write(some, at)
      at += bytes
      some = []
      bytes = 0
      await this.options.pause()
      if (this.#isClosed) return null
    }
    await handle.write(some, at)
    const head = encodeIndexHead(this.options.journal, ledger, {
      tableBytes: bytesOf(table),
      tableCrc: table.reduce((sum, piece) => crc32c(piece, sum), 0),
      fileBytes: at + bytes,
    })
    await handle.write([head], 0)
    return placesOf(ledger, INDEX_HEAD_BYTES + bytesOf(table))
  }

  async #tableOf(ledger: SegmentLedger): Promise<Buffer[]> {
    const count = Buffer.alloc(4)
    count.writeUInt32LE(ledger.spaces.size)
    const table: Buffer[] = [count]
    let offset = 0
    for (const [uuid, space] of ledger.spaces) {
      table.push(encodeSpace(uuid, space, offset))
      offset += blockBytes(space.places.length)
      if (table.length % CHUNK_PIECES === 0) await this.options.pause()
    }
    return table
  }
}

/** Where the places of each space are, the first of them at `offset`. */
function placesOf(ledger: SegmentLedger, offset: number): Map<string, DiskPart> {
  const places = new Map<string, DiskPart>()
  let at = offset
  for (const [uuid, space] of ledger.spaces) {
    const count = space.places.length
    if (count > 0) places.set(uuid, { count, offset: at })
    at += blockBytes(count)
  }
  return places
}

function* pieces(ledger: SegmentLedger, table: readonly Buffer[]): Generator<Buffer> {
  yield* table
  for (const { places } of ledger.spaces.values()) yield* encodeBlock(places)
}

function bytesOf(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, { length }) => sum + length, 0)
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof FileSystemError) || error.code !== 'ENOENT') throw error
}
