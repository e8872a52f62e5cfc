/** What the status says about the disk of a node. */
import type { NodeContext } from '../../actors/member/context.js'
import type { CheckpointStatus, DiskUse } from '../status/status.js'
import type { DiskSample } from '../system/diskUse.js'

/** Folders of a data directory whose size is in no list: the others are counted by the node. */
export const meteredFolders = ['store', 'salvage']

/** A file system should not be fuller than that. */
const capShare = 0.9

export function diskUseOf(sample: DiskSample | null, context: NodeContext | null): DiskUse | null {
  if (!sample || !context) return null
  const { journal, checkpoints } = context.ports
  const journalBytes = journal.stats().bytes
  const checkpointBytes = checkpoints.files().reduce((sum, { bytes }) => sum + bytes, 0)
  const storeBytes = sample.folders['store'] ?? 0
  const salvageBytes = sample.folders['salvage'] ?? 0
  return {
    usedBytes: journalBytes + checkpointBytes + storeBytes + salvageBytes,
    capBytes: Math.floor(sample.totalBytes * capShare),
    journalBytes,
    checkpointBytes,
    storeBytes,
    salvageBytes,
    freeBytes: sample.freeBytes,
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
