/** The fork reports in memory: one map per table, searched and sorted when asked. */
import type { Position } from '../../machines/base/ids.js'
import type { ForkReports } from '../../machines/forks/forkReports.js'
import type { ForkReport, OriginRecord, QuarantineItem } from '../../machines/log/forkNotes.js'
import { originName } from '../../machines/log/versions.js'

export class MemoryForkReports implements ForkReports {
  strayCount = 0
  private readonly reportsByEpoch = new Map<number, ForkReport>()
  private readonly origins = new Map<string, { at: Position; record: OriginRecord }>()
  private readonly itemsById = new Map<string, QuarantineItem>()

  reports(): ForkReport[] {
    return [...this.reportsByEpoch.values()].toSorted((a, b) => a.epoch - b.epoch)
  }

  report(epoch: number): ForkReport | undefined {
    return this.reportsByEpoch.get(epoch)
  }

  putReport(report: ForkReport): void {
    if (!this.reportsByEpoch.has(report.epoch)) {
      this.strayCount -= this.records(report.epoch).length
    }
    this.reportsByEpoch.set(report.epoch, report)
  }

  forgetReport(epoch: number): void {
    this.reportsByEpoch.delete(epoch)
    for (const { at } of this.records(epoch)) this.origins.delete(nameOf(at))
  }

  origin(at: Position): OriginRecord | undefined {
    return this.origins.get(nameOf(at))?.record
  }

  putOrigin({ epoch, sequence }: Position, record: OriginRecord): void {
    const at = { epoch, sequence }
    const isNew = !this.origins.has(nameOf(at))
    if (isNew && !this.reportsByEpoch.has(epoch)) this.strayCount += 1
    this.origins.set(nameOf(at), { at, record })
  }

  strays(epoch: number): number[] {
    return this.records(epoch).map(({ at }) => at.sequence)
  }

  forgetStray(): void {
    const [lowest] = this.allStrays()
    if (lowest === undefined) return
    this.origins.delete(nameOf(lowest.at))
    this.strayCount -= 1
  }

  hasItem(at: Position): boolean {
    return this.itemsById.has(nameOf(at))
  }

  putItem(item: QuarantineItem): void {
    this.itemsById.set(item.id, item)
  }

  removeItem(at: Position): void {
    this.itemsById.delete(nameOf(at))
  }

  get itemCount(): number {
    return this.itemsById.size
  }

  item(id: string): QuarantineItem | undefined {
    return this.itemsById.get(id)
  }

  items(): QuarantineItem[] {
    return [...this.itemsById.values()].toSorted((a, b) => byPosition(a.origin, b.origin))
  }

  /** The records of the writes of one epoch. */
  records(epoch: number): { at: Position; record: OriginRecord }[] {
    return [...this.origins.values()].filter(({ at }) => at.epoch === epoch)
      .toSorted((a, b) => byPosition(a.at, b.at))
  }

  /** Of all epochs. */
  allOrigins(): { at: Position; record: OriginRecord }[] {
    return [...this.origins.values()]
  }

  private allStrays(): { at: Position }[] {
    return [...this.origins.values()].filter(({ at }) => !this.reportsByEpoch.has(at.epoch))
      .toSorted((a, b) => byPosition(a.at, b.at))
  }
}

function nameOf({ epoch, sequence }: Position): string {
  return originName(epoch, sequence)
}

function byPosition(a: Position, b: Position): number {
  return a.epoch - b.epoch || a.sequence - b.sequence
}
