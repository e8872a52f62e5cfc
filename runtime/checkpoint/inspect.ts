/** Reads checkpoint files for `engram checkpoint list|verify DIR`. Changes nothing. */
import { join } from 'node:path'
import { CheckpointDamagedError, CheckpointGoneError, CheckpointVersionError, type Pace,
  type StoredFile, type StoredSection } from '../../actors/ports/checkpoints.js'
import { type FileSystem, FileSystemError } from '../../actors/ports/fileSystem.js'
import type { Position } from '../../machines/base/ids.js'
import { showPosition } from '../../machines/log/positions.js'
import type { NamedCheckpoint } from '../journal/namedCheckpoints.js'
import { fileName, openStored, storedFile } from './checkpoints.js'
import { isMissing, partOf } from './part.js'

export interface Fault {
  readonly code: string
  readonly reason: string
}

export interface InspectedSection {
  readonly space: string
  readonly uuid: string
  readonly position: Position
  readonly digest: string
  readonly bytes: number
  /** Null: it is not known. */
  readonly counts: boolean | null
  /** Why it cannot be used, as far as it was read, or null. */
  readonly fault: Fault | null
}

export interface InspectedFile {
  readonly file: number
  readonly name: string
  readonly bytes: number
  /** Null when the head cannot be read. */
  readonly id: string | null
  readonly writtenAtMs: number | null
  /** Why no section of it can be used, or null. */
  readonly fault: Fault | null
  readonly sections: readonly InspectedSection[]
}

export interface UnfinishedFile {
  readonly name: string
  readonly bytes: number
  readonly state: 'unfinished' | 'beingReceived'
}

export interface MissingCheckpoint extends NamedCheckpoint {
  readonly reason: string
}

export interface CheckpointReport {
  readonly directory: string
  /** Whether all that counts can be used, as far as it was read; unknown: all that is there. */
  readonly ok: boolean
  /** By number. */
  readonly files: readonly InspectedFile[]
  readonly unfinished: readonly UnfinishedFile[]
  /** They count, and are in none of the files. */
  readonly missing: readonly MissingCheckpoint[]
}

export interface InspectOptions {
  readonly fileSystem: FileSystem
  /** Of the files. */
  readonly directory: string
  /** Those that count now; null: it is not known. */
  readonly readNamed: () => Promise<readonly NamedCheckpoint[] | null>
  /** Reads all of each section; otherwise only heads and footers. */
  readonly isWhole: boolean
}

/** So often, what a node did meanwhile is read, too. */
const roundsMax = 10

export class CheckpointsChangingError extends Error {
  readonly code = 'CHECKPOINTS_CHANGING'
  readonly retryable = true
  constructor(directory: string) {
    super(`the checkpoints in ${directory} change faster than they are read: try again`)
    this.name = 'CheckpointsChangingError'
  }
}

/**
 * A node may run on the files: as long as other checkpoints count after the reading than before,
 * it reads those, too. Throws FileSystemError, CheckpointsChangingError, and as `readNamed`.
 */
export async function inspectCheckpoints(options: InspectOptions): Promise<CheckpointReport> {
  const read = new Map<number, ReadFile>()
  let named = await options.readNamed()
  for (let round = 0; round < roundsMax; round += 1) {
    const { numbers, unfinished } = await filesIn(options)
    for (const number of numbers) {
      if (!read.has(number)) read.set(number, await readFile(options, number))
    }
    const before = named
    named = await options.readNamed()
    if (!isSame(before, named)) continue
    const files = numbers.map((number) => read.get(number)!).filter(({ isGone }) => !isGone)
    return reportOf(options.directory, files, unfinished, named)
  }
  throw new CheckpointsChangingError(options.directory)
}

async function filesIn(
  { fileSystem, directory }: InspectOptions,
): Promise<{ numbers: number[]; unfinished: UnfinishedFile[] }> {
  const numbers: number[] = []
  const unfinished: UnfinishedFile[] = []
  for (const name of await fileSystem.list(directory)) {
    const number = /^(\d{10})\.(checkpoint|tmp)$/.exec(name)
    if (number?.[2] === 'checkpoint') numbers.push(Number(number[1]))
    else if (number !== null || partOf(name) !== null) {
      const bytes = await sizeOf(fileSystem, join(directory, name))
      const state = number === null ? 'beingReceived' : 'unfinished'
      if (bytes !== null) unfinished.push({ name, bytes, state })
    }
  }
  return { numbers: numbers.toSorted((a, b) => a - b), unfinished }
}

/** Null: the file is gone. */
async function sizeOf(fileSystem: FileSystem, path: string): Promise<number | null> {
  try {
    const handle = await fileSystem.open(path, 'read')
    try {
      return await handle.size()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

interface ReadSection {
  readonly section: StoredSection
  readonly fault: Fault | null
}

interface ReadFile {
  readonly stored: StoredFile
  readonly sections: readonly ReadSection[]
  /** It was removed meanwhile. */
  readonly isGone: boolean
}

async function readFile(options: InspectOptions, number: number): Promise<ReadFile> {
  const stored = await storedFile(options, number)
  const sections: ReadSection[] = []
  for (const section of stored.sections) {
    const fault = options.isWhole ? await faultOf(options, section) : null
    if (fault === 'gone') return { stored, sections, isGone: true }
    sections.push({ section, fault })
  }
  return { stored, sections, isGone: stored.fault?.code === 'ENOENT' }
}

const unpaced: Pace = { begin: () => undefined, end: () => undefined, rest: async () => undefined }

async function faultOf(
  options: InspectOptions,
  section: StoredSection,
): Promise<Fault | 'gone' | null> {
  try {
    const reader = await openStored(options, section)
    try {
      await reader.verify(unpaced)
    } finally {
      await reader.close()
    }
    return null
  } catch (error) {
    if (error instanceof CheckpointGoneError) return 'gone'
    if (error instanceof CheckpointDamagedError || error instanceof CheckpointVersionError) {
      return { code: error.code, reason: error.reason }
    }
    if (error instanceof FileSystemError) return { code: error.code, reason: error.message }
    throw error
  }
}

function reportOf(
  directory: string,
  read: readonly ReadFile[],
  unfinished: readonly UnfinishedFile[],
  named: readonly NamedCheckpoint[] | null,
): CheckpointReport {
  const counting = named && new Set(named.map(keyOf))
  const files = read.map((file) => inspected(file, counting))
  const byNumber = new Map(read.map((file) => [file.stored.number, file]))
  const missing = (named ?? []).flatMap((one) => {
    const reason = whyMissing(one, byNumber.get(one.file))
    return reason === null ? [] : [{ ...one, reason }]
  })
  // Which sections a file had that cannot be read, is known by what is missing.
  const isUsable = ({ fault, sections }: InspectedFile): boolean =>
    (named !== null || fault === null)
    && sections.every((section) => section.fault === null || section.counts === false)
  const ok = missing.length === 0 && files.every(isUsable)
  return { directory, ok, files, unfinished, missing }
}

function inspected(
  { stored: { number, bytes, fault, sections: [first] }, sections }: ReadFile,
  counting: ReadonlySet<string> | null,
): InspectedFile {
  return {
    file: number,
    name: fileName(number),
    bytes,
    id: first?.id ?? null,
    writtenAtMs: first?.writtenAtMs ?? null,
    fault,
    sections: sections.map(({ section, fault: found }) => ({
      space: section.space,
      uuid: section.uuid,
      position: section.position,
      digest: section.digest,
      bytes: section.bytes,
      counts: counting && counting.has(keyOf(section)),
      fault: found,
    })),
  }
}

function whyMissing(one: NamedCheckpoint, file: ReadFile | undefined): string | null {
  if (file === undefined) return 'its file is not there'
  const { fault, sections } = file.stored
  if (fault !== null) return `its file cannot be used: ${fault.reason}`
  const ofSpace = sections.find(({ uuid }) => uuid === one.uuid)
  if (ofSpace && keyOf(ofSpace) === keyOf(one)) return null
  if (sections[0]?.id !== one.id) return 'its file is another one than the journal names'
  return ofSpace
    ? `its file has the space as of ${showPosition(ofSpace.position)}`
    : 'its file does not have the space'
}

function keyOf({ uuid, file, id, position }: NamedCheckpoint): string {
  return `${uuid} ${file} ${id} ${position.epoch} ${position.sequence}`
}

function isSame(
  before: readonly NamedCheckpoint[] | null,
  after: readonly NamedCheckpoint[] | null,
): boolean {
  const textOf = (named: readonly NamedCheckpoint[] | null): string =>
    (named ?? []).map(keyOf).toSorted().join('\n')
  return textOf(before) === textOf(after)
}
