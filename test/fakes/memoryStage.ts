/** A load of a space in memory: checked as the real one, and taken over in one step. */
import { RecordsDamagedError, type SpaceState, type Stage, StageDiscardedError,
  stageRecordsMax } from '../../actors/ports/store.js'
import { recordFault } from '../../runtime/store/recordFault.js'
import { StateSums } from '../../runtime/store/stateSums.js'
import { contentOf, type MemoryContent } from './memoryImage.js'

export class MemoryStage implements Stage {
  private readonly slices: Buffer[] = []
  private sums: StateSums
  private status: 'loading' | 'adopted' | 'discarded' = 'loading'

  constructor(
    readonly uuid: string,
    readonly state: SpaceState,
    private readonly onAdopted: (content: MemoryContent, installs: number) => void,
  ) {
    this.sums = new StateSums(state)
  }

  get records(): number {
    return this.sums.records
  }

  async put(records: Uint8Array): Promise<void> {
    this.assertLoading()
    const bytes = Buffer.from(records)
    const sums = this.sums.copy()
    const fault = sums.addAll(bytes, recordFault)
    if (fault !== null) throw new RecordsDamagedError(fault)
    const count = sums.records - this.sums.records
    if (count > stageRecordsMax) throw new RangeError(`bug: ${count} records in one call`)
    this.sums = sums
    this.slices.push(bytes)
  }

  async check(): Promise<void> {
    this.assertLoading()
    const fault = this.sums.fault()
    if (fault !== null) throw new RecordsDamagedError(fault)
  }

  async adopt(installs: number): Promise<void> {
    this.assertLoading()
    const fault = this.sums.fault()
    if (fault !== null) throw new RecordsDamagedError(fault)
    this.status = 'adopted'
    this.onAdopted(contentOf(this.slices, this.state), installs)
  }

  discard(): void {
    if (this.status === 'loading') this.status = 'discarded'
  }

  private assertLoading(): void {
    if (this.status !== 'loading') throw new StageDiscardedError()
  }
}
