/** How much of the event loop the reading of an image takes. */

export interface ImageProgress {
  /** Since the checkpoint was begun. */
  readonly passedMs: number
  /** How far the space is past the point at which a checkpoint is due; 1: just there. */
  readonly need: number
  /** Bytes that the store's file has grown by since the image was taken. */
  readonly grownBytes: number
  /** Of the state, about. */
  readonly stateBytes: number
}

/** An image is to be read in this time, however busy the loop is. */
export const imageMsAim = 60_000
const duty = 0.1
const lateDuty = 0.3
/** The journal has grown by twice the bytes at which the checkpoint was due. */
const lateNeed = 2
const lastDuty = 0.5
/** Writes wait for most of the time, so that the file does not grow by much more. */
const outgrownDuty = 0.8
/** A file that grows by less is not worth a hurry, however small the state is. */
const stateBytesMin = 64 * 1024 * 1024

/**
 * Returns the share of the loop's time. While an image is open, LMDB uses no page again: each write
 * makes the file larger, for good, and under full load that is many times what is written. So the
 * more it has grown, as a share of the state, the faster the image is read.
 */
export function imageDuty({ passedMs, need, grownBytes, stateBytes }: ImageProgress): number {
  const grown = grownBytes / Math.max(stateBytes, stateBytesMin)
  if (grown > 1) return outgrownDuty
  if (grown > 0.5 || passedMs > 3 * imageMsAim) return lastDuty
  return grown > 0.125 || passedMs > imageMsAim || need >= lateNeed ? lateDuty : duty
}
