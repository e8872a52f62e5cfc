/** I3, I4, I8, I9, I12: what is in the journals, what is durable, what stores have applied. */
import { crc32c } from '@node-rs/crc32'
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { Frame } from '../../../actors/ports/frames.js'
import type { Journal, JournalRecord } from '../../../actors/ports/journal.js'
import type { EpochSpan, Position } from '../../../machines/base/ids.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import { commonPoint, endOf, epochAt, origin } from '../../../machines/log/positions.js'
import { inFull } from './inFull.js'
import { extendHistory, truncateHistory } from '../../support/epochHistory.js'
import type { Ack } from '../../../machines/protocol/messages.js'
import { createFrameCodec, writerOf } from '../../../runtime/codec/frames.js'
import type { SimNode } from '../../support/simNode.js'
import { space } from '../plan.js'
import type { CheckedWorld } from './checkedWorld.js'

/** A node's disk of the space, by what the journal was asked and has answered. */
interface Ghost {
  disk: object
  /** Uuid of the disk, once a process has read it. */
  diskId: string
  written: readonly EpochSpan[]
  /** Survives a power cut. */
  durable: readonly EpochSpan[]
  bitFlipped: boolean
}

interface Seen {
  epoch: number
  applied: number
  /** As primary of that epoch; 0: none. What it was when the epoch began it had heard. */
  own: number
  safe: number
}

const frames = createFrameCodec()

/** What logs with these histories have in common. */
function inBoth(one: readonly EpochSpan[], other: readonly EpochSpan[]): readonly EpochSpan[] {
  const common = commonPoint({ root: origin, history: one }, { root: origin, history: other })
  return 'below' in common ? [] : truncateHistory(one, common.sequence)
}

export class LogChecks {
  /** Checksum of the frame that holds an entry, by epoch and sequence, of all ever written. */
  private readonly entries = new Map<number, Map<number, number>>()
  /** The entry that any store applied at a sequence: all must apply the same. */
  readonly appliedAt = new Map<number, string>()
  /** By epoch: the entry that its first one continues. */
  readonly begins = new Map<number, Position>()
  private readonly numbered = new Map<string, string>()
  private readonly ghosts = new Map<string, Ghost>()
  private readonly seen = new Map<string, Seen>()
  private uuid: string | null = null
  private steps = 0
  /** Disks that are gone, by the node that had them: what only they had may be missing. */
  readonly disksLost = new Set<string>()
  readonly disksFlipped = new Set<string>()
  /** Nodes whose last flush was cut for a flipped bit: what only they had may be missing. */
  readonly tailsCut = new Set<string>()

  constructor(private readonly world: CheckedWorld) {}

  private ghost(node: SimNode): Ghost {
    let ghost = this.ghosts.get(node.id)
    if (!ghost || ghost.disk !== node.disk) {
      ghost = { disk: node.disk, diskId: '', written: [], durable: [], bitFlipped: false }
      this.ghosts.set(node.id, ghost)
    }
    return ghost
  }

  diskLost(node: SimNode): void {
    this.disksLost.add(node.id)
    this.ghosts.delete(node.id)
    this.seen.delete(node.id)
  }

  /** Whether its disk has, or had, a flipped bit. */
  isFlipped(node: SimNode): boolean {
    return this.ghost(node).bitFlipped
  }

  bitFlipped(node: SimNode): void {
    this.ghost(node).bitFlipped = true
    this.disksFlipped.add(node.id)
  }

  /** Its graphs begin at (0, 0) again. */
  storeDiscarded(node: SimNode): void {
    const seen = this.seen.get(node.id)
    if (seen) seen.applied = 0
  }

  /** True if the node's disk durably has the entry, whatever became of its process. */
  holds(name: string, { epoch, sequence }: Position): boolean {
    const durable = this.ghosts.get(name)?.durable ?? []
    return endOf(durable).sequence >= sequence && epochAt(durable, sequence) === epoch
  }

  /** Uuid of the disk that the node has now; empty while nobody has read it. */
  diskOf(name: string): string {
    return this.ghosts.get(name)?.diskId ?? ''
  }

  /** Entries that are cut off may be gone from here on, and need not be. */
  writing(node: SimNode, records: readonly JournalRecord[]): void {
    const ghost = this.ghost(node)
    for (const record of records) {
      if (record.type === 'truncate') {
        ghost.durable = truncateHistory(ghost.durable, record.to.sequence)
      } else if (record.type === 'snapshotInstalled') {
        // Until its fsync the old log may be found, or the new one.
        ghost.durable = inBoth(ghost.durable, inFull(record.covers.history, this.begins))
      } else if (record.type === 'spaceDropped' && record.uuid === this.uuid) {
        this.world.checks.record.removing(node)
        ghost.durable = []
      }
    }
  }

  written(node: SimNode, records: readonly JournalRecord[]): void {
    const ghost = this.ghost(node)
    for (const record of records) {
      if (record.type === 'frame') {
        this.uuid ??= record.frame.uuid
        this.frame(node, record.frame)
        this.world.checks.entries.written(ghost.disk, record.frame)
        ghost.written = extendHistory(ghost.written, record.frame.epoch, record.frame.last)
      } else if (record.type === 'truncate') {
        this.world.checks.saw('truncations')
        ghost.written = truncateHistory(ghost.written, record.to.sequence)
      } else if (record.type === 'snapshotInstalled') {
        this.world.checks.saw('installs')
        ghost.written = inFull(record.covers.history, this.begins)
        if (ghost.bitFlipped) this.cutBehindHole(node, ghost)
      } else if (record.type === 'spaceDropped' && record.uuid === this.uuid) {
        this.world.checks.saw('data removed')
        ghost.written = []
        this.world.checks.entries.removed(ghost.disk)
        const seen = this.seen.get(node.id)
        if (seen) seen.applied = 0
      }
    }
  }

  /** What a damaged log had behind its first hole can be in no salvage. */
  private cutBehindHole(node: SimNode, { disk, written }: Ghost): void {
    const { entries, record } = this.world.checks
    this.tailsCut.add(node.id)
    entries.cutTo(disk, written)
    record.tailCut()
  }

  synced(node: SimNode): void {
    const ghost = this.ghost(node)
    ghost.durable = ghost.written
    this.world.checks.entries.synced(ghost.disk)
  }

  /** No number in the vector clocks means two entries. */
  private numbers(frame: Frame): void {
    const { first, last, epoch } = frame
    // Not who is seen to write it first: its writer may have died before that was seen.
    const writer = writerOf(frame)
    const clockAfter = frames.clockAfter(frame)[writer] ?? 0
    for (let sequence = first; sequence <= last; sequence += 1) {
      const number = `${writer} ${clockAfter - (last - sequence)}`
      const known = this.numbered.get(number)
      const place = `(${epoch}, ${sequence})`
      if (known !== undefined && known !== place) {
        this.world.violate('clock', `number ${number} of the vector clocks stands for ${known} `
          + `and for ${place}`)
      }
      this.numbered.set(number, place)
    }
  }

  /** I3: an entry of one epoch and sequence is in the same frame, byte by byte, on all members. */
  private frame(node: SimNode, frame: Frame): void {
    const { bytes, epoch, first, last, previousEpoch } = frame
    if (epoch !== previousEpoch) {
      this.begins.set(epoch, { epoch: previousEpoch, sequence: first - 1 })
    }
    const crc = crc32c(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
    let entries = this.entries.get(epoch)
    if (!entries) this.entries.set(epoch, entries = new Map())
    if (!entries.has(first)) this.numbers(frame)
    for (let sequence = first; sequence <= last; sequence += 1) {
      const known = entries.get(sequence)
      if (known === undefined) entries.set(sequence, crc)
      else if (known !== crc) {
        this.world.violate('I3', `${node.id} writes another entry at (${epoch}, ${sequence}) than `
          + `was there before: in frame ${first} to ${last}, after epoch ${previousEpoch}`)
      }
    }
  }

  /** I12: what recovery gives back. */
  recovered(node: SimNode, journal: Journal): void {
    const ghost = this.ghost(node)
    const { entries } = this.world.checks
    ghost.diskId = node.actor.disk
    entries.recovered(ghost.disk)
    const [log] = journal.logs()
    if (log?.damage || journal.recovery.damaged.length > 0) {
      if (!ghost.bitFlipped) {
        this.world.violate('I12', `${node.id} finds its journal damaged, and no bit was flipped: `
          + JSON.stringify(journal.recovery.damaged))
      }
      // Damage that an install has replaced since is found at each start until its segment is given
      // up. The log is whole: what recovery reports of it is durable, as ever.
      if (!log || log.damage !== null) return
    }
    const history = log ? inFull(log, this.begins) : []
    const promised = endOf(ghost.durable)
    const has = endOf(history).sequence >= promised.sequence
      && epochAt(history, promised.sequence) === promised.epoch
    if (!has && ghost.bitFlipped) {
      this.tailsCut.add(node.id)
      entries.cutTo(ghost.disk, history)
      this.world.checks.record.tailCut()
    } else if (!has && promised.sequence > 0) {
      this.world.violate('I12', `${node.id} recovers ${JSON.stringify(history)}, durable was `
        + JSON.stringify(ghost.durable))
    }
    // The journal goes on to change its own in place.
    ghost.written = [...history]
    ghost.durable = ghost.written
  }

  /** I4: no positive answer above `memory` before the fdatasync that covers it. */
  answered(node: SimNode, { ack, sequence }: WriteAnswer): void {
    if (ack === 'memory') return
    const { durable } = this.ghost(node)
    const own = epochAt(inFull(node.space(space).member.log, this.begins), sequence)
    if (endOf(durable).sequence >= sequence && epochAt(durable, sequence) === own) return
    this.world.violate('I4', `${node.id} answers ${ack} for ${sequence}, durable are `
      + JSON.stringify(durable))
  }

  acked(node: SimNode, { durableSequence }: Ack): void {
    const { durable } = this.ghost(node)
    if (endOf(durable).sequence >= durableSequence) return
    this.world.violate('I4', `${node.id} acks ${durableSequence}, durable are `
      + JSON.stringify(durable))
  }

  /** I8, I5: what one store applied at a sequence, all do; only what is committed. */
  applied(node: SimNode, uuid: string, entries: readonly LogEntry[]): void {
    const last = entries.at(-1)
    if (uuid !== this.uuid || !last) return
    this.world.checks.record.appliedUpTo(node, last)
    for (const entry of entries) {
      const text = `(${entry.epoch}, ${entry.sequence}) ${JSON.stringify(entry.operation)}`
      const known = this.appliedAt.get(entry.sequence)
      if (known === undefined || this.world.checks.record.mayLoseCommitted) {
        this.appliedAt.set(entry.sequence, text)
      } else if (known !== text) {
        this.world.violate('I8', `${node.id} applies ${text}, another store applied ${known}`)
      }
    }
  }

  /** I8 and I9 on the live members, now and then: they hold between any two steps. */
  afterStep(): void {
    this.steps += 1
    if (this.steps % 8 === 0) this.lookAtAll()
  }

  /** Also right before the record changes: what was safe among its members was so until then. */
  lookAtAll(): void {
    for (const node of this.world.cluster.nodes.values()) this.look(node)
  }

  private look(node: SimNode): void {
    const actor = node.life?.actor.spaces.get(space)
    const member = actor?.member
    if (!member || member.damage) return
    const { log, store } = member
    const applied = store.applied.sequence
    if (applied > Math.min(log.commitSequence, log.durable.sequence)) {
      this.world.violate('I8', `${node.id} applied ${applied}, committed is `
        + `${log.commitSequence}, durable ${log.durable.sequence}`)
    }
    if (log.durable.sequence > log.written.sequence || log.written.sequence > log.end.sequence) {
      this.world.violate('I4', `${node.id}: durable ${log.durable.sequence}, written `
        + `${log.written.sequence}, end ${log.end.sequence}`)
    }
    const seen = this.seen.get(node.id)
    const { safeSequence: safe } = log
    const own = actor?.primaryRole ? member.own.epoch : 0
    const now: Seen = { epoch: member.known.epoch, applied, own, safe }
    this.seen.set(node.id, now)
    if (own > 0 && seen?.own === own && safe > seen.safe) {
      const epoch = epochAt(inFull(log, this.begins), safe)
      this.world.checks.record.safeUpTo(node, { epoch, sequence: safe })
    }
    if (!seen || this.world.checks.record.mayLoseCommitted) return
    if (now.applied < seen.applied) {
      this.world.violate('I9', `${node.id} had applied ${seen.applied}, now ${now.applied}`)
    }
    if (now.epoch < seen.epoch) {
      this.world.violate('I9', `${node.id} had seen epoch ${seen.epoch}, now ${now.epoch}`)
    }
  }
}
