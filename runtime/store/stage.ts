/**
 * A state that is loaded under a number of its own. The registry does not name it, so nobody reads
 * it, and after a restart it is garbage (garbage.ts). The transaction that makes it the space
 * writes its header and lets the registry name it.
 */
import { RecordsDamagedError, type SpaceState, type Stage, StageDiscardedError,
  stageRecordsMax } from '../../actors/ports/store.js'
import { asBuffer } from '../codec/frameBytes.js'
import type { Room } from './diskRoom.js'
import { type GraphFile } from './graphFile.js'
import { RecordCursor } from './imageRecords.js'
import { imageKey, Table, targetKey } from './keys.js'
import { recordFault } from './recordFault.js'
import { writeRecords } from './storeWrite.js'
import { StateSums } from './stateSums.js'

export interface LmdbStageOptions {
  readonly records: GraphFile
  readonly room: Room
  readonly uuid: string
  readonly number: number
  readonly state: SpaceState
  /** Makes it the space. */
  readonly adopt: (installs: number, sums: StateSums) => Promise<void>
  /** Called when it was given up and nothing is written any more. */
  readonly onDiscarded: () => void
}

export class LmdbStage implements Stage {
  private sums: StateSums
  private status: 'loading' | 'adopted' | 'discarded' = 'loading'
  private underWay: Promise<void> = Promise.resolve()

  constructor(private readonly options: LmdbStageOptions) {
    this.sums = new StateSums(options.state)
  }

  get uuid(): string {
    return this.options.uuid
  }

  get state(): SpaceState {
    return this.options.state
  }

  get records(): number {
    return this.sums.records
  }

  put(records: Uint8Array): Promise<void> {
    return this.run(() => this.putNow(asBuffer(records)))
  }

  check(): Promise<void> {
    return this.run(async () => this.checkSums())
  }

  private checkSums(): void {
    const fault = this.sums.fault()
    if (fault !== null) throw new RecordsDamagedError(fault)
  }

  adopt(installs: number): Promise<void> {
    return this.run(async () => {
      this.checkSums()
      await this.options.adopt(installs, this.sums)
      this.status = 'adopted'
    })
  }

  discard(): void {
    void this.end().then(() => {
      if (this.status === 'discarded') this.options.onDiscarded()
    })
  }

  /** Gives it up; resolves when nothing is under way any more. */
  async end(): Promise<void> {
    const wasAdopted = this.status === 'adopted'
    if (!wasAdopted) this.status = 'discarded'
    await this.underWay
  }

  private run(work: () => Promise<void>): Promise<void> {
    const done = this.underWay.then(async () => {
      if (this.status !== 'loading') throw new StageDiscardedError()
      await work()
    })
    this.underWay = done.catch(() => undefined)
    return done
  }

  private async putNow(bytes: Buffer): Promise<void> {
    const { records, room, number } = this.options
    const sums = this.sums.copy()
    const fault = sums.addAll(bytes, recordFault)
    if (fault !== null) throw new RecordsDamagedError(fault)
    const count = sums.records - this.sums.records
    if (count > stageRecordsMax) throw new RangeError(`bug: ${count} records in one call`)
    const puts = putsOf(bytes, number)
    await writeRecords({ records, room }, puts, [], `the load of ${this.uuid}`)
    this.sums = sums
  }
}

/** Keys at even places, each followed by its record. */
function putsOf(bytes: Buffer, number: number): Buffer[] {
  const puts: Buffer[] = []
  const cursor = new RecordCursor(bytes)
  while (cursor.next()) {
    const { table, key, value, end } = cursor
    const record = bytes.subarray(value, end)
    puts.push(imageKey(number, table, bytes, key, value), record)
    if (table === Table.edgeBySource) puts.push(targetKey(number, bytes, key, value), record)
  }
  return puts
}
