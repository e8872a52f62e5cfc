/** I14: what is given up is committed, and two checkpoints on that disk have it. */
import { epochAt } from '../../../machines/log/positions.js'
import type { Journal } from '../../../actors/ports/journal.js'
import type { SimNode } from '../../support/simNode.js'
import type { CheckedWorld } from './checkedWorld.js'
import { inFull } from './inFull.js'

export class RemovalChecks {
  /** Of each disk: up to where the entries of a space were given up. */
  private readonly bases = new WeakMap<object, Map<string, number>>()

  constructor(private readonly world: CheckedWorld) {}

  /** The oldest segment of the journal is gone. */
  removed(node: SimNode, journal: Journal): void {
    const { checks } = this.world
    checks.saw('segments given up')
    const { checkpoints } = node.actor.context!.ports
    for (const log of journal.logs()) {
      const { uuid, base, covers } = log
      const history = inFull(log, checks.logs.begins)
      checks.entries.givenUp(node.disk, history, base.sequence)
      const isMore = base.sequence > (this.basesOf(node).get(uuid) ?? 0)
      this.basesOf(node).set(uuid, base.sequence)
      // A log that was cut since, or made room on a full disk, has one of them less.
      if (!isMore || checks.record.mayLoseCommitted) continue
      const having = covers.kept.filter((kept) =>
        kept.position.sequence >= base.sequence && checkpoints.find(uuid, kept) !== null
      )
      const installed = covers.installs > 0 && covers.kept.length === 1
      if (having.length < 2 && !installed) {
        this.world.violate('I14', `${node.id} has given up entries up to ${base.sequence}, which `
          + `${having.length} of its checkpoints have: ${JSON.stringify(covers.kept)}`)
      }
      const { sequence } = base
      const epoch = epochAt(history, sequence)
      const lacking = checks.record.inSyncLacking({ epoch, sequence })
      if (lacking === null) continue
      this.world.violate('I14', `${node.id} has given up (${epoch}, ${sequence}), which `
        + `${lacking} lacks and is in sync`)
    }
  }

  private basesOf({ disk }: SimNode): Map<string, number> {
    let bases = this.bases.get(disk)
    if (!bases) this.bases.set(disk, bases = new Map())
    return bases
  }
}
