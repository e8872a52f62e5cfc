import { randomBytes, randomUUID } from 'node:crypto'
import type { Random } from '../../actors/ports/system.js'

/** Randomness of the operating system. */
export class SystemRandom implements Random {
  next(): number {
    // 53 bits: what a double holds.
    const bytes = randomBytes(7)
    return Number(bytes.readUIntBE(0, 6) * 32 + ((bytes[6] as number) & 31)) / 2 ** 53
  }

  uuid(): string {
    return randomUUID()
  }
}
