/**
 * The relation of two writes by their positions, as the product judges it, is that of their vector clocks:
 * two records that know nothing of each other.
 */
import type { Position } from '../../../machines/base/ids.js'
import type { Relation } from '../../../machines/forks/merge.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import type { Version } from '../../../machines/log/forkNotes.js'
import { componentsMax, covers, dotOf } from '../../../machines/log/vectorClock.js'
import type { SimNode } from '../../support/simNode.js'
import { space } from '../plan.js'
import type { CheckedWorld } from './checkedWorld.js'

/** As `actors/forks/reconciler.ts` logs it. */
interface Reconciled {
  readonly origin: Position
  readonly met: readonly { readonly version: Version; readonly relation: Relation }[]
}

/**
 * A forced epoch may know of no log that its writes were appended to, and where epochs below the
 * root of a history began is not known: what is not known counts as concurrent
 * (machines/log/lineage.ts), which is counted, and no finding.
 */
export class ClockChecks {
  constructor(private readonly world: CheckedWorld) {}

  /** A primary has judged a write of a fork. */
  reconciled(node: SimNode, { origin, met }: Reconciled): void {
    const { checks } = this.world
    checks.saw('writes of forks judged')
    for (const { version, relation } of met) {
      const byClocks = this.relationByClocks(node, origin, version)
      if (typeof byClocks !== 'string') {
        checks.saw(`relations not checked: ${byClocks.skipped}`)
        continue
      }
      if (byClocks !== relation && relation === 'concurrent' && checks.record.hasForced) {
        checks.saw('relations that a forced epoch could not know')
        continue
      }
      if (byClocks !== relation && relation === 'concurrent' && isSummedUp(node, origin, version)) {
        checks.saw('relations that a history does not tell any more')
        continue
      }
      checks.saw(`relations checked: ${relation}`)
      if (byClocks === relation) continue
      this.world.violate('clock', `${node.id} takes ${show(version)}, in its log at `
        + `${version.at}, for ${relation} as seen from ${
          show(origin)
        }; the clocks say ${byClocks}: `
        + `${this.clockOf(version)}, seen from ${this.clockOf(origin)}`)
    }
  }

  private relationByClocks(
    node: SimNode,
    origin: Position,
    version: Version,
  ): Relation | { readonly skipped: string } {
    const { entries, record } = this.world.checks
    const write = entries.at(origin)
    const first = entries.at(version)
    if (record.hasLostBucket) return { skipped: 'the bucket was lost' }
    if (!write || !first) return { skipped: 'one is not numbered' }
    // An entry that is not yet numbered was not there when the write was logged.
    const copies = this.copiesOf(first, version.at, node)
    if ([write, first, ...copies].some(isTruncated)) return { skipped: 'truncated' }
    if ([first, ...copies].some((entry) => knows(write, entry))) return 'before'
    return knows(first, write) ? 'after' : 'concurrent'
  }

  /**
   * The entry in the node's log that the write is now. Below the root of its history the node does
   * not know of which epoch that is: there it is an entry of that place with the same operation.
   */
  private copiesOf({ operation }: LogEntry, sequence: number, node: SimNode): LogEntry[] {
    const { log } = node.space(space).member
    const at = (epoch: number) => this.world.checks.entries.at({ epoch, sequence }) ?? []
    if (sequence > log.root.sequence) return [at(log.epochAt(sequence))].flat()
    return Array.from({ length: log.root.epoch }, (_, index) => at(index + 1)).flat()
      .filter((entry) => JSON.stringify(entry.operation) === JSON.stringify(operation))
  }

  private clockOf(place: Position): string {
    return JSON.stringify(this.world.checks.entries.at(place)?.vectorClock)
  }
}

/** One of them is of an epoch of which the history of the node does not tell. */
function isSummedUp(node: SimNode, origin: Position, version: Version): boolean {
  return Math.min(origin.epoch, version.epoch) < node.space(space).member.log.root.epoch
}

function isTruncated({ vectorClock }: LogEntry): boolean {
  return Object.keys(vectorClock).length >= componentsMax
}

/** True if the other one is in the log that the entry was appended to, or is the same. */
function knows({ vectorClock }: LogEntry, other: LogEntry): boolean {
  const dot = dotOf(other.vectorClock, other.epoch)
  if (!dot) throw new Error(`bug: the clock of ${show(other)} lacks its own number`)
  return covers(vectorClock, dot)
}

function show({ epoch, sequence }: Position): string {
  return `(${epoch}, ${sequence})`
}
