/**
 * The committed graphs of a node in one LMDB environment.
 *
 * **Never synced while open.** LMDB's own sync competes with the journal's fdatasync on the same
 * disk: a transaction of 500 random nodes dirties 500 pages of 4 KiB, and syncing each took 20 µs
 * per entry against 9 µs without (14 against 9 of CPU). The journal is what promises durability:
 * entries come here once they are durable there, and the store is re-fed from its applied position.
 * A crash of the process leaves the page cache whole, and LMDB's copy-on-write pages with it: the
 * store is then at some earlier transaction, never ahead, never half-way. After a crash of
 * the machine the file may hold anything, which LMDB would not notice; marker.ts does: the store
 * is thrown away and starts at (0, 0), to be re-fed from the journal or by a snapshot.
 *
 * lmdb's `overlappingSync` was the other choice: it survives a power cut at its last flush, but
 * flushes after every transaction.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import type { RememberedRecord, SpaceStore, Store } from '../../actors/ports.js'
import { Table, tableEnd, tableKey } from './keys.js'
import { bootId, distrust, readMarker, STORE_VERSION, syncPath, writeMarker } from './marker.js'
import { assertRoom } from './room.js'
import { LmdbSpace } from './spaceStore.js'

/** Address space reserved for the file, not memory: the file grows as it is written. */
const MAP_BYTES = 2 ** 38
const REMEMBERED_MAP_BYTES = 2 ** 30

export class StoreVersionError extends Error {
  readonly code = 'STORE_VERSION'
  readonly retryable = false
  constructor(directory: string, version: number) {
    super(`${directory} has store format ${version}; this program reads up to ${STORE_VERSION}`)
    this.name = 'StoreVersionError'
  }
}


/** A Store that says what became of its file. */
export interface OpenedStore extends Store {
  /** Why the graphs were thrown away at this opening (they start at (0, 0)), or null. */
  readonly discarded: string | null
}

/**
 * Opens, or makes, the store in `directory`. One process at a time: the data directory's lock
 * sees to it. Rejects with StoreVersionError, and with what the file system says.
 */
export async function openStore(directory: string): Promise<OpenedStore> {
  await mkdir(directory, { recursive: true })
  const graphPath = join(directory, 'graph')
  const marker = await readMarker(directory)
  if (marker !== undefined && marker.version > STORE_VERSION) {
    throw new StoreVersionError(directory, marker.version)
  }
  const boot = await bootId()
  const discarded = marker === undefined ? null : distrust(marker, boot)
  if (marker === undefined || discarded !== null) {
    // Without a marker nothing vouches for a file either: it was never written through here.
    await rm(graphPath, { recursive: true, force: true })
    await syncPath(directory)
  }
  await writeMarker(directory, { version: STORE_VERSION, boot, clean: false })
  // Without eventTurnBatching: it makes a promise of its own for each turn that nobody handles,
  // and a full disk would end the process. A transaction is what one `batch` call puts.
  const records = open<Buffer, Buffer>({
    path: graphPath, encoding: 'binary', keyEncoding: 'binary', mapSize: MAP_BYTES, maxDbs: 1,
    noSync: true, overlappingSync: false, noMemInit: true, cache: false, eventTurnBatching: false,
  })
  // Small and rarely written, so synced; and not thrown away with the graphs.
  const remembered = open<Buffer, string>({
    path: join(directory, 'remembered'), encoding: 'binary', mapSize: REMEMBERED_MAP_BYTES,
    noSync: false, overlappingSync: false, cache: false, eventTurnBatching: false, maxDbs: 1,
  })
  return new LmdbStore(directory, boot, discarded, records, remembered)
}

/** Keys among those of the remembered records; no space can be named so. */
const condemnedPrefix = 'condemned/'

class LmdbStore implements OpenedStore {
  private readonly spaces = new Map<string, LmdbSpace>()
  private readonly numbers = new Map<string, number>()
  private lastNumber = 0
  private closed: Promise<void> | undefined

  constructor(
    private readonly directory: string, private readonly boot: string | null,
    readonly discarded: string | null, private readonly records: RootDatabase<Buffer, Buffer>,
    private readonly seen: RootDatabase<Buffer, string>,
  ) {
    const start = tableKey(0, Table.registry)
    const end = tableEnd(0, Table.registry)
    for (const { key, value } of records.getRange({ start, end })) {
      const number = value.readUInt32BE(0)
      this.numbers.set(key.toString('utf8', start.length), number)
      this.lastNumber = Math.max(this.lastNumber, number)
    }
  }

  space(uuid: string): SpaceStore {
    let space = this.spaces.get(uuid)
    if (space === undefined) {
      const known = this.numbers.get(uuid)
      const number = known ?? (this.lastNumber += 1)
      this.numbers.set(uuid, number)
      space = new LmdbSpace(this.records, uuid, number, known !== undefined, this.directory)
      this.spaces.set(uuid, space)
    }
    return space
  }

  /** Durable when it resolves. Rejects with NoRoomError. */
  async remember(space: string, seen: RememberedRecord): Promise<void> {
    await assertRoom(this.directory, 1)
    await this.seen.put(space, Buffer.from(JSON.stringify(seen)))
  }

  remembered(): Map<string, RememberedRecord> {
    const all = new Map<string, RememberedRecord>()
    for (const { key, value } of this.seen.getRange()) {
      if (key.startsWith(condemnedPrefix)) continue
      all.set(key, JSON.parse(value.toString('utf8')) as RememberedRecord)
    }
    return all
  }

  /** Durable when it resolves. Rejects with NoRoomError. */
  async condemn(uuid: string, reason: string): Promise<void> {
    if (this.condemned(uuid) !== null) return
    await assertRoom(this.directory, 1)
    await this.seen.put(condemnedPrefix + uuid, Buffer.from(reason))
  }

  condemned(uuid: string): string | null {
    return this.seen.get(condemnedPrefix + uuid)?.toString('utf8') ?? null
  }

  /** Waits for what is under way, syncs, and marks the store as clean. */
  close(): Promise<void> {
    this.closed ??= this.closeNow()
    return this.closed
  }

  private async closeNow(): Promise<void> {
    await Promise.all([...this.spaces.values()].map((space) => space.idle()))
    await this.records.close()
    await this.seen.close()
    await syncPath(join(this.directory, 'graph', 'data.mdb'))
    await syncPath(join(this.directory, 'graph'))
    await writeMarker(this.directory, { version: STORE_VERSION, boot: this.boot, clean: true })
  }
}
