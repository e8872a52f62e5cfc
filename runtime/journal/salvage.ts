/**
 * Files that keep the entries that a member had to truncate when it joined another log. Layout:
 * magic `EGSV` and version (4 + 4 bytes), length and CRC32C of the header (4 + 4), the header as
 * JSON; then each frame, preceded by its length (4), and at the end a length of 0. A file gets its
 * name when it is complete and durable. Version 2 is written where the header says that entries are
 * missing: a reader that does not know of that must not take the file for the whole fork.
 */
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { FileSystemError, type FileHandle, type FileSystem } from '../../actors/ports/fileSystem.js'
import { type Frame } from '../../actors/ports/frames.js'
import { firstOf, type OpenSalvage, type SalvageFiles,
  type SalvageHeader } from '../../actors/ports/journal.js'
import { type Logger } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { isSafe, isUuid } from '../codec/frameBytes.js'
import { FRAME_BYTES_MAX } from '../codec/frameLayout.js'
import { frameEntries, parseFrame } from '../codec/frames.js'

export class SalvageDamagedError extends Error {
  readonly code = 'SALVAGE_DAMAGED'
  constructor(name: string, reason: string) {
    super(`salvage ${name} is damaged: ${reason}`)
    this.name = 'SalvageDamagedError'
  }
}

/** The file was written by a later version of this program. It is not damaged. */
export class SalvageVersionError extends Error {
  readonly code = 'SALVAGE_VERSION'
  constructor(name: string, version: number) {
    super(`salvage ${name} needs a later version of this program: its format has version `
      + `${version}, and this one reads up to ${VERSION}`)
    this.name = 'SalvageVersionError'
  }
}

export class SalvageNotFoundError extends Error {
  readonly code = 'SALVAGE_NOT_FOUND'
  constructor(name: string) {
    super(`there is no salvage ${name}`)
    this.name = 'SalvageNotFoundError'
  }
}

const MAGIC = Buffer.from('EGSV')
const VERSION = 2
const VERSION_WHOLE = 1
const START_BYTES = 16
/** Room for as many epochs as a join can name. */
const HEADER_BYTES_MAX = 512 * 1024
const NAME = /^[A-Za-z0-9_.-]{1,240}\.salvage$/
const KEPT_NAME = /^[A-Za-z0-9_.-]{1,240}\.checkpoint$/

/**
 * `directory` is made when absent. Saving the same fork again (after a crash between salvage and
 * truncation) replaces the file: equal positions hold equal entries (I3).
 */
export function createSalvageFiles(
  options: {
    readonly directory: string
    readonly fileSystem: FileSystem
    readonly logger: Logger
  },
): SalvageFiles {
  const { directory, fileSystem, logger } = options
  return {
    save: (header, frames, checkpoint) => save(fileSystem, directory, header, frames, checkpoint),
    kept: async () => (await fileSystem.list(directory)).filter((name) => KEPT_NAME.test(name)),
    names: () => names(fileSystem, directory),
    list: () => list(fileSystem, directory, logger),
    open: (name) => open(fileSystem, directory, name),
    remove: (name) => remove(fileSystem, directory, name),
  }
}

/** With the first entry: one that was saved before more was given up has what a later one lacks. */
function nameOf({ space, uuid, common, end, missing }: SalvageHeader): string {
  const begins = missing ? `.from-${missing.begins}` : ''
  return `${space}.${uuid.slice(0, 8)}.${common.epoch}-${common.sequence}${begins}`
    + `.${end.epoch}-${end.sequence}.salvage`
}

/** Name of the checkpoint that is kept beside a salvage. */
export function keptName(salvage: string): string {
  return salvage.replace(/\.salvage$/, '.checkpoint')
}

/**
 * Throws RangeError, and keeps nothing, if the frames are not exactly those between `header.common`
 * and `header.end`, but for those that the header says are missing (I6).
 */
async function save(
  fileSystem: FileSystem,
  directory: string,
  header: SalvageHeader,
  frames: AsyncIterable<readonly Frame[]>,
  checkpoint: string | undefined,
): Promise<string> {
  const name = nameOf(header)
  if (!NAME.test(name)) throw new RangeError(`bug: '${name}' is no name of a salvage`)
  if (headerFault(header)) throw new RangeError(`bug: the header of '${name}' makes no sense`)
  await fileSystem.makeDirectory(directory)
  const path = join(directory, name)
  await fileSystem.remove(`${path}.tmp`).catch(ignoreMissing)
  const handle = await fileSystem.open(`${path}.tmp`, 'create')
  try {
    await writeAll(handle, header, frames)
    await handle.datasync()
  } catch (error) {
    await fileSystem.remove(`${path}.tmp`).catch(() => undefined)
    throw error
  } finally {
    await handle.close()
  }
  if (checkpoint !== undefined) {
    // One of an earlier try may be older than the one that the header names.
    await fileSystem.remove(join(directory, keptName(name))).catch(ignoreMissing)
    await fileSystem.link(checkpoint, join(directory, keptName(name)))
  }
  await fileSystem.rename(`${path}.tmp`, path)
  await fileSystem.syncDirectory(directory)
  return name
}

async function writeAll(
  handle: FileHandle,
  header: SalvageHeader,
  frames: AsyncIterable<readonly Frame[]>,
): Promise<void> {
  const json = Buffer.from(JSON.stringify(header))
  const start = Buffer.alloc(START_BYTES)
  MAGIC.copy(start)
  start.writeUInt32LE(header.missing ? VERSION : VERSION_WHOLE, 4)
  start.writeUInt32LE(json.length, 8)
  start.writeUInt32LE(crc32c(json), 12)
  let at = START_BYTES + json.length
  await handle.write([start, json], 0)
  let next = firstOf(header)
  for await (const some of frames) {
    const buffers: Uint8Array[] = []
    for (const frame of some) {
      if (frame.uuid !== header.uuid || frame.first !== next) {
        throw new RangeError(`bug: a salvage with ${frame.first}, but ${next} is next`)
      }
      next = frame.last + 1
      buffers.push(lengthWord(frame.bytes.length), frame.bytes)
    }
    await handle.write(buffers, at)
    at += buffers.reduce((sum, buffer) => sum + buffer.length, 0)
  }
  if (next !== header.end.sequence + 1) {
    throw new RangeError(`bug: a salvage up to ${next - 1}, not up to ${header.end.sequence}`)
  }
  await handle.write([lengthWord(0)], at)
}

function lengthWord(length: number): Buffer {
  const word = Buffer.allocUnsafe(4)
  word.writeUInt32LE(length)
  return word
}

async function names(fileSystem: FileSystem, directory: string): Promise<string[]> {
  return (await fileSystem.list(directory)).filter((name) => NAME.test(name))
}

/** Logs and omits a file that cannot be read, so that it does not hide the others. */
async function list(
  fileSystem: FileSystem,
  directory: string,
  logger: Logger,
): Promise<{ name: string; header: SalvageHeader; bytes: number; entries: number }[]> {
  const found = []
  for (const name of await names(fileSystem, directory)) {
    try {
      const handle = await openSalvage(fileSystem, directory, name)
      try {
        const { header } = await readHeader(handle, name)
        const entries = header.end.sequence + 1 - firstOf(header)
        found.push({ name, header, bytes: await handle.size(), entries })
      } finally {
        await handle.close()
      }
    } catch (error) {
      if (error instanceof SalvageNotFoundError) continue
      const reason = messageOf(error)
      logger.error({ name, reason }, 'a salvage cannot be read')
    }
  }
  return found
}

/** `name` comes from a command line: it must not lead out of the directory. */
async function openSalvage(
  fileSystem: FileSystem,
  directory: string,
  name: string,
): Promise<FileHandle> {
  if (!NAME.test(name)) throw new SalvageNotFoundError(name)
  try {
    return await fileSystem.open(join(directory, name), 'read')
  } catch (error) {
    ignoreMissing(error)
    throw new SalvageNotFoundError(name)
  }
}

/** Syncs the directory even if the file is gone: the process that removed it may have died. */
async function remove(fileSystem: FileSystem, directory: string, name: string): Promise<void> {
  if (!NAME.test(name) && !KEPT_NAME.test(name)) throw new SalvageNotFoundError(name)
  await fileSystem.remove(join(directory, name)).catch(ignoreMissing)
  await fileSystem.syncDirectory(directory).catch(ignoreMissing)
}

async function readHeader(
  handle: FileHandle,
  name: string,
): Promise<{ header: SalvageHeader; end: number }> {
  const start = await readExactly(handle, name, 0, START_BYTES)
  if (start.compare(MAGIC, 0, 4, 0, 4) !== 0) throw new SalvageDamagedError(name, 'wrong magic')
  const version = start.readUInt32LE(4)
  if (version > VERSION) throw new SalvageVersionError(name, version)
  if (version < VERSION_WHOLE) throw new SalvageDamagedError(name, `format version ${version}`)
  const length = start.readUInt32LE(8)
  if (length > HEADER_BYTES_MAX) throw new SalvageDamagedError(name, 'impossible header length')
  const json = await readExactly(handle, name, START_BYTES, length)
  if (crc32c(json) !== start.readUInt32LE(12)) {
    throw new SalvageDamagedError(name, 'bad checksum of the header')
  }
  const header = JSON.parse(json.toString('utf8')) as SalvageHeader
  if (headerFault(header) || (header.missing !== undefined) !== (version === VERSION)) {
    throw new SalvageDamagedError(name, 'its header makes no sense')
  }
  return { header, end: START_BYTES + length }
}

function headerFault({ uuid, common, end, missing }: SalvageHeader): boolean {
  if (!isUuid(uuid) || !isSafe(common.sequence) || !isSafe(end.sequence)) return true
  if (missing === undefined) return false
  const { begins, spans } = missing
  if (!isSafe(begins) || !Array.isArray(spans)) return true
  let before = common
  for (const { epoch, last } of spans) {
    const isNext = before === common ? epoch >= common.epoch : epoch > before.epoch
    if (!isSafe(epoch) || !isSafe(last) || !isNext || last <= before.sequence) return true
    before = { epoch, sequence: last }
  }
  return spans.length === 0 || before.sequence !== begins - 1 || begins > end.sequence + 1
}

/** Entry by entry: a salvage may be larger than memory. Throws SalvageDamagedError. */
export async function* entriesOf(files: SalvageFiles, name: string): AsyncGenerator<LogEntry> {
  const source = await files.open(name)
  try {
    for (let frame = await source.next(); frame !== null; frame = await source.next()) {
      yield* frameEntries(frame)
    }
  } finally {
    await source.close()
  }
}

async function open(
  fileSystem: FileSystem,
  directory: string,
  name: string,
): Promise<OpenSalvage> {
  const handle = await openSalvage(fileSystem, directory, name)
  try {
    const { header, end } = await readHeader(handle, name)
    const frames = framesOf(handle, name, header, end)
    return {
      header,
      next: async () => (await frames.next()).value ?? null,
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function* framesOf(
  handle: FileHandle,
  name: string,
  header: SalvageHeader,
  begin: number,
): AsyncGenerator<Frame, undefined> {
  let next = firstOf(header)
  for (let at = begin;;) {
    const length = (await readExactly(handle, name, at, 4)).readUInt32LE(0)
    if (length === 0) break
    if (length > FRAME_BYTES_MAX) throw new SalvageDamagedError(name, 'impossible frame length')
    const frame = parseFrame(await readExactly(handle, name, at + 4, length))
    if (typeof frame === 'string') throw new SalvageDamagedError(name, frame)
    if (frame.uuid !== header.uuid || frame.first !== next) {
      throw new SalvageDamagedError(name, `sequence ${next} is missing`)
    }
    yield frame
    next = frame.last + 1
    at += 4 + length
  }
  if (next !== header.end.sequence + 1) throw new SalvageDamagedError(name, 'its end is missing')
}

async function readExactly(
  handle: FileHandle,
  name: string,
  offset: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  if (await handle.read(bytes, offset) < length) {
    throw new SalvageDamagedError(name, 'the file is cut off')
  }
  return bytes
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof FileSystemError) || error.code !== 'ENOENT') throw error
}
