/**
 * The folder of checkpoint files. A file gets its name only when it is durable and complete; what
 * it is worth is decided by the journal, which names it later.
 */
import { join } from 'node:path'
import { CheckpointDamagedError, CheckpointGoneError, type Checkpoints, CheckpointVersionError,
  type Pace, type Part, ReadBackError, type SectionSource, type StoredFile,
  type StoredSection } from '../../actors/ports/checkpoints.js'
import { type FileHandle, type FileSystem, FileSystemError } from '../../actors/ports/fileSystem.js'
import type { Random } from '../../actors/ports/system.js'
import { RECORDS_VERSION } from '../store/marker.js'
import { type FileHead, readFileHead, sectionsOf } from './fileHead.js'
import { isMissing, openPart, partName, partOf, removeFile } from './part.js'
import { openSection, readSection, type StoredSectionReader } from './sectionReader.js'
import { FileWriter } from './writer.js'

const SUFFIX = '.checkpoint'
const TEMPORARY = '.tmp'

export interface CheckpointOptions {
  readonly directory: string
  readonly fileSystem: FileSystem
  readonly random: Random
  /** Wall clock. */
  readonly nowMs: () => number
  /** Id of this disk. */
  readonly disk: string
  /** New files get higher numbers: the highest one that the journal has named. */
  readonly numberAbove: number
}

export type FileFolder = Pick<CheckpointOptions, 'directory' | 'fileSystem'>

/** Removes what was never finished, and reads heads and footers of the others. */
export async function openCheckpoints(options: CheckpointOptions): Promise<Checkpoints> {
  const { directory, fileSystem } = options
  await fileSystem.makeDirectory(directory)
  const files = new Map<number, FoundFile>()
  let last = options.numberAbove
  for (const name of await fileSystem.list(directory)) {
    const number = /^(\d{10})\.(checkpoint|tmp)$/.exec(name)
    if (number === null) continue
    last = Math.max(last, Number(number[1]))
    if (name.endsWith(TEMPORARY)) await fileSystem.remove(join(directory, name))
    else files.set(Number(number[1]), await foundFile(options, Number(number[1])))
  }
  return new CheckpointFiles(options, files, last)
}

/** A file as it is listed, and what reads of its sections need. */
interface FoundFile {
  readonly stored: StoredFile
  /** By uuid: those that can be used. */
  readonly sections: ReadonlyMap<string, StoredSection>
  /** Null: it cannot be read. */
  readonly head: FileHead | null
}

function found(head: FileHead, number: number): FoundFile {
  const sections = sectionsOf(head, number)
  return {
    stored: { number, bytes: head.bytes, sections, fault: null },
    sections: byUuid(sections),
    head,
  }
}

function byUuid(sections: readonly StoredSection[]): Map<string, StoredSection> {
  return new Map(sections.map((section) => [section.uuid, section]))
}

/** A file that cannot be read is listed with the reason. Changes nothing. */
export async function storedFile(folder: FileFolder, number: number): Promise<StoredFile> {
  return (await foundFile(folder, number)).stored
}

async function foundFile(
  { directory, fileSystem }: FileFolder,
  number: number,
): Promise<FoundFile> {
  const name = fileName(number)
  let bytes = 0
  try {
    const handle = await fileSystem.open(join(directory, name), 'read')
    try {
      bytes = await handle.size()
      return found(await readFileHead(handle, name), number)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (!isOperating(error)) throw error
    const { code, message } = error
    const reason = error instanceof FileSystemError ? message : error.reason
    const stored = { number, bytes, sections: [], fault: { code, reason } }
    return { stored, sections: new Map(), head: null }
  }
}

/** CheckpointDamagedError, CheckpointVersionError, CheckpointGoneError, FileSystemError. */
export async function openStored(
  folder: FileFolder,
  section: StoredSection,
): Promise<StoredSectionReader> {
  const name = fileName(section.file)
  const handle = await openFile(folder, name)
  let head: FileHead
  try {
    head = await readFileHead(handle, name)
  } catch (error) {
    await handle.close()
    throw error
  }
  return openSection(handle, head, section)
}

async function openFile(
  { directory, fileSystem }: FileFolder,
  name: string,
): Promise<FileHandle> {
  try {
    return await fileSystem.open(join(directory, name), 'read')
  } catch (error) {
    throw isMissing(error) ? new CheckpointGoneError(name) : error
  }
}

function isOperating(
  error: unknown,
): error is CheckpointDamagedError | CheckpointVersionError | FileSystemError {
  return error instanceof CheckpointDamagedError || error instanceof CheckpointVersionError
    || error instanceof FileSystemError
}

/** Name of a complete file. */
export function fileName(number: number): string {
  return String(number).padStart(10, '0') + SUFFIX
}

class CheckpointFiles implements Checkpoints {
  constructor(
    private readonly options: CheckpointOptions,
    private readonly found: Map<number, FoundFile>,
    private last: number,
  ) {}

  get directory(): string {
    return this.options.directory
  }

  files(): readonly StoredFile[] {
    return [...this.found.values()].map(({ stored }) => stored)
      .toSorted((a, b) => a.number - b.number)
  }

  list(): readonly StoredSection[] {
    return this.files().flatMap(({ sections }) => sections)
  }

  find(uuid: string, { file, id }: { file: number; id: string }): StoredSection | null {
    const section = this.found.get(file)?.sections.get(uuid)
    return section?.id === id ? section : null
  }

  async write(
    sources: Iterable<SectionSource> | AsyncIterable<SectionSource>,
    pace: Pace,
  ): Promise<readonly StoredSection[]> {
    const number = this.nextNumber()
    try {
      if (!await this.writeFile(number, sources, pace)) return []
    } finally {
      // Those that were not reached. One that makes them one by one closes its own.
      if (Array.isArray(sources)) {
        for (const { image } of sources as readonly SectionSource[]) image.close()
      }
    }
    try {
      return await this.readBack(number, pace)
    } catch (error) {
      await this.remove(number).catch(() => undefined)
      throw error instanceof CheckpointDamagedError
        ? new ReadBackError(fileName(number), error)
        : error
    }
  }

  noteUnusable({ file: number, uuid }: StoredSection,
    fault: NonNullable<StoredFile['fault']>): void
  {
    const file = this.found.get(number)
    if (!file) return
    const sections = file.stored.sections.filter((section) => section.uuid !== uuid)
    const stored = { ...file.stored, sections, fault }
    this.found.set(number, { stored, sections: byUuid(sections), head: file.head })
  }

  pathOf({ file }: StoredSection): string {
    return this.path(fileName(file))
  }

  /** Of a shared file, by the footer as it was read before: that of many sections takes a while. */
  async open(section: StoredSection): Promise<StoredSectionReader> {
    const head = this.found.get(section.file)?.head ?? null
    const isShared = head !== null && head.places.length > 1 && head.header.id === section.id
    if (!isShared) return await openStored(this.options, section)
    return openSection(await openFile(this.options, fileName(section.file)), head, section)
  }

  async verify(section: StoredSection, pace: Pace): Promise<void> {
    const reader = await openStored(this.options, section)
    try {
      await reader.verify(pace)
    } finally {
      await reader.close()
    }
  }

  async receive(
    { uuid, id, totalBytes }: { uuid: string; id: string; totalBytes: number },
  ): Promise<Part> {
    for (const other of await this.parts(uuid)) {
      if (other !== id) await this.fileSystem.remove(this.path(partName(uuid, other)))
    }
    const { fileSystem, directory } = this.options
    let number: number | null = null
    const keep = async (path: string, head: FileHead): Promise<number> => {
      if (number === null) {
        const next = this.nextNumber()
        await fileSystem.rename(path, this.path(fileName(next)))
        number = next
      }
      await fileSystem.syncDirectory(directory)
      this.note(number, head)
      return number
    }
    return openPart({ fileSystem, directory, uuid, id, totalBytes, keep })
  }

  async parts(uuid: string): Promise<readonly string[]> {
    const names = await this.fileSystem.list(this.directory)
    return names.map(partOf).filter((part) => part?.uuid === uuid).map((part) => part!.id)
  }

  async spacesOfParts(): Promise<ReadonlySet<string>> {
    const names = await this.fileSystem.list(this.directory)
    return new Set(names.flatMap((name) => partOf(name)?.uuid ?? []))
  }

  async removeParts(uuid: string): Promise<void> {
    const ids = await this.parts(uuid)
    if (ids.length === 0) return
    for (const id of ids) await this.fileSystem.remove(this.path(partName(uuid, id)))
    await this.fileSystem.syncDirectory(this.directory)
  }

  async remove(file: number): Promise<void> {
    await this.removeFile(file)
    await this.fileSystem.syncDirectory(this.directory)
  }

  async keepOnly(files: ReadonlySet<number>): Promise<void> {
    const others = [...this.found.keys()].filter((number) => !files.has(number))
    if (others.length === 0) return
    for (const number of others) await this.removeFile(number)
    await this.fileSystem.syncDirectory(this.directory)
  }

  /** False: nothing came, and there is no file. */
  private async writeFile(
    number: number,
    sources: Iterable<SectionSource> | AsyncIterable<SectionSource>,
    pace: Pace,
  ): Promise<boolean> {
    const temporary = this.path(String(number).padStart(10, '0') + TEMPORARY)
    const handle = await this.fileSystem.open(temporary, 'create')
    try {
      const isEmpty = !await this.writeTo(handle, number, sources, pace)
      await handle.close()
      if (isEmpty) {
        await this.fileSystem.remove(temporary)
        return false
      }
    } catch (error) {
      await handle.close().catch(() => undefined)
      await this.fileSystem.remove(temporary).catch(() => undefined)
      throw error
    }
    await this.enter(temporary, number)
    return true
  }

  private async writeTo(
    handle: FileHandle,
    number: number,
    sources: Iterable<SectionSource> | AsyncIterable<SectionSource>,
    pace: Pace,
  ): Promise<boolean> {
    const { random, disk, nowMs } = this.options
    const writer = new FileWriter(handle, {
      recordsVersion: RECORDS_VERSION,
      id: random.uuid(),
      disk,
      number,
      firstBlock: 0,
      firstSection: 0,
      writtenAtMs: Math.max(0, Math.floor(nowMs())),
    })
    await writer.begin()
    for await (const source of sources) await writer.section(source, pace)
    if (writer.places.length === 0) return false
    await writer.finish()
    return true
  }

  /** Gives a file its name; durable then. Otherwise it is removed, or left without being named. */
  private async enter(temporary: string, number: number): Promise<void> {
    const { fileSystem, directory } = this.options
    const path = this.path(fileName(number))
    let isNamed = false
    try {
      await fileSystem.rename(temporary, path)
      isNamed = true
      await fileSystem.syncDirectory(directory)
    } catch (error) {
      await fileSystem.remove(isNamed ? path : temporary).catch(() => undefined)
      throw error
    }
  }

  private async readBack(number: number, pace: Pace): Promise<readonly StoredSection[]> {
    const name = fileName(number)
    const handle = await openFile(this.options, name)
    try {
      const head = await readFileHead(handle, name)
      const sections = sectionsOf(head, number)
      for (const section of sections) {
        const reader = await readSection(handle, head, section)
        await reader.readBack(pace)
      }
      this.note(number, head)
      return sections
    } finally {
      await handle.close()
    }
  }

  private note(number: number, head: FileHead): void {
    this.found.set(number, found(head, number))
  }

  private async removeFile(number: number): Promise<void> {
    await removeFile(this.fileSystem, this.path(fileName(number)))
    this.found.delete(number)
  }

  private nextNumber(): number {
    this.last += 1
    return this.last
  }

  private get fileSystem(): FileSystem {
    return this.options.fileSystem
  }

  private path(name: string): string {
    return join(this.options.directory, name)
  }
}
