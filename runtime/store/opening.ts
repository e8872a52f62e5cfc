/** Opens the LMDB file of the graphs: trusted as it is, or anew. */
import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { open as openLmdb, type RootDatabase } from 'lmdb'
import { NoRoomError, type Room } from './diskRoom.js'
import { damageIn, fileFault, StoreDamagedError } from './graphFile.js'
import { Table, tableKey } from './keys.js'
import { distrust, type Marker, placeOf, STORE_VERSION, syncPath, writeMarker } from './marker.js'

/** Address space reserved for the file, not memory: the file grows as it is written. */
const MAP_BYTES = 2 ** 38

export interface OpenedGraph {
  readonly records: RootDatabase<Buffer, Buffer>
  readonly discarded: string | null
}

/** The file of the graphs; a new one if the old cannot be trusted. */
export async function openGraph(
  directory: string,
  marker: Marker | undefined,
  boot: string | null,
): Promise<OpenedGraph> {
  const path = join(directory, 'graph')
  const file = join(path, 'data.mdb')
  // A file without a marker is not trusted either: it was never written through here.
  let discarded = marker === undefined
    ? null
    : distrust(marker, boot, await placeOf(file)) ?? await fileFault(file)
  if (marker === undefined || discarded !== null) await discard(directory)
  await writeMarker(directory, {
    version: STORE_VERSION,
    boot,
    clean: false,
    file: null,
    opening: true,
  })
  const tryOpen = async (): Promise<OpenedGraph | string> => {
    try {
      const records = openRecords(path)
      const nonce = records.getBinary(nonceKey)?.toString() ?? null
      const wanted = discarded === null ? marker?.file?.nonce ?? nonce : nonce
      if (nonce === wanted) return { records, discarded }
      await records.close()
      return 'its file is an older state of it'
    } catch (error) {
      const reason = damageIn(error)
      if (reason === null || discarded !== null) throw error
      return reason
    }
  }
  let opened = await tryOpen()
  if (typeof opened === 'string') {
    discarded = opened
    await discard(directory)
    opened = await tryOpen()
    if (typeof opened === 'string') throw new StoreDamagedError(opened)
  }
  return opened
}

export function openRecords(path: string): RootDatabase<Buffer, Buffer> {
  // Without eventTurnBatching: it makes a promise for each turn that nobody handles, and a full
  // disk would end the process. A transaction consists of what one `batch` call puts.
  return openLmdb<Buffer, Buffer>({
    path,
    encoding: 'binary',
    keyEncoding: 'binary',
    mapSize: MAP_BYTES,
    maxDbs: 1,
    noSync: true,
    overlappingSync: false,
    noMemInit: true,
    cache: false,
    eventTurnBatching: false,
  })
}

async function discard(directory: string): Promise<void> {
  await rm(join(directory, 'graph'), { recursive: true, force: true })
  await syncPath(directory)
}

export const nonceKey = tableKey(0, Table.nonce)

/** A new nonce, in the file and in the marker, which is returned. */
export async function markFile(
  directory: string,
  room: Room,
  records: RootDatabase<Buffer, Buffer>,
  boot: string | null,
): Promise<Marker> {
  let nonce: string = randomUUID()
  try {
    await room.assert(1)
    await records.put(nonceKey, Buffer.from(nonce))
  } catch (error) {
    // On a full disk nothing is written, and the former nonce stays; a new file has none.
    if (!(error instanceof NoRoomError)) throw error
    nonce = records.getBinary(nonceKey)?.toString() ?? ''
  }
  const place = await placeOf(join(directory, 'graph', 'data.mdb'))
  const marker: Marker = {
    version: STORE_VERSION,
    boot,
    clean: false,
    file: place && { ...place, nonce },
  }
  await writeMarker(directory, marker)
  return marker
}
