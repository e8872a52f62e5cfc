/**
 * What a node remembers beside the graphs: the last record that it saw of each space, and logs that
 * can never be trusted again. Small and rarely written, so synced; not discarded with the graphs,
 * unless broken.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import type { DamageMark, RememberedRecord } from '../../actors/ports/store.js'
import type { Room } from './diskRoom.js'
import { fileFault } from './graphFile.js'

const MAP_BYTES = 2 ** 30

/** Keys among those of the records; no space can be named so. */
const condemnedPrefix = 'condemned/'

export class Remembered {
  private constructor(
    private readonly seen: RootDatabase<Buffer, string>,
    private readonly room: Room,
  ) {}

  static async open(directory: string, room: Room): Promise<Remembered> {
    const path = join(directory, 'remembered')
    const fault = await fileFault(join(path, 'data.mdb'))
    if (fault !== null) await rm(path, { recursive: true, force: true })
    const seen = open<Buffer, string>({
      path,
      encoding: 'binary',
      mapSize: MAP_BYTES,
      noSync: false,
      overlappingSync: false,
      cache: false,
      eventTurnBatching: false,
      maxDbs: 1,
    })
    return new Remembered(seen, room)
  }

  /** Durable when it resolves. Rejects with NoRoomError. */
  async remember(space: string, seen: RememberedRecord): Promise<void> {
    await this.room.assert(1)
    await this.seen.put(space, Buffer.from(JSON.stringify(seen)))
  }

  all(): Map<string, RememberedRecord> {
    const all = new Map<string, RememberedRecord>()
    for (const { key, value } of this.seen.getRange()) {
      if (key.startsWith(condemnedPrefix)) continue
      all.set(key, JSON.parse(value.toString('utf8')) as RememberedRecord)
    }
    return all
  }

  /** Durable when it resolves. Rejects with NoRoomError. */
  async markDamaged(uuid: string, mark: DamageMark): Promise<void> {
    const before = this.markedDamaged(uuid)
    if (before !== null && before.installs >= mark.installs) return
    await this.room.assert(1)
    await this.seen.put(condemnedPrefix + uuid, Buffer.from(JSON.stringify(mark)))
  }

  /** Durable when it resolves. */
  async unmarkDamaged(uuid: string): Promise<void> {
    await this.seen.remove(condemnedPrefix + uuid)
  }

  markedDamaged(uuid: string): DamageMark | null {
    const text = this.seen.get(condemnedPrefix + uuid)?.toString('utf8')
    return text === undefined ? null : markOf(text)
  }

  /** Durable when it resolves. */
  async unmark(uuid: string): Promise<void> {
    await this.seen.remove(condemnedPrefix + uuid)
  }

  async close(): Promise<void> {
    await this.seen.close()
  }
}

/** Earlier releases wrote the reason alone. */
function markOf(text: string): DamageMark {
  try {
    const { reason, installs } = JSON.parse(text) as Partial<DamageMark>
    if (typeof reason === 'string' && typeof installs === 'number') return { reason, installs }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  return { reason: text, installs: 0 }
}
