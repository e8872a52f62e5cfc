/**
 * Chunks of checkpoint files, which are not copied into MessagePack: `EGCC`, id (16), offset (8),
 * CRC32C of all that and the bytes, then the bytes.
 */
import { crc32c } from '@node-rs/crc32'
import type { CheckpointAnswer } from '../../machines/protocol/installMessages.js'
import { chunkBytesMax } from '../../machines/protocol/installMessages.js'
import { asBuffer, isSafe, readSafe, readUuid, writeSafe, writeUuid } from './frameBytes.js'

const magic = 0x45474343
const headBytes = 32
const crcAt = 28

export function encodeChunk(id: string, offset: number, data: Uint8Array): Uint8Array {
  if (data.length > chunkBytesMax) throw new RangeError(`a chunk of ${data.length} bytes`)
  const bytes = Buffer.allocUnsafe(headBytes + data.length)
  bytes.writeUInt32BE(magic, 0)
  writeUuid(bytes, id, 4)
  writeSafe(bytes, offset, 20)
  bytes.set(data, headBytes)
  bytes.writeUInt32LE(crcOf(bytes), crcAt)
  return bytes
}

export function isChunk(bytes: Uint8Array): boolean {
  return bytes.length >= headBytes && asBuffer(bytes).readUInt32BE(0) === magic
}

/** A string is the fault found. The data is a view of the message. */
export function decodeChunk(bytes: Uint8Array): CheckpointAnswer & { kind: 'chunk' } | string {
  const buffer = asBuffer(bytes)
  if (buffer.length > headBytes + chunkBytesMax) return `a chunk of ${buffer.length} bytes`
  if (crcOf(buffer) !== buffer.readUInt32LE(crcAt)) return 'a chunk with a wrong checksum'
  const offset = readSafe(buffer, 20)
  if (!isSafe(offset)) return 'a chunk with an offset that is no safe integer'
  return {
    kind: 'chunk',
    id: readUuid(buffer, 4),
    offset,
    data: buffer.subarray(headBytes),
  }
}

function crcOf(bytes: Buffer): number {
  return crc32c(bytes.subarray(headBytes), crc32c(bytes.subarray(0, crcAt)))
}
