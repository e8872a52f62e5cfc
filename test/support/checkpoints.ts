/** Checkpoint files in memory, and spaces to write them of. */
import type { Checkpoints, Pace, SectionNotes, SectionReader,
  SectionSource } from '../../actors/ports/checkpoints.js'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { SpaceImage, SpaceStore } from '../../actors/ports/store.js'
import { openCheckpoints } from '../../runtime/checkpoint/checkpoints.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { epochStart, firstEpoch, from, logOf, note, opening, salvage, storeEdge, storeNode,
  update } from './forkEntries.js'

export const directory = '/checkpoints'
export const uuids = [
  '0a000000-0000-4000-8000-000000000001',
  '0b000000-0000-4000-8000-000000000002',
] as const
export const disk = '0d000000-0000-4000-8000-00000000000d'

export const atOnce: Pace = { begin: () => undefined, end: () => undefined,
  rest: async () => undefined }

let seed = 0

/** Each opening draws other ids. */
export function openIn(fileSystem: FileSystem, numberAbove = 0): Promise<Checkpoints> {
  seed += 1
  const random = new SeededRandom(seed)
  return openCheckpoints({ directory, fileSystem, random, nowMs: () => 1234, disk, numberAbove })
}

/** A space with something in every table. */
export async function fullSpace(): Promise<SpaceStore> {
  const space = new MemoryStore().space('u')
  const by = { epoch: firstEpoch, sequence: 1 }
  const entries = logOf([
    { operation: storeNode('a', 'one', 0.5) },
    { operation: storeNode('b\0', 'two') },
    { operation: storeEdge('a', 'b\0', 0.5) },
    epochStart(opening(3)),
    note({ note: 'salvaged', salvage: salvage('s1', 'n1', 3) }),
    from(3, 41, storeNode('a', 'three'), { outcome: 'quarantined', by }),
    from(3, 42, storeNode('c', 'four')),
    from(1, 9, storeNode('d', 'stray')),
    { operation: update('a', 0.25) },
  ]).map((entry) => ({ ...entry, writeId: `k${Math.floor(entry.sequence / 2)}` }))
  await space.apply(entries)
  return space
}

export function notesOf(uuid: string, space: SpaceStore): SectionNotes {
  const { epoch, sequence } = space.applied
  return {
    space: 'demo',
    uuid,
    history: { root: { epoch: 0, sequence: 0 }, history: [{ epoch, last: sequence }] },
    clock: { n1: 7, 'n1@3': 2 ** 41 },
    timestamp: 1009,
    settings: { replicas: 2, ack: 'durable', minInSync: 2 },
  }
}

export function sourceOf(uuid: string, space: SpaceStore): SectionSource {
  return { notes: notesOf(uuid, space), image: space.image(space.applied)! }
}

/** An image of these slices. */
export function imageOf(
  { state }: Pick<SpaceImage, 'state'>,
  slices: readonly Uint8Array[],
): SpaceImage & { readonly isClosed: boolean } {
  const left = [...slices]
  return {
    state,
    grownBytes: 0,
    isClosed: false,
    next: () => left.shift() ?? Buffer.alloc(0),
    close() {
      Object.assign(this, { isClosed: true })
    },
  }
}

export async function readRecords(reader: SectionReader): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of reader.records()) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** The whole file of a section, in chunks. */
export async function fileOf(reader: SectionReader, chunkBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for (let at = 0; at < reader.fileBytes; at += chunkBytes) {
    chunks.push(await reader.read(at, chunkBytes))
  }
  return Buffer.concat(chunks)
}
