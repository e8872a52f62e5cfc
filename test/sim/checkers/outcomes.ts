/**
 * I6, exactly: every write that a disk durably had, or that was acknowledged, is in one category at
 * the end, and the fork reports say the same. The truth comes from what was seen (frames,
 * disks, salvages); what is claimed, from the store and from GetFate.
 */
import type { Member } from '../../../actors/member/member.js'
import type { FateValue, WriteAnswer } from '../../../actors/ports/clientApi.js'
import { fateOf } from '../../../actors/reads/writeFate.js'
import type { Position } from '../../../machines/base/ids.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import type { ForkOpening } from '../../../machines/log/forkNotes.js'
import { comparePositions } from '../../../machines/log/positions.js'
import type { SimNode } from '../../support/simNode.js'
import { tokenOf } from '../operations.js'
import type { World } from '../world.js'
import { type DurableWrite, nameOf } from './entries.js'
import { ForkModel } from './forkModel.js'
import { reportsOf, shortReport, sorted } from './reads.js'

/** log: under its own place. waiting: in a salvage. The others: what became of it at home. */
export type Category = 'log' | 'resent' | 'merged' | 'superseded' | 'quarantined' | 'discarded'
  | 'waiting' | 'lost'

const fatesOf: Readonly<Record<Category, readonly FateValue['fate'][]>> = {
  log: ['safe', 'committed'],
  resent: ['safe', 'committed'],
  merged: ['safe', 'committed'],
  superseded: ['superseded'],
  quarantined: ['quarantined'],
  discarded: ['superseded'],
  waiting: ['salvaged'],
  lost: ['lost', 'unknown'],
}

/** A sequence that no run reaches. */
const farBeyond = 10_000_000

export interface OutcomesInput {
  readonly world: World
  /** The log of the primary; the members are level. */
  readonly log: readonly LogEntry[]
  readonly member: Member
  /** By node: writes in its salvages, by the place of each there. */
  readonly salvaged: ReadonlyMap<SimNode, ReadonlyMap<string, LogEntry>>
}

export class Outcomes {
  private readonly model = new ForkModel()
  /** Origins of the writes in salvages. */
  private readonly waiting = new Set<string>()
  private readonly lostByEpoch = new Map<number, LogEntry[]>()

  constructor(private readonly input: OutcomesInput) {
    const { entries } = input.world.checks
    for (const entry of input.log) this.model.apply(entry)
    for (const writes of input.salvaged.values()) {
      for (const entry of writes.values()) this.waiting.add(nameOf(entries.originOf(entry)))
    }
  }

  async check(): Promise<void> {
    this.storeAgrees()
    this.effects()
    await this.writes()
    await this.neverLogged()
    this.counts()
    await this.keys()
  }

  /** The fork reports of the store are those of the log, counted anew. */
  private storeAgrees(): void {
    const { member: { store }, world } = this.input
    this.same('reports', store.reports().map(shortReport), reportsOf(this.model))
    const items = [...store.quarantine('')]
      .map(({ id, operation }) => [id, operation] as const)
    this.same('quarantine', Object.fromEntries(items), Object.fromEntries(
      [...this.model.items].map(([id, { operation }]) => [id, operation]),
    ))
    world.checks.saw('writes in quarantine at the end', items.length)
    for (const [name, { outcome, via, now }] of this.model.origins) {
      const [epoch, sequence] = name.split('-').map(Number) as [number, number]
      const { by: _, ...claim } = store.origin(epoch, sequence) ?? { by: null }
      this.same(`origin ${name}`, claim, { outcome, via, now })
    }
  }

  private same(what: string, claim: unknown, due: unknown): void {
    const [one, other] = [claim, due].map((value) => JSON.stringify(sorted(value)))
    if (one === other) return
    this.input.world.violate('forks', `the store's ${what}: ${one}; the log says ${other}`)
  }

  /** I7: no key and no origin has its effect twice; an operator's commands are another matter. */
  private effects(): void {
    const { log, world } = this.input
    const effects = new Map<string, LogEntry>()
    const nodes = new Set<string>()
    const once = (name: string, entry: LogEntry): void => {
      const before = effects.get(name)
      if (before) {
        world.violate('I7', `${name} took effect at ${show(before)} and at ${show(entry)}`)
      }
      effects.set(name, entry)
    }
    for (const entry of log) {
      const { operation, reconciliation, writeId } = entry
      const token = tokenOf(entry)
      const isMerged = !reconciliation || reconciliation.outcome === 'merged'
      // An activation of a node that is not there changes nothing.
      const isEffective = isMerged
        && (operation.type !== 'UpdateActivation' || nodes.has(operation.nodeId))
      if (isMerged && operation.type === 'StoreNode') nodes.add(operation.node.id)
      if (token === null || !isEffective || world.checks.entries.isOrdered(entry)) continue
      if (writeId !== null) once(`key ${writeId}, ${token}`, entry)
      once(`origin ${nameOf(reconciliation?.origin ?? entry)}`, entry)
    }
  }

  private async writes(): Promise<void> {
    const { world } = this.input
    for (const write of world.checks.entries.durableWrites()) {
      const { entry } = write
      const category = this.categoryOf(entry)
      world.checks.saw(`writes: ${category}`)
      if (category === 'lost') this.lost(write)
      await this.claimed(entry, category)
    }
    for (const { write, answer } of world.history.acknowledged()) {
      write.tokens.forEach((token, index) =>
        this.acknowledged(token, {
          epoch: answer.duplicate ? answer.loggedEpoch ?? 0 : answer.epoch,
          sequence: answer.sequence - write.tokens.length + 1 + index,
        }, answer)
      )
    }
  }

  /** No entry that nobody ever logged counts as lost, unless a disk is gone that might show it. */
  private async neverLogged(): Promise<void> {
    const { world } = this.input
    for (const { opening: { epoch, forkPoint }, outcome } of this.model.reports.values()) {
      for (const sequence of [1, forkPoint.sequence, farBeyond]) {
        const mayBeLost = outcome === 'lost' && sequence === farBeyond
        if (mayBeLost || world.checks.entries.at({ epoch, sequence })) continue
        if (this.isSummedUp({ epoch, sequence })) continue
        const { fate, reason } = await this.fate({ epoch, sequence })
        if (fate === 'unknown') continue
        world.violate('fate', `(${epoch}, ${sequence}), which nobody ever logged, is said to be `
          + `${fate}: ${reason}`)
      }
    }
  }

  categoryOf(entry: LogEntry): Category {
    const { log, salvaged } = this.input
    const isInLog = log[entry.sequence - 1]?.epoch === entry.epoch
    const origin = nameOf(this.originOf(entry))
    const known = this.model.origins.get(origin)
    if (known?.outcome === 'quarantined') {
      return this.model.items.has(origin) ? 'quarantined' : 'discarded'
    }
    if (isInLog && this.model.items.has(origin)) return 'quarantined'
    if (known && !(isInLog && nameOf(known.now) === nameOf(entry))) return known.outcome
    if (isInLog) return known?.outcome ?? 'log'
    const isKept = [...salvaged.values()].some((writes) => writes.has(nameOf(entry)))
    return isKept || this.waiting.has(origin) ? 'waiting' : 'lost'
  }

  /** For a write that came a second time, the outcome of the second counts. */
  private standing(entry: LogEntry, category: Category): Category {
    if (category !== 'resent') return category
    const { now } = this.model.origins.get(nameOf(this.originOf(entry)))!
    const first = this.input.world.checks.entries.at(now)
    const then = first ? this.categoryOf(first) : 'lost'
    return then === 'resent' ? 'merged' : then
  }

  /** As the fork reports have it: a copy in a fork was acknowledged there, and has a record of its own. */
  private originOf(entry: LogEntry): Position {
    const { log, world } = this.input
    if (this.model.origins.has(nameOf(entry))) return entry
    const isInLog = log[entry.sequence - 1]?.epoch === entry.epoch
    return isInLog ? entry.reconciliation?.origin ?? entry : world.checks.entries.originOf(entry)
  }

  private lost({ entry, disks, removedFrom }: DurableWrite): void {
    const { world } = this.input
    const { record, logs: { disksLost } } = world.checks
    const remover = world.nodes.find(({ disk }) => removedFrom.has(disk))
    // What the primary had it need not keep.
    if (remover && disksLost.size === 0 && !record.mayLoseCommitted) {
      world.violate('I6',
        `${show(entry)} is nowhere, and ${remover.id}, which was taken out of the `
          + 'members, had it and has removed it')
    }
    const holder = world.nodes.find(({ disk }) => disks.has(disk))
    if (holder) {
      world.violate('I6', `${show(entry)} is nowhere, and was durable on the disk that `
        + `${holder.id} still has`)
    }
    if (this.isGivenUp(entry)) this.reported(entry)
    const lost = this.lostByEpoch.get(entry.epoch)
    if (lost) lost.push(entry)
    else this.lostByEpoch.set(entry.epoch, [entry])
  }

  /** That no disk keeps it any more was intended; that the log that did is gone has to be said. */
  private reported(entry: LogEntry): void {
    const { world } = this.input
    world.checks.saw('lost writes that were given up')
    const report = this.model.reports.get(entry.epoch)
    if (report?.outcome === 'lost' || report?.outcome === 'dismissed') return
    if (report && report.outcome === null) return
    world.violate('I6', `${show(entry)} was given up, and is nowhere; the report on its epoch says `
      + `${report?.outcome ?? 'nothing, there is none'}`)
  }

  private async claimed(entry: LogEntry, category: Category): Promise<void> {
    const { world, log } = this.input
    const { epoch, sequence } = entry
    const value = await this.fate({ epoch, sequence })
    const { fate, now } = value
    const due = fatesOf[this.standing(entry, category)]
    const claim = `the fate of ${show(entry)}, whose category is ${category}, is given as `
      + JSON.stringify(value)
    const isForgotten = this.isForgotten(entry, fate)
      || (fate === 'unknown' && (this.isSummedUp(entry) || this.waitsElsewhere(value, category)))
    if (!due.includes(fate) && !isForgotten) world.violate('fate', claim)
    if (!now || !['safe', 'committed'].includes(fate)) return
    const there = log[now.sequence - 1]
    if (there?.epoch === now.epoch && tokenOf(there) === tokenOf(entry)) return
    world.violate('fate', `${claim}; there is ${there ? show(there) : 'nothing'}`)
  }

  /**
   * It waits in a salvage that came back with a disk of the past: its node has another disk than the
   * report names, and nobody can tell if that one has the file.
   */
  private waitsElsewhere({ epoch, node }: FateValue, category: Category): boolean {
    const report = this.model.reports.get(epoch ?? 0)
    if (category !== 'waiting' || !report || node !== report.opening.node) return false
    const { members } = this.input.member.known.record!.assignment
    return members.find((member) => member.node === node)?.disk !== report.opening.disk
  }

  /** Which epoch has that entry is not known any more. */
  private isSummedUp({ epoch, sequence }: Position): boolean {
    const { root } = this.input.member.log
    return sequence < root.sequence && epoch <= root.epoch
  }

  /**
   * A copy whose disks are gone came again from its client, which names the first place only; or
   * it waits in a salvage, which has not yet shown whose copy it is.
   */
  private isForgotten(entry: LogEntry, fate: FateValue['fate']): boolean {
    const { salvaged, world: { nodes, checks: { entries } } } = this.input
    if (fate === 'salvaged' && entries.originOf(entry) !== entry) {
      return [...salvaged.values()].some((writes) => writes.has(nameOf(entry)))
    }
    const disks = entries.durableWrite(entry)?.disks
    return (fate === 'lost' || fate === 'unknown') && entries.originOf(entry) !== entry
      && !nodes.some(({ disk }) => disks?.has(disk))
  }

  private async fate(
    question: { readonly epoch: number; readonly sequence: number } | { readonly key: string },
  ): Promise<FateValue> {
    const { member, log } = this.input
    return await fateOf({ type: 'GetFate', ...question }, member, member.store,
      (at) => Promise.resolve(log[at - 1]))
  }

  /** I5, I6: a positive answer names the entry, and what was durable was so. */
  private acknowledged(token: string, place: Position, { ack, node }: WriteAnswer): void {
    const { world, log } = this.input
    const { entries, record, logs } = world.checks
    const entry = entries.at(place)
    const what = `${token}, answered ${ack} at ${name(place)} by ${node}`
    if (entry && tokenOf(entry) !== token) {
      world.violate('I6', `${what}: there is ${show(entry)}`)
    }
    if (ack === 'memory') return
    if (!entry) return world.violate('I6', `${what}: nobody ever numbered it`)
    if (ack === 'committed' && !record.mayLoseCommitted
      && log[place.sequence - 1]?.epoch !== place.epoch)
    {
      world.violate('I5', `${what}, and it is ${this.categoryOf(entry)}`)
    }
    if (this.categoryOf(entry) !== 'lost') return
    if (this.isGivenUp(entry)) return
    // When was the disk lost on which it was durable, if one was?
    const isRemoved = this.isRemovedFrom(place, node)
    if (!logs.disksLost.has(node) && !logs.tailsCut.has(node) && !isRemoved) {
      world.violate('I6', `${what}: it is nowhere, and no disk of ${node} was lost`)
    }
    if (record.hasLostBucket) return
    if (this.isTold(place) || this.wasTold(place) || logs.tailsCut.size > 0) return
    world.violate('I6', `${what}: it is lost, and no report says so`)
  }

  /** Whether a report says that it is, or may be, lost. */
  private isTold(place: Position): boolean {
    return [...this.model.reports.values()].some(({ outcome, opening }) =>
      outcome !== 'level' && outcome !== 'reconciled' && isAbout(opening, place)
    )
  }

  /** Whether a report on it was in a log that is lost as well, which a report says. */
  private wasTold(place: Position): boolean {
    const { log, world: { checks: { entries } } } = this.input
    for (const entry of entries.all()) {
      const isOfLog = log[entry.sequence - 1]?.epoch === entry.epoch
      if (isOfLog || !openingsIn(entry).some((opening) => isAbout(opening, place))) continue
      if (this.isTold(entry)) return true
    }
    return false
  }

  /** The node was taken out, and has removed what it had: the members have it, or lost it later. */
  private isRemovedFrom(place: Position, id: string): boolean {
    const { nodes, checks: { entries } } = this.input.world
    const disk = nodes.find((node) => node.id === id)?.disk
    return disk !== undefined && entries.durableWrite(place)?.removedFrom.has(disk) === true
  }

  /** What the report has to say of it is checked with the durable writes. */
  private isGivenUp(place: Position): boolean {
    const { nodes, checks: { entries } } = this.input.world
    const disks = entries.durableWrite(place)?.givenUpBy
    // With the disk that gave it up it is gone in any case.
    return disks !== undefined && nodes.some(({ disk }) => disks.has(disk))
  }

  /**
   * A closed report counts at least what was lost, as far as it was heard of, or is known to have
   * been given up.
   */
  private counts(): void {
    const { world } = this.input
    for (const [epoch, entries] of this.lostByEpoch) {
      const report = this.model.reports.get(epoch)
      if (!report?.outcome) continue
      const { lastKnown, forkPoint } = report.opening
      const known = entries.filter((entry) =>
        entry.sequence > forkPoint.sequence
        && (entry.sequence <= lastKnown || (report.outcome === 'lost' && this.isGivenUp(entry)))
      )
      world.checks.saw('reports with losses counted')
      if (report.lost >= known.length) continue
      world.violate('I6', `the report on epoch ${epoch} (${report.outcome}) counts ${report.lost} `
        + `lost; of those heard of, ${known.map(show).join(', ')} are`)
    }
  }

  /** A key leads to where its write is now. */
  private async keys(): Promise<void> {
    const { log, world } = this.input
    const last = new Map<string, LogEntry>()
    for (const entry of log) if (entry.writeId !== null) last.set(entry.writeId, entry)
    for (const [key, entry] of last) {
      const category = this.categoryOf(entry)
      const value = await this.fate({ key })
      if (fatesOf[category].includes(value.fate)) continue
      world.violate('fate', `${key} leads to ${show(entry)}, whose category is ${category}; its `
        + `fate is given as ${JSON.stringify(value)}`)
    }
  }
}

/** The write is beyond the fork point, in the log of that epoch, as far as the report shows. */
function isAbout({ epoch, start, forkPoint }: ForkOpening, place: Position): boolean {
  return comparePositions(place, forkPoint) > 0
    && (place.epoch === epoch || comparePositions(place, start) <= 0)
}

function openingsIn({ operation }: LogEntry): readonly ForkOpening[] {
  if (operation.type === 'EpochStart') return operation.forks ?? []
  return operation.type === 'ForkNote' && operation.note === 'opened' ? [operation.opening] : []
}

function name({ epoch, sequence }: Position): string {
  return `(${epoch}, ${sequence})`
}

export function show(entry: LogEntry): string {
  const { writeId, operation, reconciliation } = entry
  return `${name(entry)} ${writeId ?? ''} ${JSON.stringify(operation)}`
    + (reconciliation ? ` ${JSON.stringify(reconciliation)}` : '')
}
