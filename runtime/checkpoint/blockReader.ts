/** Reads the blocks of a file one after another, in reads of 1 MiB; nothing unchecked gets out. */
import { crc32c } from '@node-rs/crc32'
import { CheckpointDamagedError } from '../../actors/ports/checkpoints.js'
import type { FileHandle } from '../../actors/ports/fileSystem.js'
import { BLOCK_HEADER_BYTES, decodeBlockHeader } from './format.js'

const READ_BYTES = 1024 * 1024

export interface Block {
  readonly type: number
  readonly section: number
  readonly block: number
  readonly payload: Buffer
  readonly payloadCrc: number
  /** Where it ends in the file. */
  readonly end: number
}

export interface BlockRange {
  readonly name: string
  readonly id: string
  /** Where the first block begins, its number, and where the last one ends. */
  readonly offset: number
  readonly block: number
  readonly end: number
}

export class BlockReader {
  /** Bytes of the file from `offset` on; pieces of it are handed out and never written again. */
  private bytes = Buffer.alloc(0)
  private taken = 0
  private offset: number
  private block: number

  constructor(private readonly handle: FileHandle, private readonly range: BlockRange) {
    this.offset = range.offset
    this.block = range.block
  }

  /** Null at the end of the range. CheckpointDamagedError. */
  async next(): Promise<Block | null> {
    const { range, block } = this
    if (this.offset === range.end) return null
    await this.fill(BLOCK_HEADER_BYTES)
    const header = decodeBlockHeader(this.bytes, this.taken, range.id)
    if (typeof header === 'string') throw this.damaged(header)
    if (header.block !== block) throw this.damaged(`is not there, but block ${header.block}`)
    const { payloadBytes, payloadCrc, type, section } = header
    await this.fill(BLOCK_HEADER_BYTES + payloadBytes)
    const start = this.taken + BLOCK_HEADER_BYTES
    const payload = this.bytes.subarray(start, start + payloadBytes)
    if (crc32c(payload) !== payloadCrc) throw this.damaged('has a wrong checksum')
    this.taken = start + payloadBytes
    this.offset += BLOCK_HEADER_BYTES + payloadBytes
    this.block += 1
    return { type, section, block, payload, payloadCrc, end: this.offset }
  }

  private damaged(fault: string): CheckpointDamagedError {
    return new CheckpointDamagedError(this.range.name, `block ${this.block} ${fault}`)
  }

  /** Makes that many bytes of the present block available. */
  private async fill(wanted: number): Promise<void> {
    const { range, offset } = this
    if (offset + wanted > range.end) throw this.damaged('is cut off')
    const rest = this.bytes.subarray(this.taken)
    if (rest.length >= wanted) return
    const length = Math.min(Math.max(READ_BYTES, wanted), range.end - offset)
    const bytes = Buffer.allocUnsafeSlow(length)
    rest.copy(bytes)
    const read = await this.handle.read(bytes.subarray(rest.length), offset + rest.length)
    if (rest.length + read < wanted) throw this.damaged('is cut off')
    this.bytes = bytes.subarray(0, rest.length + read)
    this.taken = 0
  }
}
