/**
 * The committed graphs of a node in one LMDB environment.
 *
 * **Never synced while open.** LMDB's own sync competes with the journal's fdatasync on the same
 * disk: a transaction of 500 random nodes dirties 500 pages of 4 KiB, and syncing each took 20 µs
 * per entry against 9 µs without (14 against 9 of CPU). The journal is what promises durability:
 * entries come here once they are durable there, and the store is fed again from its applied
 * position. A crash of the process leaves the page cache whole, and LMDB's copy-on-write pages with
 * it: the store is then at some earlier transaction, never ahead, never half-way. After a crash of
 * the machine the file may hold anything, which LMDB would not notice; marker.ts does: the store is
 * discarded and starts at (0, 0), to be fed from the journal or by a snapshot.
 *
 * A disk that fails when the kernel writes the pages back is noticed by a sync now and then
 * (writeback.ts): the file is damaged then, and rebuilt.
 *
 * lmdb's `overlappingSync` was the other choice: it survives a power cut at its last flush, but
 * flushes after every transaction.
 */
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import type { DamageMark, RememberedRecord, SpaceState, SpaceStore, Stage,
  Store } from '../../actors/ports/store.js'
import type { Logger } from '../../actors/ports/system.js'
import { compacted, type CompactionOptions, removeCopy } from './compaction.js'
import { findGarbage, Garbage } from './garbage.js'
import { GraphFile, StoreDamagedError } from './graphFile.js'
import { KeyReading } from './keyReading.js'
import { bootId, type Marker, placeOf, readMarker, STORE_VERSION, syncPath, writeMarker,
  writeMarkerSync } from './marker.js'
import { Room } from './diskRoom.js'
import { headerOf } from './header.js'
import { markFile, openGraph } from './opening.js'
import { pageUse } from './pages.js'
import { Remembered } from './remembered.js'
import { numberOf, registryKey, registryOf } from './registry.js'
import { LmdbSpace } from './spaceStore.js'
import { LmdbStage } from './stage.js'
import { writeRecords } from './storeWrite.js'
import { Writeback } from './writeback.js'

export class StoreVersionError extends Error {
  readonly code = 'STORE_VERSION'
  readonly retryable = false
  constructor(directory: string, version: number) {
    super(`${directory} has store format ${version}; this program reads up to ${STORE_VERSION}`)
    this.name = 'StoreVersionError'
  }
}

/** A store that reports what was done with its file. */
export interface OpenedStore extends Store {
  /** Why the graphs were discarded at this opening (they start at (0, 0)), or null. */
  readonly discarded: string | null
  /** Resolves when what replaced states and loads that were given up have left is removed. */
  garbageRemoved(): Promise<void>
}

export interface StoreOptions {
  /** Called when the file turns out to be broken: its contents do not count, and it is rebuilt. */
  readonly onDamage?: (reason: string) => void
  readonly logger?: Logger
  readonly compaction?: CompactionOptions
}

/**
 * Opens or creates the store in `directory`. One process at a time: the owner of the data
 * directory. An untrusted file is discarded, and rebuilt from the journal. Rejects with
 * StoreVersionError, and with errors of the file system.
 */
export async function openStore(
  directory: string,
  { onDamage = () => undefined, logger, compaction }: StoreOptions = {},
): Promise<OpenedStore> {
  await mkdir(directory, { recursive: true })
  const marker = await readMarker(directory)
  if (marker !== undefined && marker.version > STORE_VERSION) {
    throw new StoreVersionError(directory, marker.version)
  }
  const boot = await bootId()
  const damaged = (reason: string): void => {
    const mark: Marker = { version: STORE_VERSION, boot, clean: false, file: null, damage: reason }
    writeMarkerSync(directory, mark)
    onDamage(reason)
  }
  const wasCutOff = await removeCopy(directory, compaction?.files)
  const opened = await openGraph(directory, marker, boot)
  const room = Room.of(directory)
  const marked = await markFile(directory, room, opened.records, boot)
  const records = await compacted({
    ...compaction,
    wasCutOff,
    directory,
    records: opened.records,
    marker: marked,
    logger,
    damaged: (reason, cause) => {
      damaged(reason)
      return new StoreDamagedError(reason, cause)
    },
  })
  const remembered = await Remembered.open(directory, room)
  const { writeback, stop } = await watchWriteback(join(directory, 'graph', 'data.mdb'), damaged)
  const graph = new GraphFile(records, damaged, () => writeback.wrote())
  const numbers = registryOf(graph)
  return new LmdbStore({
    numbers,
    garbage: await findGarbage(graph, new Set(numbers.values())),
    directory,
    room,
    boot,
    nonce: marked.file?.nonce ?? '',
    discarded: opened.discarded,
    records,
    graph,
    remembers: remembered,
    stopWriteback: stop,
  })
}

const writebackTickMs = 60_000

/** Uses a descriptor of its own, which gets errors since its opening. */
async function watchWriteback(
  path: string,
  onFailed: (reason: string) => void,
): Promise<{ writeback: Writeback; stop: () => Promise<void> }> {
  const file = await open(path, 'r')
  const writeback = new Writeback({
    sync: () => file.datasync(),
    nowMs: () => performance.now(),
    onFailed,
  })
  let ticking: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    ticking = writeback.tick()
  }, writebackTickMs)
  timer.unref()
  const stop = async (): Promise<void> => {
    clearInterval(timer)
    await ticking
    await file.close()
  }
  return { writeback, stop }
}

interface StoreParts {
  readonly directory: string
  readonly room: Room
  readonly boot: string | null
  readonly nonce: string
  readonly discarded: string | null
  readonly records: RootDatabase<Buffer, Buffer>
  readonly graph: GraphFile
  readonly remembers: Remembered
  /** Of the spaces that the registry names, by uuid. */
  readonly numbers: Map<string, number>
  /** Numbers that have records, and are not registered. */
  readonly garbage: readonly number[]
  readonly stopWriteback: () => Promise<void>
}

class LmdbStore implements OpenedStore {
  private readonly spaces = new Map<string, LmdbSpace>()
  private readonly stages = new Map<string, LmdbStage>()
  private readonly numbers: Map<string, number>
  private readonly garbage: Garbage
  private readonly keyReading = new KeyReading()
  /** No number is used twice in one life, nor one that has records. */
  private lastNumber = 0
  private closed: Promise<void> | undefined

  readonly discarded: string | null

  constructor(private readonly parts: StoreParts) {
    this.discarded = parts.discarded
    this.numbers = parts.numbers
    for (const number of [...parts.numbers.values(), ...parts.garbage]) {
      this.lastNumber = Math.max(this.lastNumber, number)
    }
    this.garbage = new Garbage(parts.graph, parts.room)
    for (const number of parts.garbage) this.garbage.add(number)
  }

  space(uuid: string): SpaceStore {
    return this.spaceOf(uuid)
  }

  private spaceOf(uuid: string): LmdbSpace {
    let space = this.spaces.get(uuid)
    if (space === undefined) {
      const known = this.numbers.get(uuid)
      const number = known ?? this.newNumber()
      this.numbers.set(uuid, number)
      const { graph: records, room } = this.parts
      const { keyReading: reading } = this
      space = new LmdbSpace({
        records,
        uuid,
        number,
        registered: known !== undefined,
        room,
        reading,
      })
      this.spaces.set(uuid, space)
    }
    return space
  }

  stage(uuid: string, state: SpaceState): Stage {
    this.stages.get(uuid)?.discard()
    const { graph: records, room } = this.parts
    const number = this.newNumber()
    const ended = (): void => {
      if (this.stages.get(uuid) === stage) this.stages.delete(uuid)
    }
    const stage = new LmdbStage({
      records,
      room,
      uuid,
      number,
      state,
      adopt: async (installs, sums) => {
        const former = await this.spaceOf(uuid).switchTo(number, headerOf(state, installs), sums)
        this.numbers.set(uuid, number)
        if (former !== null) this.garbage.add(former)
        ended()
      },
      onDiscarded: () => {
        this.garbage.add(number)
        ended()
      },
    })
    this.stages.set(uuid, stage)
    return stage
  }

  has(uuid: string): boolean {
    return numberOf(this.parts.graph, uuid) !== null || this.markedDamaged(uuid) !== null
  }

  async drop(uuid: string): Promise<void> {
    const { graph: records, room, remembers } = this.parts
    await this.stages.get(uuid)?.end()
    this.stages.get(uuid)?.discard()
    await this.spaces.get(uuid)?.idle()
    const number = numberOf(records, uuid)
    if (number !== null) {
      await writeRecords({ records, room }, [], [registryKey(uuid)], `that ${uuid} is dropped`)
      this.garbage.add(number)
    }
    for (const known of [this.spaces, this.numbers]) known.delete(uuid)
    await remembers.unmark(uuid)
  }

  garbageRemoved(): Promise<void> {
    return this.garbage.removed()
  }

  private newNumber(): number {
    this.lastNumber += 1
    return this.lastNumber
  }

  get keyBytes(): number {
    let bytes = 0
    for (const space of this.spaces.values()) bytes += space.keyBytes
    return bytes
  }

  get freeBytes(): number {
    return this.closed === undefined ? pageUse(this.parts.records).freeBytes : 0
  }

  remember(space: string, seen: RememberedRecord): Promise<void> {
    return this.parts.remembers.remember(space, seen)
  }

  remembered(): Map<string, RememberedRecord> {
    return this.parts.remembers.all()
  }

  async markDamaged(uuid: string, mark: DamageMark): Promise<void> {
    await this.parts.remembers.markDamaged(uuid, mark)
  }

  readonly markedDamaged = (uuid: string) => this.parts.remembers.markedDamaged(uuid)
  readonly unmarkDamaged = (uuid: string) => this.parts.remembers.unmarkDamaged(uuid)

  /** Waits for work under way, syncs, and marks the store as clean. */
  close(): Promise<void> {
    this.closed ??= this.closeNow()
    return this.closed
  }

  private async closeNow(): Promise<void> {
    const { directory, boot, nonce, records, remembers } = this.parts
    await Promise.all([...this.stages.values()].map((stage) => stage.end()))
    await this.garbage.close()
    await Promise.all([...this.spaces.values()].map((space) => space.idle()))
    await this.parts.stopWriteback()
    const marker = await readMarker(directory)
    await records.close()
    await remembers.close()
    // Known damage stays marked.
    if (marker?.damage !== undefined) return
    const file = join(directory, 'graph', 'data.mdb')
    await syncPath(file)
    await syncPath(join(directory, 'graph'))
    const place = await placeOf(file)
    await writeMarker(directory, {
      version: STORE_VERSION,
      boot,
      clean: true,
      file: place && { ...place, nonce },
    })
  }
}
