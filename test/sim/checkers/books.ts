/**
 * The books, when all is calm again: every member has the same log and graph (I3, I8), what was
 * answered is accounted for (I5, I6), and no key took effect twice (I7).
 */
import type { WriteAnswer } from '../../../actors/ports.js'
import type { LogEntry } from '../../../machines/memory.js'
import { createFrameCodec } from '../../../runtime/codec/frames.js'
import type { SimNode } from '../../support/simNode.js'
import type { WriteRecord } from '../history.js'
import { space } from '../plan.js'
import type { World } from '../world.js'

/** The token that the workload put into an operation; null: none of its operations. */
export function tokenOf({ operation }: LogEntry): string | null {
  if (operation.type === 'StoreNode') return operation.node.content ?? null
  return operation.type === 'StoreEdge' ? operation.edge.target : null
}

export class Books {
  private constructor(
    private readonly world: World,
    readonly log: readonly LogEntry[],
    private readonly salvaged: ReadonlySet<string>,
  ) {}

  /** Reads the logs and salvages of all nodes; they must be level. */
  static async read(world: World): Promise<Books> {
    const { cluster } = world
    const primary = cluster.primary(space)!
    const log = await cluster.entries(primary.id, space)
    const text = JSON.stringify(log)
    const { digest } = primary.space(space).member.store
    for (const node of membersOf(world)) {
      const own = await cluster.entries(node.id, space)
      if (JSON.stringify(own) !== text) {
        const at = own.findIndex((entry, index) =>
          JSON.stringify(entry) !== JSON.stringify(log[index]))
        world.violate('I3', `the log of ${node.id} differs from that of ${primary.id} at `
          + `${JSON.stringify(own[at] ?? null)}, there ${JSON.stringify(log[at] ?? null)}`)
      }
      if (node.space(space).member.store.digest !== digest) {
        world.violate('I8', `the digest of ${node.id} differs from that of ${primary.id}`)
      }
    }
    return new Books(world, log, await salvagedTokens(world))
  }

  check(): void {
    this.numbered()
    this.applied()
    const placed = this.places()
    this.acknowledged(placed)
    this.refused(placed)
    this.order()
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

  /** What any store ever applied is in the log. */
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

  /** Where each token is; I7: a key's entries are there once. */
  private places(): Map<string, LogEntry[]> {
    const placed = new Map<string, LogEntry[]>()
    for (const entry of this.log) {
      const token = tokenOf(entry)
      if (token === null) continue
      const there = placed.get(token)
      if (!there) placed.set(token, [entry])
      else {
        there.push(entry)
        if (entry.writeId === null) continue
        this.world.violate('I7', `key ${entry.writeId} took effect at ${there.map(show).join()}`)
      }
    }
    return placed
  }

  /** I5, I6: each positive answer stands for entries at the place that it names. */
  private acknowledged(placed: Map<string, LogEntry[]>): void {
    for (const { write, answer } of this.world.history.acknowledged()) {
      const { tokens } = write
      if (answer.count !== tokens.length) {
        this.world.violate('I6', `${tokens.join()} was answered with count ${answer.count}`)
      }
      for (const [index, token] of tokens.entries()) {
        const sequence = answer.sequence - tokens.length + 1 + index
        const entries = placed.get(token) ?? []
        if (entries.some((entry) => entry.sequence === sequence)) continue
        if (entries.length > 0 && (answer.ack !== 'committed' || this.mayMove)) continue
        this.missing(write, token, sequence, answer)
      }
    }
  }

  private get mayMove(): boolean {
    return this.world.checks.record.mayLoseCommitted
  }

  private missing(
    { level }: WriteRecord, token: string, sequence: number, answer: WriteAnswer,
  ): void {
    const { ack, epoch, node } = answer
    if (ack === 'memory') return
    const isSalvaged = this.salvaged.has(token)
    const { disksLost, tailsCut } = this.world.checks.logs
    const isDiskLost = disksLost.has(node) || tailsCut.has(node)
    if (ack === 'durable' && (isSalvaged || isDiskLost)) return
    if (ack === 'committed' && this.mayMove && (isSalvaged || isDiskLost)) return
    this.world.violate(ack === 'committed' ? 'I5' : 'I6', `${token} (asked ${level}) was answered `
      + `${ack} at (${epoch}, ${sequence}) by ${node}, and is `
      + (isSalvaged ? 'in a salvage only' : 'neither in the log nor in a salvage'))
  }

  /**
   * "Not taken" is definite: nothing of it may be in the log. Beside a forced reign the one before
   * may go on for a while, and refuse what the other takes: I2 does not cover it.
   */
  private refused(placed: Map<string, LogEntry[]>): void {
    if (this.world.checks.record.hasForced) return
    for (const write of this.world.history.writes) {
      const isRefused = write.attempts.length > 0 && write.attempts.every(({ answer }) =>
        answer?.ok === false && answer.outcome === 'notTaken')
      if (!isRefused) continue
      for (const token of write.tokens) {
        const [entry] = placed.get(token) ?? []
        if (!entry) continue
        this.world.violate('notTaken', `${token} was refused as not taken `
          + `(${JSON.stringify(write.attempts[0]?.answer)}), and is in the log: ${show(entry)}`)
      }
    }
  }

  /**
   * Requests of one connection are logged in the order they were sent, within an epoch. What was
   * answered at level `memory` may be lost in a failed flush, and its sequence used again.
   */
  private order(): void {
    const last = new Map<string, { number: number; sequence: number; token: string }>()
    const sorted = [...this.world.history.acknowledged()]
      .filter(({ write, answer }) => !answer.duplicate && answer.ack !== 'memory'
        && write.attempts.length === 1)
      .toSorted((a, b) => a.attempt.number - b.attempt.number)
    for (const { write, attempt, answer } of sorted) {
      const lane = `${write.client}/${attempt.connection}/${answer.epoch}`
      const before = last.get(lane)
      if (before && before.sequence >= answer.sequence) {
        this.world.violate('order', `${write.client} sent ${before.token} before `
          + `${write.tokens[0]}, they are logged at ${before.sequence} and ${answer.sequence}`)
      }
      last.set(lane, {
        number: attempt.number, sequence: answer.sequence, token: write.tokens[0] ?? '',
      })
    }
  }
}

/** Nodes that hold the space. */
export function membersOf(world: World): SimNode[] {
  const members = world.checks.record.current?.members ?? []
  return world.nodes.filter((node) => node.life && members.some(({ node: id }) => id === node.id))
}

function show({ epoch, sequence, writeId, operation }: LogEntry): string {
  return `(${epoch}, ${sequence}) ${writeId ?? ''} ${JSON.stringify(operation)}`
}

async function salvagedTokens(world: World): Promise<Set<string>> {
  const codec = createFrameCodec()
  const found = new Set<string>()
  for (const { life } of world.nodes) {
    const salvages = life?.actor.context?.ports.salvages
    for (const { name, header } of await salvages?.list() ?? []) {
      if (header.space !== space) continue
      const { frames } = await salvages!.read(name)
      for (const frame of frames) {
        for (const entry of codec.entries(frame)) {
          const token = tokenOf(entry)
          if (token !== null) found.add(token)
        }
      }
    }
  }
  return found
}
