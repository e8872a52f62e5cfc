/** Holds what a journal has given up against the checkpoints that have it (I14). Pure. */
import type { Position } from '../../machines/base/ids.js'
import type { CheckpointReport } from './inspect.js'

export interface LogBase {
  readonly uuid: string
  /** The position before the first entry that can be read. */
  readonly base: Position
}

export interface BaseReport extends LogBase {
  /** Number of checkpoints that count, can be used, and reach the base. */
  readonly checkpoints: number
  /** No checkpoint has what is missing, or null. */
  readonly fault: string | null
  readonly warning: string | null
}

/** Of the logs that do not begin at their first entry. */
export function checkBases(logs: readonly LogBase[], found: CheckpointReport): BaseReport[] {
  return logs.filter(({ base }) => base.sequence > 0).map(({ uuid, base }) => {
    const checkpoints = reaching(found, uuid, base)
    const gone = `entries up to ${base.sequence} are no longer in the journal`
    const fault = checkpoints > 0
      ? null
      : `${gone}, and no checkpoint that counts and can be used has them. If the store is lost, `
        + 'too, this member can only be installed by another one'
    const warning = checkpoints === 1
      ? `${gone}, and one checkpoint only has them: the other one cannot be used`
      : null
    return { uuid, base, checkpoints, fault, warning }
  })
}

function reaching({ files }: CheckpointReport, uuid: string, base: Position): number {
  return files.flatMap(({ sections }) => sections).filter((section) =>
    section.uuid === uuid && section.counts === true && section.fault === null
    && section.position.sequence >= base.sequence
  ).length
}
