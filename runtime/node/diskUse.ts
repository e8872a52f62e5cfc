/** What the status says about the disk of a node. */
import type { NodeContext } from '../../actors/member/context.js'
import type { DiskUse } from '../status/diskUse.js'
import type { CheckpointStatus } from '../status/status.js'
import type { DiskSample } from '../system/diskUse.js'

/** Parts of a data directory. */
export const meteredFolders = ['journal', 'checkpoints', 'store', 'salvage']

/** A file system should not be fuller than that. */
const capShare = 0.9

export function diskUseOf(sample: DiskSample | null, storeFreeBytes: number): DiskUse | null {
  if (!sample) return null
  const { folders, totalBytes, freeBytes } = sample
  return {
    usedBytes: meteredFolders.reduce((sum, name) => sum + (folders[name] ?? 0), 0),
    capBytes: Math.floor(totalBytes * capShare),
    journalBytes: folders['journal'] ?? 0,
    checkpointBytes: folders['checkpoints'] ?? 0,
    storeBytes: folders['store'] ?? 0,
    storeFreeBytes,
    salvageBytes: folders['salvage'] ?? 0,
    freeBytes,
  }
}

/** The newest one that counts. */
export function checkpointOf(
  { ports: { journal, checkpoints } }: NodeContext,
  uuid: string,
  wallMs: number,
): CheckpointStatus | null {
  const kept = journal.log(uuid)?.covers.kept ?? []
  const newest = kept.at(-1)
  if (!newest) return null
  const section = checkpoints.find(uuid, newest)
  return {
    sequence: newest.position.sequence,
    ageMs: section && Math.max(0, Math.round(wallMs - section.writtenAtMs)),
    bytes: section && section.bytes,
    kept: kept.length,
  }
}
