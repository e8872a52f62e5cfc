/** One section of a file: its records for a load, and its bytes as a file of its own. */
import { crc32c } from '@node-rs/crc32'
import { CheckpointDamagedError, type Pace, type SectionManifest, type SectionReader,
  type StoredSection } from '../../actors/ports/checkpoints.js'
import type { FileHandle } from '../../actors/ports/fileSystem.js'
import { stageBytesMax, stageRecordsMax } from '../../actors/ports/store.js'
import { RecordCursor } from '../store/imageRecords.js'
import { recordFault } from '../store/recordFault.js'
import { StateSums } from '../store/stateSums.js'
import { chainStart, chained, digestOf } from './blockChain.js'
import { type Block, BlockReader } from './blockReader.js'
import type { FileHead } from './fileHead.js'
import { BlockType, encodeBlockHeader, encodeFileHeader, encodeTrailer,
  FILE_HEADER_BYTES } from './format.js'
import { decodeEnd, decodeManifest, encodeFooter, type SectionEnd,
  type SectionPlace } from './payloads.js'

/** Takes the handle over: closes it when it cannot be opened, else by `close`. */
export async function openSection(
  handle: FileHandle,
  head: FileHead,
  section: StoredSection,
): Promise<StoredSectionReader> {
  try {
    return await readSection(handle, head, section)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** The handle is the caller's to close, or the reader's. */
export async function readSection(
  handle: FileHandle,
  head: FileHead,
  section: StoredSection,
): Promise<StoredSectionReader> {
  const index = head.places.findIndex(({ uuid, offset }) =>
    offset === section.offset && uuid === section.uuid
  )
  const place = head.places[index]
  if (place === undefined || head.header.id !== section.id) {
    throw new CheckpointDamagedError(head.name, 'it is another file than the one that was there')
  }
  const blocks = new SectionBlocks(handle, head, place, head.header.firstSection + index)
  const manifest = await blocks.manifest()
  return new StoredSectionReader(handle, head, section, place, blocks, manifest)
}

/** The blocks of a section in their order: manifest, records, end. */
class SectionBlocks {
  private readonly blocks: BlockReader
  private chain = chainStart
  private bytes = 0

  constructor(
    handle: FileHandle,
    private readonly head: FileHead,
    private readonly place: SectionPlace,
    readonly section: number,
  ) {
    const { offset, block } = place
    const { name, header: { id } } = head
    this.blocks = new BlockReader(handle, { name, id, offset, block, end: offset + place.bytes })
  }

  async manifest(): Promise<SectionManifest> {
    const block = await this.next()
    const manifest = block.type === BlockType.manifest ? decodeManifest(block.payload) : undefined
    if (manifest === undefined) throw this.damaged('its manifest makes no sense')
    const { uuid, space, state } = manifest
    const { position, digest } = this.place
    const isNamed = uuid === this.place.uuid && space === this.place.space
      && state.digest === digest && state.position.epoch === position.epoch
      && state.position.sequence === position.sequence
    if (!isNamed) throw this.damaged('its manifest is not that of its footer')
    return manifest
  }

  /** Payloads of records; then what the end block says of them was compared. */
  async *records(): AsyncGenerator<Buffer, SectionEnd> {
    for (;;) {
      const chain = this.chain
      const block = await this.next()
      if (block.type === BlockType.end) return this.end(block, chain)
      if (block.type !== BlockType.records) throw this.damaged(`block ${block.block} is no records`)
      this.bytes += block.payload.length
      yield block.payload
    }
  }

  damaged(reason: string): CheckpointDamagedError {
    return new CheckpointDamagedError(this.head.name, reason)
  }

  private end(block: Block, chain: bigint): SectionEnd {
    const end = decodeEnd(block.payload)
    if (end === undefined) throw this.damaged('the end of a section makes no sense')
    const { place } = this
    if (end.bytes !== this.bytes || end.blocks !== digestOf(chain)
      || block.end !== place.offset + place.bytes
      || block.block !== place.block + place.blocks - 1)
    {
      throw this.damaged('the end of a section does not fit its blocks')
    }
    return end
  }

  private async next(): Promise<Block> {
    const block = await this.blocks.next()
    if (block === null) throw this.damaged('the end of a section is missing')
    if (block.section !== this.section) {
      throw this.damaged(`block ${block.block} is of section ${block.section}`)
    }
    this.chain = chained(this.chain, block.payloadCrc)
    return block
  }
}

export class StoredSectionReader implements SectionReader {
  readonly fileBytes: number
  /** Around the blocks, as a file of its own. */
  private readonly front: Buffer
  private readonly back: Buffer
  private isRead = false

  constructor(
    private readonly handle: FileHandle,
    head: FileHead,
    readonly section: StoredSection,
    private readonly place: SectionPlace,
    private readonly blocks: SectionBlocks,
    readonly manifest: SectionManifest,
  ) {
    const { block, bytes } = place
    const firstSection = blocks.section
    this.front = encodeFileHeader({ ...head.header, firstBlock: block, firstSection })
    const footer = Buffer.from(encodeFooter([{ ...place, offset: FILE_HEADER_BYTES }]))
    const footerHead = encodeBlockHeader({
      type: BlockType.footer,
      section: firstSection + 1,
      block: block + place.blocks,
      payloadBytes: footer.length,
      payloadCrc: crc32c(footer),
    }, head.header.id)
    const offset = FILE_HEADER_BYTES + bytes
    const trailer = encodeTrailer({ offset, bytes: footerHead.length + footer.length })
    this.back = Buffer.concat([footerHead, footer, trailer])
    this.fileBytes = offset + this.back.length
  }

  /** Once: a reader has one place in its file. */
  async *records(): AsyncGenerator<Buffer> {
    for await (const payload of this.payloads()) yield* piecesOf(payload)
  }

  /** Rejects with CheckpointDamagedError if hashes, digest or counts are not right either. */
  async verify(pace: Pace): Promise<void> {
    const sums = new StateSums(this.manifest.state)
    for await (const payload of this.payloads()) {
      for (const piece of piecesOf(payload)) {
        pace.begin()
        const fault = sums.addAll(piece, recordFault)
        pace.end()
        if (fault !== null) throw this.blocks.damaged(fault)
        await pace.rest(piece.length)
      }
    }
    const fault = sums.fault()
    if (fault !== null) throw this.blocks.damaged(fault)
    await pace.rest(0)
  }

  /**
   * Reads all of it: blocks in their order, number of records. Not their hashes, which were
   * computed with the checksums of the blocks when they were written.
   */
  async readBack(pace: Pace): Promise<void> {
    for await (const payload of this.payloads(pace)) await pace.rest(payload.length)
    await pace.rest(0)
  }

  async read(offset: number, bytes: number): Promise<Buffer> {
    const { front, back, place } = this
    const end = Math.min(offset + bytes, this.fileBytes)
    const into = Buffer.alloc(Math.max(0, end - offset))
    /** The part of `into` that a piece of the file has, which lies at `at` in it. */
    const within = (at: number, length: number): { from: number; until: number } => ({
      from: Math.max(offset, at),
      until: Math.min(end, at + length),
    })
    const put = (piece: Buffer, at: number): void => {
      const { from, until } = within(at, piece.length)
      if (from < until) piece.copy(into, from - offset, from - at, until - at)
    }
    put(front, 0)
    put(back, FILE_HEADER_BYTES + place.bytes)
    const { from, until } = within(FILE_HEADER_BYTES, place.bytes)
    if (from < until) {
      const some = into.subarray(from - offset, until - offset)
      const read = await this.handle.read(some, from - FILE_HEADER_BYTES + place.offset)
      if (read < some.length) throw this.blocks.damaged('it is cut off')
    }
    return into
  }

  async close(): Promise<void> {
    await this.handle.close()
  }

  private async *payloads(pace?: Pace): AsyncGenerator<Buffer> {
    if (this.isRead) throw new Error('bug: the records of a section are read a second time')
    this.isRead = true
    const counts = new Map<number, number>()
    const records = this.blocks.records()
    for (;;) {
      const { done, value } = await records.next()
      if (done) {
        if (!isEndOf(value, counts) || value.hashes !== this.manifest.state.digest) {
          throw this.blocks.damaged('the end of a section does not fit its records')
        }
        return
      }
      pace?.begin()
      countRecords(value, counts, (fault) => this.blocks.damaged(fault))
      pace?.end()
      yield value
    }
  }
}

function isEndOf({ records }: SectionEnd, counts: ReadonlyMap<number, number>): boolean {
  const said = new Map(records)
  const tables = new Set([...said.keys(), ...counts.keys()])
  return [...tables].every((table) => (said.get(table) ?? 0) === (counts.get(table) ?? 0))
}

function countRecords(
  payload: Buffer,
  counts: Map<number, number>,
  damaged: (fault: string) => Error,
): void {
  const cursor = new RecordCursor(payload)
  while (cursor.next()) counts.set(cursor.table, (counts.get(cursor.table) ?? 0) + 1)
  if (cursor.fault !== null) throw damaged(cursor.fault)
}

/** Cuts whole records into pieces that a stage takes. */
function* piecesOf(payload: Buffer): Generator<Buffer> {
  const cursor = new RecordCursor(payload)
  let start = 0
  let count = 0
  let end = 0
  while (cursor.next()) {
    if (count === stageRecordsMax || (count > 0 && cursor.end - start > stageBytesMax)) {
      yield payload.subarray(start, end)
      start = end
      count = 0
    }
    count += 1
    end = cursor.end
  }
  if (count > 0) yield payload.subarray(start, end)
}
