/** The numbers of spaces: those that it names have a state, others only garbage. */
import type { GraphFile } from './graphFile.js'
import { Table, tableEnd, tableKey, textKey } from './keys.js'

export function registryKey(uuid: string): Buffer {
  return textKey(0, Table.registry, uuid)
}

export function encodeNumber(number: number): Buffer {
  const record = Buffer.allocUnsafeSlow(4)
  record.writeUInt32BE(number, 0)
  return record
}

/** By uuid. */
export function registryOf(graph: GraphFile): Map<string, number> {
  const numbers = new Map<string, number>()
  const start = tableKey(0, Table.registry)
  const end = tableEnd(0, Table.registry)
  for (const { key, value } of graph.range({ start, end })) {
    numbers.set(key.toString('utf8', start.length), value.readUInt32BE(0))
  }
  return numbers
}

/** Number of the space, or null: it has no state. */
export function numberOf(graph: GraphFile, uuid: string): number | null {
  return graph.get(registryKey(uuid))?.readUInt32BE(0) ?? null
}
