import type { WorkLanes } from '../messaging/workLanes.js'
import type { NodePorts } from '../ports/node.js'
import type { Account, Budget } from '../structures/budget.js'

/** The shortage ends below this share of the budget's bound for writes. */
const clearedAt = 0.9

/** Heartbeats between two sums over all spaces: these grow slowly, and there may be many. */
const sumEvery = 10

/**
 * Once per heartbeat: measures what changes too often to be counted at each change, and logs when
 * writes are refused for lack of memory, and when they are accepted again.
 */
export class MemoryWatch {
  private readonly reads: Account
  private readonly keys: Account
  private readonly journal: Account
  private isShort = false
  private ticks = 0

  constructor(
    private readonly budget: Budget,
    private readonly lanes: WorkLanes,
    private readonly ports: Pick<NodePorts, 'store' | 'journal' | 'logger'>,
  ) {
    this.reads = budget.account('reads')
    this.keys = budget.account('keys')
    this.journal = budget.account('journal')
  }

  tick(): void {
    const { budget, lanes, ports: { store, journal, logger } } = this
    this.reads.set(lanes.reads.heldBytes + lanes.status.heldBytes)
    if (this.ticks % sumEvery === 0) {
      this.keys.set(store.keyBytes)
      this.journal.set(journal.stats().indexBytes)
    }
    this.ticks += 1
    // Hysteresis: a node that stays at the bound would log this at each heartbeat.
    const isShort = this.isShort ? !budget.allows('writes', clearedAt) : !budget.allows('writes')
    if (isShort === this.isShort) return
    this.isShort = isShort
    const { bytesMax, usedBytes } = budget
    if (isShort) {
      logger.warn({ bytesMax, usedBytes, used: budget.uses() },
        'out of memory for new writes: they get OVERLOADED (see memoryBytes)')
    } else logger.info({ bytesMax, usedBytes }, 'new writes are accepted again')
  }
}
