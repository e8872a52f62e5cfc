/** A data directory as a node writes it: a journal of two spaces, and their checkpoints. */
import { join } from 'node:path'
import type { Checkpoints, SectionSource, StoredSection } from '../../actors/ports/checkpoints.js'
import type { Coverage, JournalRecord } from '../../actors/ports/journal.js'
import { openCheckpoints } from '../../runtime/checkpoint/checkpoints.js'
import type { FileJournal } from '../../runtime/journal/fileJournal.js'
import { openJournal } from '../../runtime/journal/journal.js'
import { NodeFileSystem } from '../../runtime/system/fileSystem.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { atOnce, disk } from './checkpoints.js'
import { A, B, codec, quiet, rec } from './journalKit.js'

export const writtenAtMs = Date.UTC(2026, 0, 2, 3, 4, 5)

/** Its spaces are A and B of the journal kit; each frame has one entry. */
export class DataFiles {
  private readonly stores = new Map([A, B].map((uuid) => [uuid, new MemoryStore().space(uuid)]))

  private constructor(readonly journal: FileJournal, readonly checkpoints: Checkpoints) {}

  static async open(data: string, fileSystem = new NodeFileSystem()): Promise<DataFiles> {
    const random = new SeededRandom(7)
    const journal = await openJournal({
      directory: join(data, 'journal'),
      fileSystem,
      random,
      logger: quiet,
      segmentBytes: 1200,
    })
    const checkpoints = await openCheckpoints({
      directory: join(data, 'checkpoints'),
      fileSystem,
      random,
      nowMs: () => writtenAtMs,
      disk,
      numberAbove: 0,
    })
    return new DataFiles(journal, checkpoints)
  }

  /** Writes and applies this many entries more. */
  async write(uuid: string, count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      const record = rec(uuid, (this.journal.log(uuid)?.end.sequence ?? 0) + 1)
      await this.journal.write([record])
      await this.journal.sync()
      if (record.type === 'frame') await this.stores.get(uuid)!.apply(codec.entries(record.frame))
    }
    await this.journal.indexed()
  }

  /** One file with the present state of these spaces; nothing names it yet. */
  checkpoint(...uuids: string[]): Promise<readonly StoredSection[]> {
    return this.checkpoints.write(uuids.map((uuid) => this.source(uuid)), atOnce)
  }

  /** From now on these count, the older one first. */
  name(...kept: StoredSection[]): Promise<void> {
    return this.nameAll([kept])
  }

  /** The same of several spaces, in one flush. */
  async nameAll(all: readonly (readonly StoredSection[])[]): Promise<void> {
    await this.journal.write(all.map((kept) => this.record(kept)))
    await this.journal.sync()
  }

  private record(kept: readonly StoredSection[]): JournalRecord {
    const [older] = kept
    const { uuid, position } = older!
    const { covers: before, root } = this.journal.log(uuid)!
    // One alone covers no more than before.
    const covers: Coverage = {
      ...before,
      kept: kept.map((one) => ({ file: one.file, id: one.id, position: one.position })),
      ...(kept.length > 1 && {
        covered: position,
        history: { root, history: [{ epoch: position.epoch, last: position.sequence }] },
        clock: { n1: position.sequence },
        timestamp: 1000,
      }),
    }
    return { type: 'checkpoint', uuid, covers }
  }

  private source(uuid: string): SectionSource {
    const store = this.stores.get(uuid)!
    const { epoch, sequence: last } = store.applied
    return {
      notes: {
        space: uuid === A ? 'alpha' : 'beta',
        uuid,
        history: { root: { epoch: 0, sequence: 0 }, history: [{ epoch, last }] },
        clock: { n1: last },
        timestamp: 1000 + last,
        settings: null,
      },
      image: store.image(store.applied)!,
    }
  }
}
