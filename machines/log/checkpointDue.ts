import type { EpochHistory } from '../base/ids.js'
import { spansBetween } from './positions.js'

/** Bytes of one space in the journal, and of its checkpoints. */
export interface CheckpointNeed {
  /** Of its frames that were written since its newest checkpoint. */
  readonly newBytes: number
  /** Of its newest checkpoint; 0: it has none. */
  readonly lastBytes: number
  /** Number of epochs that have entries above that checkpoint, and in the store. */
  readonly newEpochs: number
  /** Set if a segment that should be given up is kept for this space. */
  readonly pinning: PinningNeed | null
}

export interface PinningNeed {
  /** Of the newest checkpoints of all spaces for which that segment is kept. */
  readonly checkpointBytes: number
  /** That all spaces of the node have written since the newest checkpoint of this one. */
  readonly nodeBytes: number
  /** A later checkpoint may find no room. */
  readonly isRoomShort: boolean
}

export interface CheckpointLimits {
  readonly checkpointBytes: number
  readonly checkpointRatio: number
  /** Epochs that a history keeps; only checkpoints shorten it. */
  readonly coveredSpansMax: number
}

/**
 * Returns how far a space is past the point at which a checkpoint is due: 1 or more, it is due. It
 * is due when the journal has grown by `checkpointRatio` times its last checkpoint, so that
 * checkpoints write at most 1 / `checkpointRatio` of what the journal does; and when it has as many
 * epochs as a history should, which only checkpoints shorten. One that keeps a
 * segment is due, too, when all spaces together have written `checkpointRatio` times what it costs
 * to take checkpoints of all that do so. While room is short, they are taken in pairs, since only
 * two let a segment go: a pair whenever as much was written as one of each costs.
 */
export function checkpointNeed(
  { newBytes, lastBytes, newEpochs, pinning }: CheckpointNeed,
  { checkpointBytes, checkpointRatio, coveredSpansMax }: CheckpointLimits,
): number {
  const own = Math.max(
    newBytes / Math.max(checkpointBytes, checkpointRatio * lastBytes),
    newEpochs / coveredSpansMax,
  )
  if (pinning === null) return own
  const ratio = pinning.isRoomShort ? Math.min(shortRatio, checkpointRatio) : checkpointRatio
  return pinning.nodeBytes >= ratio * pinning.checkpointBytes ? Math.max(own, 1) : own
}

/** In place of `checkpointRatio`, for pairs of them on a disk that is nearly full. */
const shortRatio = 1
/** Left free by checkpoints: writes come first. */
export const spareBytes = 64 * 1024 * 1024
/** A small or new checkpoint is expected to need as much room. */
export const checkpointBytesMin = 1024 * 1024

/** Returns the room that a checkpoint is expected to need beside writes, bytes. */
export function neededBytes(lastBytes: number): number {
  return Math.max(lastBytes, checkpointBytesMin) + spareBytes
}

/**
 * Returns the room below which a space may soon lack what its next two checkpoints need, bytes.
 * `olderBytes`: of the one that the next takes the place of; 0: of none. The state may have grown
 * by all that the journal has of it since the last one, and the two are as large then.
 */
export function shortBytes(
  { newBytes, lastBytes, olderBytes }:
    & Pick<CheckpointNeed, 'newBytes' | 'lastBytes'>
    & { readonly olderBytes: number },
): number {
  return neededBytes(lastBytes) + 2 * newBytes + Math.max(0, lastBytes - olderBytes)
}

/** Number of epochs that have entries above a sequence, up to the last one that is applied. */
export function epochsBetween(
  { history }: Pick<EpochHistory, 'history'>,
  above: number,
  applied: number,
): number {
  return spansBetween(history, above, applied).length
}
