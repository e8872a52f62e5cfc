import type { LogEntry } from '../../machines/log/entries.js'

/** Heap of a value within metadata: 5,000 empty objects, of 5 KB, take 330 KB. */
const valueHeapBytes = 64
const numberBytes = 8

/**
 * Heap of decoded operations, besides what depends on their number and their encoded bytes: short
 * values take many times their encoded size.
 */
export function decodedHeapBytes(operations: readonly LogEntry['operation'][]): number {
  let bytes = 0
  for (const operation of operations) {
    if (operation.type !== 'StoreNode') continue
    const { embedding, metadata } = operation.node
    if (embedding !== undefined) bytes += numberBytes * embedding.length
    if (metadata !== undefined) bytes += valueHeapBytes * valuesIn(metadata)
  }
  return bytes
}

/** Values in a value of bounded depth. */
function valuesIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  let values = 1
  if (Array.isArray(value)) { for (const item of value) values += valuesIn(item) }
  else for (const key in value) values += valuesIn((value as Record<string, unknown>)[key])
  return values
}
