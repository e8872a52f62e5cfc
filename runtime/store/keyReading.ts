/**
 * Reads the idempotency keys of a store's spaces into memory after a start: one space after the
 * other, a slice of time in each turn of the event loop, which keeps the lease.
 */
import { Slices } from '../system/slices.js'

interface Reader {
  /** Reads a piece; true: there is more. */
  readonly readOn: () => boolean
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

export class KeyReading {
  private readonly readers: Reader[] = []
  private isUnderWay = false

  /** Resolves when `readOn` has returned false; rejects with what it throws. */
  read(readOn: () => boolean): Promise<void> {
    return new Promise((done, failed) => {
      this.readers.push({ readOn, done, failed })
      if (this.isUnderWay) return
      this.isUnderWay = true
      void this.run()
    })
  }

  private async run(): Promise<void> {
    const slices = new Slices()
    await slices.next()
    for (let reader = this.readers.shift(); reader; reader = this.readers.shift()) {
      try {
        while (reader.readOn()) if (slices.isOver) await slices.next()
        reader.done()
      } catch (error) {
        reader.failed(error)
      }
    }
    this.isUnderWay = false
  }
}
