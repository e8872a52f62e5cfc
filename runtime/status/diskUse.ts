/** Bytes of a data directory, by use, and of the file system that it is on. */
export interface DiskUse {
  readonly usedBytes: number
  /** That it should not exceed. */
  readonly capBytes: number
  readonly journalBytes: number
  readonly checkpointBytes: number
  readonly storeBytes: number
  /** Of them, free for the store's next writes. Nodes of earlier releases do not say. */
  readonly storeFreeBytes?: number
  readonly salvageBytes: number
  /** Free for it on the file system, which others may use, too. */
  readonly freeBytes: number
}
