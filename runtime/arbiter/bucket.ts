/** Configuration of the arbiter's bucket, and faults of an existing one. */

/** Records are a few hundred bytes; the limit keeps a mistake from failing every node's start. */
export const recordBytesMax = 256 * 1024

/**
 * History 1: a record replaces the one before. Nothing expires, and nothing is purged: a key must
 * never go missing by housekeeping, since a missing record means that the arbiter lost it.
 */
export function bucketConfiguration(bucket: string, replicas: number): object {
  return {
    name: `KV_${bucket}`,
    description: 'Engram replication: assignments of spaces and identities of nodes',
    subjects: [`$KV.${bucket}.>`],
    retention: 'limits',
    storage: 'file',
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    discard: 'new',
    max_msgs: -1,
    max_bytes: -1,
    max_age: 0,
    max_msg_size: recordBytesMax,
    max_consumers: -1,
    duplicate_window: 120_000_000_000,
    allow_direct: false,
    allow_rollup_hdrs: false,
    deny_delete: true,
    deny_purge: true,
  }
}

/**
 * Faults in the configuration of an existing bucket that may cost records or block their changes,
 * each with its remedy. Harmless differences (history, description, direct get) are ignored.
 */
export function bucketFaults(
  bucket: string,
  replicas: number,
  found: Readonly<Record<string, unknown>>,
): string[] {
  const stream = `KV_${bucket}`
  const edit = (flags: string) => `correct it: nats stream edit ${stream} ${flags}`
  const again = 'stop all nodes, back it up (nats stream backup), make it anew, restore it'
  const limit = (name: string) => Number(found[name] ?? 0)
  const faults: string[] = []
  if (limit('max_age') > 0) {
    faults.push(`records of the bucket ${bucket} expire after ${limit('max_age') / 1e9} s; `
      + edit('--max-age=0'))
  }
  if (limit('max_bytes') > 0) {
    faults.push(`the bucket ${bucket} is full at ${limit('max_bytes')} bytes; `
      + edit('--max-bytes=-1'))
  }
  if (limit('max_msgs') > 0) {
    faults.push(`the bucket ${bucket} is full at ${limit('max_msgs')} records; `
      + edit('--max-msgs=-1'))
  }
  const size = limit('max_msg_size')
  if (size > 0 && size < recordBytesMax) {
    faults.push(`the bucket ${bucket} takes no record above ${size} bytes; `
      + edit(`--max-msg-size=${recordBytesMax}`))
  }
  if (found['storage'] !== undefined && found['storage'] !== 'file') {
    faults.push(`the bucket ${bucket} is kept in memory: it is lost with its servers; ${again}`)
  }
  if (found['retention'] !== undefined && found['retention'] !== 'limits') {
    faults.push(`the bucket ${bucket} drops records that are read; ${again}`)
  }
  const copies = limit('num_replicas')
  if (copies < replicas) {
    faults.push(`the bucket ${bucket} has ${copies} of ${replicas} required copies; `
      + edit(`--replicas=${replicas}`))
  }
  return faults
}
