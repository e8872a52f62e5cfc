/**
 * A file that is being received, `<uuid>.<id>.part`. There is no file of progress beside it that
 * would have to agree with it: what is there up to the first block that does not verify counts.
 */
import { join } from 'node:path'
import { CheckpointDamagedError, CheckpointVersionError, type Part, type SectionReader,
  type StoredSection } from '../../actors/ports/checkpoints.js'
import { type FileHandle, type FileSystem, FileSystemError } from '../../actors/ports/fileSystem.js'
import { BlockReader } from './blockReader.js'
import { type FileHead, readFileHead, readFileHeader, sectionsOf } from './fileHead.js'
import { FILE_HEADER_BYTES } from './format.js'
import { openSection } from './sectionReader.js'
import { SYNC_BYTES } from './writer.js'

export interface PartOptions {
  readonly fileSystem: FileSystem
  readonly directory: string
  readonly uuid: string
  readonly id: string
  readonly totalBytes: number
  /** Renames the part to the next checkpoint file; its number. */
  readonly keep: (path: string, head: FileHead) => Promise<number>
}

const SUFFIX = '.part'

export function partName(uuid: string, id: string): string {
  return `${uuid}.${id}${SUFFIX}`
}

/** Uuid and id of a part, or null. */
export function partOf(name: string): { uuid: string; id: string } | null {
  const found = /^([0-9a-f-]{36})\.([0-9a-f-]{36})\.part$/.exec(name)
  return found && { uuid: found[1]!, id: found[2]! }
}

export async function openPart(options: PartOptions): Promise<Part> {
  const { fileSystem, directory, uuid, id } = options
  const path = join(directory, partName(uuid, id))
  const isThere = (await fileSystem.list(directory)).includes(partName(uuid, id))
  const handle = await fileSystem.open(path, isThere ? 'readWrite' : 'create')
  try {
    const bytes = isThere ? await soundBytes(handle, options) : 0
    if (isThere) await handle.truncate(bytes)
    return new ReceivedPart(handle, path, bytes, options)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Length of what is there, up to the first fault. */
async function soundBytes(
  handle: FileHandle,
  { uuid, id, totalBytes }: PartOptions,
): Promise<number> {
  const name = partName(uuid, id)
  const size = Math.min(await handle.size(), totalBytes)
  let sound = 0
  try {
    const header = await readFileHeader(handle, name)
    if (header.id !== id) return 0
    const { firstBlock: block } = header
    sound = FILE_HEADER_BYTES
    const reader = new BlockReader(handle, { name, id, offset: sound, block, end: size })
    for (let read = await reader.next(); read !== null; read = await reader.next()) {
      sound = read.end
    }
    return sound
  } catch (error) {
    const isUseless = error instanceof CheckpointDamagedError
      || error instanceof CheckpointVersionError
    if (isUseless) return sound
    throw error
  }
}

/** A file that is gone already is no error. */
export async function removeFile(fileSystem: FileSystem, path: string): Promise<void> {
  try {
    await fileSystem.remove(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof FileSystemError && error.code === 'ENOENT'
}

class ReceivedPart implements Part {
  private synced: number
  private file: number | null = null
  private isClosed = false

  constructor(
    private readonly handle: FileHandle,
    private readonly path: string,
    public bytes: number,
    private readonly options: PartOptions,
  ) {
    this.synced = bytes
  }

  get uuid(): string {
    return this.options.uuid
  }

  get id(): string {
    return this.options.id
  }

  get totalBytes(): number {
    return this.options.totalBytes
  }

  async append(chunk: Uint8Array): Promise<void> {
    if (this.bytes + chunk.length > this.totalBytes) {
      throw new RangeError(`bug: ${this.bytes + chunk.length} bytes of ${this.totalBytes}`)
    }
    await this.handle.write([chunk], this.bytes)
    this.bytes += chunk.length
    if (this.bytes - this.synced >= SYNC_BYTES) await this.sync()
  }

  async open(): Promise<SectionReader> {
    const { fileSystem } = this.options
    const handle = await fileSystem.open(this.path, 'read')
    try {
      const head = await this.head(handle)
      return await openSection(handle, head, sectionsOf(head, 0)[0]!)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async finish(): Promise<StoredSection> {
    const head = await this.head(this.handle)
    if (this.file === null) await this.sync()
    this.file = await this.options.keep(this.path, head)
    await this.close()
    return sectionsOf(head, this.file)[0]!
  }

  async discard(): Promise<void> {
    await this.close()
    await removeFile(this.options.fileSystem, this.path)
  }

  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    await this.handle.close()
  }

  private async sync(): Promise<void> {
    try {
      await this.handle.datasync()
    } catch (error) {
      // What it lost is not known, and a second sync would not tell.
      await this.discard().catch(() => undefined)
      throw error
    }
    this.synced = this.bytes
  }

  /** Of the whole file, which has to be the one that was asked for. */
  private async head(handle: FileHandle): Promise<FileHead> {
    const { uuid, id, totalBytes } = this.options
    const name = partName(uuid, id)
    const head = await readFileHead(handle, name)
    const [place, ...others] = head.places
    if (head.header.id !== id || place!.uuid !== uuid || others.length > 0
      || head.bytes !== totalBytes)
    {
      throw new CheckpointDamagedError(name, 'it is not the file that was asked for')
    }
    return head
  }
}
