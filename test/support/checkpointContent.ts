/** What checkpoints hold, beside what the log says that they have to. */
import type { LogEntry } from '../../machines/log/entries.js'
import type { KeptCheckpoint } from '../../actors/ports/journal.js'
import { Table } from '../../runtime/store/keys.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { recordsOf, slicesOf, type ImageRecord } from './images.js'
import type { SimNode } from './simNode.js'

/** The checkpoints that count on the node, the older one first. */
export function keptBy(node: SimNode, space = 'teams'): readonly KeptCheckpoint[] {
  const { uuid, context } = node.space(space).member
  return context.ports.journal.log(uuid)?.covers.kept ?? []
}

/** Loads the checkpoint into an empty store. */
export async function contentOf(
  node: SimNode,
  kept: KeptCheckpoint,
  space = 'teams',
): Promise<ImageRecord[]> {
  const { uuid, context: { ports: { checkpoints } } } = node.space(space).member
  const section = checkpoints.find(uuid, kept)
  if (!section) throw new Error(`${node.id} has no file ${kept.file}`)
  const reader = await checkpoints.open(section)
  const store = new MemoryStore()
  const stage = store.stage(uuid, reader.manifest.state)
  for await (const records of reader.records()) await stage.put(records)
  await stage.adopt(0)
  await reader.close()
  return withoutKeys(recordsOf(slicesOf(store.space(uuid))))
}

/** The same of a space to which those entries were applied. */
export async function replayed(entries: readonly LogEntry[]): Promise<ImageRecord[]> {
  const space = new MemoryStore().space('replay')
  for (const entry of entries) await space.apply([entry])
  return withoutKeys(recordsOf(slicesOf(space)))
}

/** Groups of keys may differ in their front: keys are forgotten with batches. */
function withoutKeys(records: readonly ImageRecord[]): ImageRecord[] {
  return records.filter(({ table }) => table !== Table.keyGroup)
}
