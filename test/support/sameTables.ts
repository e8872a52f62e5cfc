import * as assert from 'uvu/assert'
import { recordsOf, slicesOf } from './images.js'
import type { SimCluster } from './simCluster.js'

/** I15: all tables of all running members are equal: also keys and origins, of which no digest says. */
export function assertSameTables(cluster: SimCluster, space = 'teams'): void {
  const tables = cluster.running.map((node) => {
    const { store } = node.space(space).member
    return { id: node.id,
      records: recordsOf(slicesOf(store)).map(({ table, key, value }) =>
        `${table} ${key} ${value.toString('hex')}`
      ) }
  })
  for (const { id, records } of tables) {
    assert.equal(records, tables[0]!.records, `I15: tables of ${id} and ${tables[0]!.id}`)
  }
}
