/** Pages of an LMDB file, counted by LMDB in its head: nothing is read for it. */
import type { RootDatabase } from 'lmdb'

export interface PageUse {
  readonly liveBytes: number
  readonly freeBytes: number
}

export interface LmdbStats {
  readonly pageSize: number
  readonly entryCount: number
  readonly lastPageNumber: number
  readonly free: PageCounts
}

interface PageCounts {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

const metaPages = 2

const pagesOf = (tree: PageCounts): number =>
  tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages

/** All records are in the main database. */
export function pageUse(records: RootDatabase<Buffer, Buffer>): PageUse {
  const stats = records.getStats() as LmdbStats & PageCounts
  const live = metaPages + pagesOf(stats) + pagesOf(stats.free)
  const free = Math.max(0, stats.lastPageNumber + 1 - live)
  return { liveBytes: live * stats.pageSize, freeBytes: free * stats.pageSize }
}

/** Of the file, free pages included. */
export function fileBytesOf(records: RootDatabase<Buffer, Buffer>): number {
  const { lastPageNumber, pageSize } = records.getStats() as LmdbStats
  return (lastPageNumber + 1) * pageSize
}
