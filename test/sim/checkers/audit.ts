/**
 * The audit, when all is calm again: every member has the same log and graph (I3, I8), what was
 * answered is found or reported (I5, I6), and no key took effect twice (I7).
 */
import type { LogEntry } from '../../../machines/log/entries.js'
import type { SimNode } from '../../support/simNode.js'
import { tokenOf } from '../operations.js'
import { space } from '../plan.js'
import type { World } from '../world.js'
import { checkpointFault } from './checkpoints.js'
import { Outcomes, show } from './outcomes.js'
import { salvagedWrites } from './salvages.js'
import { wholeLog } from './wholeLog.js'

export class Audit {
  private constructor(
    private readonly world: World,
    readonly log: readonly LogEntry[],
    private readonly outcomes: Outcomes,
  ) {}

  /** Reads the logs and salvages of all nodes; they must be level. */
  static async read(world: World): Promise<Audit> {
    const { cluster } = world
    const primary = cluster.primary(space)!
    const log = await wholeLog(world, primary)
    const text = JSON.stringify(log)
    const { member } = primary.space(space)
    const { digest } = member.store
    for (const node of membersOf(world)) {
      const own = await wholeLog(world, node)
      if (JSON.stringify(own) !== text) {
        const at = own.findIndex((entry, index) =>
          JSON.stringify(entry) !== JSON.stringify(log[index])
        )
        world.violate('I3', `the log of ${node.id} differs from that of ${primary.id} at `
          + `${JSON.stringify(own[at] ?? null)}, there ${JSON.stringify(log[at] ?? null)}`)
      }
      if (node.space(space).member.store.digest !== digest) {
        world.violate('I8', `the digest of ${node.id} differs from that of ${primary.id}`)
      }
    }
    const salvaged = new Map<SimNode, Map<string, LogEntry>>()
    for (const node of world.nodes) salvaged.set(node, await salvagedWrites(node))
    return new Audit(world, log, new Outcomes({ world, log, member, salvaged }))
  }

  async check(): Promise<void> {
    this.numbered()
    this.applied()
    await this.outcomes.check()
    await this.checkpoints()
    this.refused()
    this.order()
  }

  private async checkpoints(): Promise<void> {
    for (const node of membersOf(this.world)) {
      const fault = await checkpointFault(node, this.log)
      if (fault !== null) this.world.violate('I13', fault)
    }
  }

  /** Sequences without holes; epochs and timestamps that do not go back. */
  private numbered(): void {
    let before: LogEntry | null = null
    for (const entry of this.log) {
      const ok = entry.sequence === (before?.sequence ?? 0) + 1
        && entry.epoch >= (before?.epoch ?? 0) && entry.timestamp >= (before?.timestamp ?? 0)
      if (!ok) this.world.violate('I3', `${show(entry)} follows ${before ? show(before) : 'none'}`)
      before = entry
    }
  }

  /** Whatever any store ever applied is in the log. */
  private applied(): void {
    const { checks } = this.world
    if (checks.record.mayLoseCommitted) return
    for (const entry of this.log) {
      const text = `(${entry.epoch}, ${entry.sequence}) ${JSON.stringify(entry.operation)}`
      const known = checks.logs.appliedAt.get(entry.sequence)
      if (known !== undefined && known !== text) {
        this.world.violate('I8', `a store applied ${known}, the log has ${text}`)
      }
    }
  }

  /**
   * "Not taken" is definite: nothing of it may be in the log. Beside a forced epoch the one before
   * may go on for a while, and refuse what the other takes: I2 does not cover it.
   */
  private refused(): void {
    if (this.world.checks.record.hasForced) return
    const placed = new Map(this.log.map((entry) => [tokenOf(entry), entry]))
    for (const write of this.world.history.writes) {
      const isRefused = write.attempts.length > 0
        && write.attempts.every(({ answer }) =>
          answer?.ok === false && answer.outcome === 'notTaken'
        )
      if (!isRefused) continue
      for (const token of write.tokens) {
        const entry = placed.get(token)
        if (!entry) continue
        this.world.violate('notTaken', `${token} was refused as not taken `
          + `(${JSON.stringify(write.attempts[0]?.answer)}), and is in the log: ${show(entry)}`)
      }
    }
  }

  /**
   * Requests of one connection are logged in the order they were sent, within an epoch. A write
   * answered at level `memory` may be lost in a failed flush, and its sequence used again.
   */
  private order(): void {
    const last = new Map<string, { number: number; sequence: number; token: string }>()
    const sorted = [...this.world.history.acknowledged()]
      .filter(({ write, answer }) =>
        !answer.duplicate && answer.ack !== 'memory'
        && write.attempts.length === 1
      )
      .toSorted((a, b) => a.attempt.number - b.attempt.number)
    for (const { write, attempt, answer } of sorted) {
      const lane = `${write.client}/${attempt.connection}/${answer.epoch}`
      const before = last.get(lane)
      if (before && before.sequence >= answer.sequence) {
        this.world.violate('order', `${write.client} sent ${before.token} before `
          + `${write.tokens[0]}, they are logged at ${before.sequence} and ${answer.sequence}`)
      }
      last.set(lane, {
        number: attempt.number,
        sequence: answer.sequence,
        token: write.tokens[0] ?? '',
      })
    }
  }
}

/** Nodes that hold the space. */
export function membersOf(world: World): SimNode[] {
  const members = world.checks.record.current?.members ?? []
  return world.nodes.filter((node) => node.life && members.some(({ node: id }) => id === node.id))
}
