/** A node's data directory: its owner, its identity, journal, store and salvages. */
import { join } from 'node:path'
import type { Checkpoints } from '../../actors/ports/checkpoints.js'
import { isNoSpace, type FileSystem, FileSystemError } from '../../actors/ports/fileSystem.js'
import { type Journal, namedFiles } from '../../actors/ports/journal.js'
import type { NodeDirectory, DirectoryNumbers,
  Recovered } from '../../actors/ports/nodeDirectory.js'
import type { Store } from '../../actors/ports/store.js'
import type { Logger, Random } from '../../actors/ports/system.js'
import type { DirectoryIdentity } from '../../machines/protocol/dataDirectoryVerdict.js'
import { readIdentity, writeIdentity, type StoredIdentity } from './identityFile.js'
import { openJournal } from './journal.js'
import { unusable, type DirectoryOwner } from './directoryOwner.js'
import { keepReserve, releaseReserve, RESERVE_BYTES } from './reserve.js'
import { createSalvageFiles } from './salvage.js'
import { listSegments } from './segment.js'

export interface DataDirectoryOptions {
  readonly directory: string
  readonly node: string
  readonly fileSystem: FileSystem
  readonly random: Random
  readonly logger: Logger
  readonly segmentBytes?: number
  /** Disk space reserved for a start on a full disk. Default 8 MiB. */
  readonly reserveBytes?: number
  /** Monotonic clock, to measure recovery. Default: that of the process. */
  readonly nowMs?: () => number
  /** Lets the event loop have its turn, in long work. Default: setImmediate. */
  readonly pause?: () => Promise<void>
  /** See ownDirectory. */
  readonly own: () => Promise<DirectoryOwner>
  readonly openStore: (directory: string) => Promise<Store>
  /** `numberAbove`: new files get higher numbers. */
  readonly openCheckpoints: (
    of: { directory: string; disk: string; numberAbove: number },
  ) => Promise<Checkpoints>
  /** Called when the directory is this node's: other files in it may be opened. */
  readonly beforeRecovery?: () => Promise<void>
  /** Called before the directory is given up. */
  readonly beforeClose?: () => Promise<void>
}

/** The directory has lost its journal, and with it the writes that it acknowledged. */
export class JournalMissingError extends Error {
  readonly code = 'JOURNAL_MISSING'
  constructor(directory: string) {
    super(
      `the journal of ${directory} is gone, or another one's: restore ${
        join(directory, 'journal')
      }, or move the whole data directory away to join with an empty one`,
    )
    this.name = 'JournalMissingError'
  }
}

export class DataDirectory implements NodeDirectory {
  private owner: DirectoryOwner | null = null
  private stored: StoredIdentity | null = null
  private recovered: Recovered | null = null

  constructor(private readonly options: DataDirectoryOptions) {}

  async identity(): Promise<DirectoryIdentity | null> {
    const { directory, fileSystem } = this.options
    try {
      this.stored = await readIdentity(directory, fileSystem)
    } catch (error) {
      const { code } = error as { code?: string }
      throw code === 'ENOTDIR' || code === 'EACCES' ? unusable(directory, error) : error
    }
    return this.stored
  }

  async own(): Promise<void> {
    this.owner = await this.options.own()
  }

  async confirmOwner(): Promise<void> {
    await this.owner?.confirm()
  }

  async saveIdentity({ disk, incarnation, spoken }: DirectoryNumbers): Promise<void> {
    const { node } = this.options
    const journal = this.stored?.journal ?? null
    await this.write({ node, disk, incarnation, spoken, journal })
  }

  private async write(identity: StoredIdentity): Promise<void> {
    const { directory, fileSystem } = this.options
    await this.withReserve(() => writeIdentity(directory, identity, fileSystem))
    this.stored = identity
  }

  /** Checked before a new journal is made, with which a restored one would be mixed up. */
  private async expectJournal(): Promise<void> {
    const { directory, fileSystem } = this.options
    if (this.stored === null || this.stored.journal === null) return
    const segments = await listSegments(fileSystem, join(directory, 'journal'))
    if (segments.length === 0) throw new JournalMissingError(directory)
  }

  /** A directory whose journal was removed must not pass for one that never had any. */
  private async adopt(journal: Journal): Promise<void> {
    const { stored } = this
    if (stored === null || stored.journal === journal.id) return
    if (stored.journal === null) return await this.write({ ...stored, journal: journal.id })
    await journal.close()
    throw new JournalMissingError(this.options.directory)
  }

  async recover(): Promise<Recovered> {
    const { directory, fileSystem, random, logger, segmentBytes, nowMs, pause } = this.options
    await this.options.beforeRecovery?.()
    await this.expectJournal()
    const journal = await this.withReserve(() =>
      openJournal({
        directory: join(directory, 'journal'),
        fileSystem,
        random,
        logger,
        ...(segmentBytes !== undefined && { segmentBytes }),
        ...(nowMs && { nowMs }),
        ...(pause && { pause }),
      })
    )
    await this.adopt(journal)
    const store = await this.openStore(journal)
    await this.removeUnfinished()
    const salvages = createSalvageFiles({ directory: this.salvages, fileSystem, logger })
    const checkpoints = await this.openCheckpoints(journal)
    this.recovered = { journal, store, salvages, checkpoints }
    return this.recovered
  }

  /** The journal names the files that count: others are removed. */
  private async openCheckpoints(journal: Journal): Promise<Checkpoints> {
    const { directory } = this.options
    const named = namedFiles(journal)
    const checkpoints = await this.options.openCheckpoints({
      directory: join(directory, 'checkpoints'),
      disk: this.stored?.disk ?? '',
      numberAbove: Math.max(0, ...named),
    })
    // A journal that lost records may have lost the name of a file that counts.
    if (journal.recovery.damaged.length === 0) await checkpoints.keepOnly(named)
    return checkpoints
  }

  async freeBytes(): Promise<number> {
    const { directory, fileSystem } = this.options
    return await fileSystem.freeBytes(directory)
  }

  async salvageFiles(): Promise<readonly { name: string; bytes: number }[]> {
    const { fileSystem } = this.options
    const found = []
    for (const name of await fileSystem.list(this.salvages)) {
      try {
        const handle = await fileSystem.open(join(this.salvages, name), 'read')
        found.push({ name, bytes: await handle.size().finally(() => handle.close()) })
      } catch (error) {
        // It was removed meanwhile.
        if (!(error instanceof FileSystemError) || error.code !== 'ENOENT') throw error
      }
    }
    return found
  }

  private get salvages(): string {
    return join(this.options.directory, 'salvage')
  }

  /** A crash while a salvage is written leaves a file that nobody asks for again. */
  private async removeUnfinished(): Promise<void> {
    const { fileSystem } = this.options
    for (const name of await fileSystem.list(this.salvages)) {
      if (name.endsWith('.salvage.tmp')) await fileSystem.remove(join(this.salvages, name))
    }
  }

  get reserveBytes(): number {
    return this.options.reserveBytes ?? RESERVE_BYTES
  }

  async keepReserve(): Promise<boolean> {
    const { directory, fileSystem } = this.options
    return await keepReserve(directory, fileSystem, this.reserveBytes)
  }

  async releaseReserve(): Promise<boolean> {
    const { directory, fileSystem } = this.options
    return await releaseReserve(directory, fileSystem).catch(() => false)
  }

  async close(): Promise<void> {
    await this.options.beforeClose?.()
    await this.recovered?.journal.close()
    await this.recovered?.store.close()
    await this.owner?.release()
  }

  private async openStore(journal: Journal): Promise<Store> {
    const { directory, openStore } = this.options
    try {
      return await this.withReserve(() => openStore(join(directory, 'store')))
    } catch (error) {
      await journal.close()
      throw error
    }
  }

  /** On a full disk, tries again with the reserved space; only during a start. */
  private async withReserve<T>(write: () => Promise<T>): Promise<T> {
    const { directory, fileSystem, logger } = this.options
    try {
      return await write()
    } catch (error) {
      if (this.recovered !== null || !isNoSpace(error)) throw error
      if (!await releaseReserve(directory, fileSystem)) throw error
      logger.error({ error: (error as Error).message },
        'the disk is full: this start uses the reserved space')
      return await write()
    }
  }
}
