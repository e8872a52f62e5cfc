/** A file system of which one call fails, chosen by its number. */
import { type FileHandle, type FileSystem, FileSystemError } from '../../actors/ports/fileSystem.js'

export class FailingFileSystem implements FileSystem {
  /** Calls that were made, of those that can fail. */
  calls = 0

  /** `failing`: number of the call that fails, from 0. A write of ENOSPC is made in part. */
  constructor(
    private readonly under: FileSystem,
    private readonly failing: number,
    private readonly code: string,
  ) {}

  makeDirectory(path: string): Promise<void> {
    return this.under.makeDirectory(path)
  }

  list(path: string): Promise<string[]> {
    return this.under.list(path)
  }

  async open(path: string, mode: 'create' | 'readWrite' | 'read'): Promise<FileHandle> {
    if (mode !== 'read') this.count(`open ${path}`)
    const handle = await this.under.open(path, mode)
    return {
      ...handle,
      write: async (buffers, offset) => {
        if (this.code === 'ENOSPC' && this.calls === this.failing) {
          await handle.write([Buffer.concat(buffers).subarray(0, 7)], offset)
        }
        this.count(`write to ${path}`)
        await handle.write(buffers, offset)
      },
      datasync: async () => {
        this.count(`sync ${path}`)
        await handle.datasync()
      },
      truncate: async (length) => {
        this.count(`truncate ${path}`)
        await handle.truncate(length)
      },
    }
  }

  async syncDirectory(path: string): Promise<void> {
    this.count(`sync ${path}`)
    await this.under.syncDirectory(path)
  }

  async rename(from: string, to: string): Promise<void> {
    this.count(`rename ${from}`)
    await this.under.rename(from, to)
  }

  async remove(path: string): Promise<void> {
    this.count(`remove ${path}`)
    await this.under.remove(path)
  }

  async link(from: string, to: string): Promise<void> {
    this.count(`link ${from}`)
    await this.under.link(from, to)
  }

  freeBytes(path: string): Promise<number> {
    return this.under.freeBytes(path)
  }

  private count(call: string): void {
    this.calls += 1
    if (this.calls === this.failing + 1) throw new FileSystemError(this.code, `cannot ${call}`)
  }
}
