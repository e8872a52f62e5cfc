/** Segments that were given up: their files go one at a time, oldest first. */
import { join } from 'node:path'
import { FileSystemError, type FileSystem } from '../../actors/ports/fileSystem.js'
import { indexName } from './indexFile.js'
import { segmentName } from './segment.js'

export class GivenUp {
  readonly #files: number[]

  constructor(
    private readonly fileSystem: FileSystem,
    private readonly directory: string,
    /** Those that are left over from an earlier removal. */
    leftOver: readonly number[],
  ) {
    this.#files = [...leftOver]
  }

  /** Only after it is durable that this segment was given up. */
  add(segment: number): void {
    this.#files.push(segment)
  }

  /**
   * Removes the files. Each removal is durable before the next one: after a power cut a segment
   * could be back else, and a later one not, which would be a gap. Throws FileSystemError.
   */
  async clear(): Promise<void> {
    for (let segment = this.#files[0]; segment !== undefined; segment = this.#files[0]) {
      for (const name of [segmentName(segment), indexName(segment)]) {
        await this.fileSystem.remove(join(this.directory, name)).catch(ignoreMissing)
      }
      await this.fileSystem.syncDirectory(this.directory)
      this.#files.shift()
    }
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof FileSystemError) || error.code !== 'ENOENT') throw error
}
