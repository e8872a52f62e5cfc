/** Which spaces that are due get a checkpoint file together. */

export interface CheckpointSize {
  /** Of the newest checkpoint of the space; 0: it has none. */
  readonly lastBytes: number
  /** That its journal has grown by since. */
  readonly newBytes: number
}

/** A state of fewer bytes shares a file: one of its own would cost more than its bytes do. */
export const smallBytes = 1024 * 1024
export const groupBytesMax = 64 * 1024 * 1024
/**
 * Spaces of a file. Their records go into one flush of the journal: this takes the event loop some
 * milliseconds.
 */
export const groupSpacesMax = 256

/**
 * Puts small states together, where the first of them comes; the others are by themselves. A state
 * is about as large as it was last. It may have grown by as much as its journal has, and a file
 * that grows too large is never done: the sum is bounded by that.
 */
export function checkpointGroups<Due extends CheckpointSize>(all: readonly Due[]): Due[][] {
  const groups: Due[][] = []
  let shared: Due[] | null = null
  let bytes = 0
  for (const due of all) {
    const most = due.lastBytes + due.newBytes
    if ((due.lastBytes || due.newBytes) >= smallBytes || most > groupBytesMax) {
      groups.push([due])
      continue
    }
    if (shared?.length === groupSpacesMax || bytes + most > groupBytesMax) shared = null
    if (shared === null) {
      shared = []
      bytes = 0
      groups.push(shared)
    }
    shared.push(due)
    bytes += most
  }
  return groups
}

/** Counts which bytes of shared files are of checkpoints that count. */
export class SharedFiles {
  private readonly counted = new Map<number, { bytes: number; readonly sharedBytes: number }>()

  add({ file, bytes, sharedBytes }: {
    readonly file: number
    readonly bytes: number
    readonly sharedBytes: number
  }): void {
    if (bytes === sharedBytes) return
    const counted = this.counted.get(file)
    if (counted) counted.bytes += bytes
    else this.counted.set(file, { bytes, sharedBytes })
  }

  /** Those of which less than half counts: what is left in them should leave them, too. */
  sparse(): ReadonlySet<number> {
    const sparse = new Set<number>()
    for (const [file, { bytes, sharedBytes }] of this.counted) {
      if (2 * bytes < sharedBytes) sparse.add(file)
    }
    return sparse
  }
}
