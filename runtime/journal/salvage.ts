/**
 * Files that keep the entries that a member had to truncate when it joined another log. Layout:
 * magic `EGSV` and version (4 + 4 bytes), length and CRC32C of the header (4 + 4), the header as
 * JSON; then each frame, preceded by its length (4), and at the end a length of 0. A file gets its
 * name when it is complete and durable.
 */
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { FileSystemError, type FileHandle, type FileSystem } from '../../actors/ports/fileSystem.js'
import { type Frame } from '../../actors/ports/frames.js'
import { type OpenSalvage, type SalvageFiles,
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

export class SalvageNotFoundError extends Error {
  readonly code = 'SALVAGE_NOT_FOUND'
  constructor(name: string) {
    super(`there is no salvage ${name}`)
    this.name = 'SalvageNotFoundError'
  }
}

const MAGIC = Buffer.from('EGSV')
const VERSION = 1
const START_BYTES = 16
const HEADER_BYTES_MAX = 64 * 1024
const NAME = /^[A-Za-z0-9_.-]{1,240}\.salvage$/

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
    save: (header, frames) => save(fileSystem, directory, header, frames),
    names: () => names(fileSystem, directory),
    list: () => list(fileSystem, directory, logger),
    open: (name) => open(fileSystem, directory, name),
    remove: (name) => remove(fileSystem, directory, name),
  }
}

function nameOf(header: SalvageHeader): string {
  const { space, uuid, common, end } = header
  return `${space}.${uuid.slice(0, 8)}.${common.epoch}-${common.sequence}`
    + `.${end.epoch}-${end.sequence}.salvage`
}

/**
 * Throws RangeError, and keeps nothing, if the frames are not exactly those between `header.common`
 * and `header.end`: a salvage has no holes (I6).
 */
async function save(
  fileSystem: FileSystem,
  directory: string,
  header: SalvageHeader,
  frames: AsyncIterable<readonly Frame[]>,
): Promise<string> {
  const name = nameOf(header)
  if (!NAME.test(name)) throw new RangeError(`bug: '${name}' is no name of a salvage`)
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
  start.writeUInt32LE(VERSION, 4)
  start.writeUInt32LE(json.length, 8)
  start.writeUInt32LE(crc32c(json), 12)
  let at = START_BYTES + json.length
  await handle.write([start, json], 0)
  let next = header.common.sequence + 1
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
        const entries = header.end.sequence - header.common.sequence
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
  if (!NAME.test(name)) throw new SalvageNotFoundError(name)
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
  if (version !== VERSION) throw new SalvageDamagedError(name, `format version ${version}`)
  const length = start.readUInt32LE(8)
  if (length > HEADER_BYTES_MAX) throw new SalvageDamagedError(name, 'impossible header length')
  const json = await readExactly(handle, name, START_BYTES, length)
  if (crc32c(json) !== start.readUInt32LE(12)) {
    throw new SalvageDamagedError(name, 'bad checksum of the header')
  }
  const header = JSON.parse(json.toString('utf8')) as SalvageHeader
  if (!isUuid(header.uuid) || !isSafe(header.common.sequence) || !isSafe(header.end.sequence)) {
    throw new SalvageDamagedError(name, 'its header makes no sense')
  }
  return { header, end: START_BYTES + length }
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
  let next = header.common.sequence + 1
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
