/** Pages of index files, as far as they are in memory. */
import { FileSystemError, type FileSystem } from '../../actors/ports/fileSystem.js'
import { checkedPage, indexName, spotBytes, type PageSpot } from './indexFile.js'
import { SegmentReaders } from './segment.js'

const CACHE_BYTES = 4 * 1024 * 1024

/** The page is not what was written, or cannot be read: its segment has to be scanned. */
export class IndexUnusableError extends Error {
  readonly code = 'INDEX_UNUSABLE'
  constructor(spot: PageSpot, reason: string, cause?: unknown) {
    super(`the index of segment ${spot.segment} cannot be used at offset ${spot.offset}: ${reason}`,
      { cause })
    this.name = 'IndexUnusableError'
  }
}

export class IndexPages {
  readonly #readers: SegmentReaders
  /** Used last comes last. */
  readonly #pages = new Map<string, { readonly segment: number; readonly bytes: Buffer }>()
  #memoryBytes = 0

  constructor(fileSystem: FileSystem, directory: string, private readonly bytesMax = CACHE_BYTES) {
    this.#readers = new SegmentReaders(fileSystem, directory, indexName)
  }

  get memoryBytes(): number {
    return this.#memoryBytes
  }

  get(spot: PageSpot): Buffer | undefined {
    const key = keyOf(spot)
    const page = this.#pages.get(key)
    if (!page) return undefined
    this.#pages.delete(key)
    this.#pages.set(key, page)
    return page.bytes
  }

  /** Reads a page that `get` has not. Throws IndexUnusableError. */
  async load(spot: PageSpot): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(spotBytes(spot))
    let got: number
    try {
      got = await this.#readers.use(spot.segment, (handle) => handle.read(bytes, spot.offset))
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error
      throw new IndexUnusableError(spot, error.message, error)
    }
    const page = got < bytes.length ? null : checkedPage(bytes)
    if (!page) throw new IndexUnusableError(spot, 'bad checksum')
    this.#keep(spot, page)
    return page
  }

  /** The index of that segment is another file now, or none. */
  forget(segment: number): void {
    this.#readers.forget(segment)
    for (const [key, page] of this.#pages) if (page.segment === segment) this.#drop(key)
  }

  close(): void {
    this.#readers.close()
  }

  #keep(spot: PageSpot, bytes: Buffer): void {
    const key = keyOf(spot)
    this.#drop(key)
    this.#pages.set(key, { segment: spot.segment, bytes })
    this.#memoryBytes += bytes.length
    for (const oldest of this.#pages.keys()) {
      if (this.#memoryBytes <= this.bytesMax || oldest === key) return
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    this.#memoryBytes -= this.#pages.get(key)?.bytes.length ?? 0
    this.#pages.delete(key)
  }
}

function keyOf(spot: PageSpot): string {
  return `${spot.segment}/${spot.offset}`
}
