/** Bytes of one space in the journal, and of its checkpoints. */
export interface CheckpointNeed {
  /** Of its frames that were written since its newest checkpoint. */
  readonly newBytes: number
  /** Of its newest checkpoint; 0: it has none. */
  readonly lastBytes: number
  /** Whether a segment that should be given up is kept for this space. */
  readonly isPinning: boolean
  /** That all spaces of the node have written since that checkpoint. */
  readonly nodeBytes: number
}

export interface CheckpointLimits {
  readonly checkpointBytes: number
  readonly checkpointRatio: number
}

/**
 * Returns how far a space is past the point at which a checkpoint is due: 1 or more, it is due. It
 * is due when the journal has grown by `checkpointRatio` times its last checkpoint, so that
 * checkpoints write at most 1 / `checkpointRatio` of what the journal does. One that keeps a
 * segment for others' sake is due as soon as all together have written as much as it costs.
 */
export function checkpointNeed(
  { newBytes, lastBytes, isPinning, nodeBytes }: CheckpointNeed,
  { checkpointBytes, checkpointRatio }: CheckpointLimits,
): number {
  const own = newBytes / Math.max(checkpointBytes, checkpointRatio * lastBytes)
  return isPinning && nodeBytes >= lastBytes ? Math.max(own, 1) : own
}
