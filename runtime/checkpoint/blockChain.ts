/** The hash over the checksums of the blocks of a section, one after another. */
import { xxh64 } from '@node-rs/xxhash'

export const chainStart = 0n

export function chained(chain: bigint, payloadCrc: number): bigint {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32LE(payloadCrc, 0)
  return xxh64(bytes, chain)
}

export function digestOf(chain: bigint): string {
  return chain.toString(16).padStart(16, '0')
}
