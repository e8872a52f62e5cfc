/** Header and footer of a complete file: what it has, without reading it. */
import { CheckpointDamagedError, CheckpointVersionError,
  type StoredSection } from '../../actors/ports/checkpoints.js'
import type { FileHandle } from '../../actors/ports/fileSystem.js'
import { RECORDS_VERSION } from '../store/marker.js'
import { BlockReader } from './blockReader.js'
import { BlockType, decodeFileHeader, decodeTrailer, FILE_HEADER_BYTES, type FileHeader,
  TRAILER_BYTES } from './format.js'
import { decodeFooter, type SectionPlace } from './payloads.js'

export interface FileHead {
  readonly name: string
  readonly header: FileHeader
  readonly places: readonly SectionPlace[]
  readonly bytes: number
}

/** CheckpointDamagedError, CheckpointVersionError, FileSystemError. */
export async function readFileHead(handle: FileHandle, name: string): Promise<FileHead> {
  const header = await readFileHeader(handle, name)
  const bytes = await handle.size()
  const trailer = Buffer.alloc(TRAILER_BYTES)
  if (bytes < FILE_HEADER_BYTES + TRAILER_BYTES
    || await handle.read(trailer, bytes - TRAILER_BYTES) < TRAILER_BYTES)
  {
    throw new CheckpointDamagedError(name, 'its end is missing')
  }
  const footer = decodeTrailer(trailer, bytes)
  if (typeof footer === 'string') throw new CheckpointDamagedError(name, footer)
  const places = await readFooter(handle, name, header, footer.offset, footer.bytes)
  return { name, header, places, bytes }
}

export async function readFileHeader(handle: FileHandle, name: string): Promise<FileHeader> {
  const bytes = Buffer.alloc(FILE_HEADER_BYTES)
  const read = await handle.read(bytes, 0)
  const header = decodeFileHeader(bytes.subarray(0, read), RECORDS_VERSION)
  if (typeof header === 'string') throw new CheckpointDamagedError(name, header)
  if ('later' in header) throw new CheckpointVersionError(name, header.later)
  return header
}

/** The sections fill the file from its header to the footer, whose number follows theirs. */
async function readFooter(
  handle: FileHandle,
  name: string,
  { id, firstBlock, firstSection }: FileHeader,
  offset: number,
  bytes: number,
): Promise<readonly SectionPlace[]> {
  const damaged = (fault: string) => new CheckpointDamagedError(name, `its footer ${fault}`)
  const numberAt = Buffer.alloc(4)
  // The number of the footer's block is not known yet; the sections in it have to lead to it.
  await handle.read(numberAt, offset + 12)
  const block = numberAt.readUInt32LE(0)
  const reader = new BlockReader(handle, { name, id, offset, block, end: offset + bytes })
  const read = await reader.next()
  if (read === null || read.type !== BlockType.footer || read.end !== offset + bytes) {
    throw damaged('is not where it should be')
  }
  const places = decodeFooter(read.payload)
  if (places === undefined) throw damaged('makes no sense')
  let next = { offset: FILE_HEADER_BYTES, block: firstBlock }
  for (const place of places) {
    if (place.offset !== next.offset || place.block !== next.block) throw damaged('has holes')
    next = { offset: place.offset + place.bytes, block: place.block + place.blocks }
  }
  if (next.offset !== offset || next.block !== block
    || read.section !== firstSection + places.length) throw damaged('has holes')
  return places
}

/** `number`: of the file here. */
export function sectionsOf({ header, places }: FileHead, number: number): StoredSection[] {
  const sharedBytes = places.reduce((sum, { bytes }) => sum + bytes, 0)
  return places.map(({ space, uuid, position, digest, offset, bytes }) => ({
    file: number,
    id: header.id,
    writtenAtMs: header.writtenAtMs,
    space,
    uuid,
    position,
    digest,
    offset,
    bytes,
    sharedBytes,
  }))
}
