/**
 * Writes a checkpoint file: block after block, as slices of images come. In memory is one block.
 * Every MiB is synced, so that little of it is dirty when the journal syncs: a file system may
 * write back both together.
 */
import { crc32c } from '@node-rs/crc32'
import type { Pace, SectionNotes, SectionSource } from '../../actors/ports/checkpoints.js'
import type { FileHandle } from '../../actors/ports/fileSystem.js'
import { ImageClosedError, type SpaceImage } from '../../actors/ports/store.js'
import { assertCheckpointWhole } from '../../machines/log/invariants.js'
import { asBuffer } from '../codec/frameBytes.js'
import { imageTables, StateSums } from '../store/stateSums.js'
import { chainStart, chained, digestOf } from './blockChain.js'
import { BlockType, encodeBlockHeader, encodeFileHeader, encodeTrailer, type FileHeader,
  PAYLOAD_BYTES_MAX } from './format.js'
import { decodeManifest, encodeEnd, encodeFooter, encodeManifest, type SectionPlace,
  sectionsMax } from './payloads.js'

export const SYNC_BYTES = 1024 * 1024
/** Payload at which a block of records is full; a larger record has a block of its own. */
const RECORDS_BYTES = 256 * 1024

/** The image was closed: its space is dropped, or replaced by another state. */
class CutOffError extends Error {}

function sliceOf(image: SpaceImage): Buffer {
  try {
    return asBuffer(image.next())
  } catch (error) {
    throw error instanceof ImageClosedError ? new CutOffError('cut off', { cause: error }) : error
  }
}

/** Payload of a block. */
class Payload {
  readonly pieces: Uint8Array[] = []
  bytes = 0
  crc = 0

  constructor(...pieces: readonly Uint8Array[]) {
    for (const piece of pieces) this.add(piece)
  }

  add(piece: Uint8Array): void {
    this.pieces.push(piece)
    this.bytes += piece.length
    this.crc = crc32c(piece, this.crc)
  }
}

export class FileWriter {
  readonly places: SectionPlace[] = []
  private at = 0
  private synced = 0
  private block = 0
  /** Over the blocks of the present section. */
  private chain = chainStart

  /** The handle is that of a new file, which the caller closes. */
  constructor(private readonly handle: FileHandle, private readonly header: FileHeader) {}

  async begin(): Promise<void> {
    await this.append([encodeFileHeader(this.header)])
  }

  /** Closes the image, whatever happens. One that was closed before its end leaves nothing. */
  async section({ notes, image }: SectionSource, pace: Pace): Promise<void> {
    const { at, block } = this
    try {
      await this.sectionOf(notes, image, pace)
    } catch (error) {
      if (!(error instanceof CutOffError)) throw error
      await this.rewind(at, block)
    } finally {
      image.close()
    }
  }

  /** All is durable then, but the name of the file. */
  async finish(): Promise<void> {
    const { at: offset, places } = this
    await this.write(BlockType.footer, new Payload(encodeFooter(places)))
    await this.append([encodeTrailer({ offset, bytes: this.at - offset })])
    await this.handle.datasync()
  }

  private async sectionOf(notes: SectionNotes, image: SpaceImage, pace: Pace): Promise<void> {
    if (this.places.length === sectionsMax) throw new Error('bug: a file of too many sections')
    const { at: offset, block } = this
    const { state } = image
    const { space, uuid } = notes
    this.chain = chainStart
    pace.begin()
    const manifest = encodeManifest({ ...notes, state })
    if (decodeManifest(manifest) === undefined) {
      throw new Error(`bug: a manifest of '${space}' that nobody would read`)
    }
    const payload = new Payload(manifest)
    pace.end()
    await this.write(BlockType.manifest, payload)
    await pace.rest(0)
    const sums = new StateSums(state)
    const fault = await this.records(image, sums, pace)
    assertCheckpointWhole(space, state.position, fault)
    const end = encodeEnd({
      records: imageTables.map((table): [number, number] => [table, sums.count(table)]),
      bytes: sums.bytes,
      hashes: sums.hashes,
      blocks: digestOf(this.chain),
    })
    await this.write(BlockType.end, new Payload(end))
    const { position, digest } = state
    const blocks = this.block - block
    const bytes = this.at - offset
    this.places.push({ space, uuid, position, digest, offset, bytes, block, blocks })
  }

  /** Returns why the records do not make the state, or null. */
  private async records(
    image: SpaceImage,
    sums: StateSums,
    pace: Pace,
  ): Promise<string | null> {
    let pending = new Payload()
    for (;;) {
      pace.begin()
      // Its hashes were computed, and nothing comes between: what is read back with these checksums
      // is what was hashed.
      const slice = sliceOf(image)
      const fault = sums.addAll(slice)
      const isFull = pending.bytes > 0 && pending.bytes + slice.length > RECORDS_BYTES
      const full = isFull ? pending : null
      if (isFull) pending = new Payload()
      pending.add(slice)
      pace.end()
      if (slice.length === 0) break
      if (fault !== null) return fault
      if (full) await this.write(BlockType.records, full)
      await pace.rest(slice.length)
    }
    if (pending.bytes > 0) await this.write(BlockType.records, pending)
    await pace.rest(0)
    return sums.fault()
  }

  private async rewind(at: number, block: number): Promise<void> {
    await this.handle.truncate(at)
    this.at = at
    this.block = block
    this.synced = Math.min(this.synced, at)
  }

  private async write(type: BlockType, payload: Payload): Promise<void> {
    const { bytes: payloadBytes, crc: payloadCrc, pieces } = payload
    if (payloadBytes > PAYLOAD_BYTES_MAX) throw new Error(`bug: a block of ${payloadBytes} bytes`)
    const { block, header } = this
    const section = this.places.length
    const head = { type, section, block, payloadBytes, payloadCrc }
    await this.append([encodeBlockHeader(head, header.id), ...pieces])
    this.block += 1
    this.chain = chained(this.chain, payloadCrc)
  }

  private async append(pieces: readonly Uint8Array[]): Promise<void> {
    await this.handle.write(pieces, this.at)
    for (const piece of pieces) this.at += piece.length
    if (this.at - this.synced < SYNC_BYTES) return
    await this.handle.datasync()
    this.synced = this.at
  }
}
