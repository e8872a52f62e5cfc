/** How many bytes a data directory takes, measured now and then while somebody asks. */
import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'

/** Bytes on the disk, by folder, and of the file system. */
export interface DiskSample {
  readonly folders: Readonly<Record<string, number>>
  readonly freeBytes: number
  readonly totalBytes: number
}

const everyMs = 10_000

export class DiskMeter {
  private last: DiskSample | null = null
  private begunMs = -Infinity
  private isUnderWay = false

  /** `folders` are read with all that is below them; they may be missing. */
  constructor(
    private readonly directory: string,
    private readonly folders: readonly string[],
    private readonly nowMs: () => number,
  ) {}

  /** The last sample, or null; begins the next one if that is old. Never throws. */
  sample(): DiskSample | null {
    const nowMs = this.nowMs()
    if (!this.isUnderWay && nowMs - this.begunMs >= everyMs) {
      this.begunMs = nowMs
      this.isUnderWay = true
      void this.measure().finally(() => {
        this.isUnderWay = false
      })
    }
    return this.last
  }

  private async measure(): Promise<void> {
    try {
      const { bavail, blocks, bsize } = await statfs(this.directory)
      const folders: Record<string, number> = {}
      for (const name of this.folders) folders[name] = await bytesBelow(join(this.directory, name))
      this.last = { folders, freeBytes: bavail * bsize, totalBytes: blocks * bsize }
    } catch {
      this.last = null
    }
  }
}

/** Bytes that are allocated: a store's file may have holes. Files come and go meanwhile. */
async function bytesBelow(path: string): Promise<number> {
  let bytes = 0
  const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    const below = join(path, entry.name)
    if (entry.isDirectory()) bytes += await bytesBelow(below)
    else bytes += await stat(below).then(({ blocks }) => blocks * 512, () => 0)
  }
  return bytes
}
