/**
 * Checkpoints: what reading the records of a space, and writing and verifying a file of them, costs
 * the event loop, against applying their entries. It decides `checkpointRatio`. Alone:
 * `node dist/bench/checkpoint.js [records]`.
 */
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { Pace, StoredSection } from '../actors/ports/checkpoints.js'
import type { SpaceStore, Store } from '../actors/ports/store.js'
import type { LogEntry } from '../machines/log/entries.js'
import { openCheckpoints } from '../runtime/checkpoint/checkpoints.js'
import { RecordCursor } from '../runtime/store/imageRecords.js'
import { openStore } from '../runtime/store/store.js'
import { NodeFileSystem } from '../runtime/system/fileSystem.js'
import { SystemRandom } from '../runtime/system/random.js'
import { runProgram, temporaryDirectory } from './processes.js'

const batchEntries = 512
const keptForEver = { ms: Number.MAX_SAFE_INTEGER, count: Number.MAX_SAFE_INTEGER }
/** The first rounds warm up. */
const rounds = 5

/** Nodes with 300 bytes, in an order that is not that of their keys; each write has a key. */
function entryAt(sequence: number, records: number): LogEntry {
  const id = `node-${(sequence * 7919) % records}`
  const operation = sequence % 4 === 0
    ? { type: 'StoreEdge' as const,
      edge: { source: id, target: `node-${sequence % 1000}`, kind: 'follows', weight: 0.5 } }
    : { type: 'StoreNode' as const,
      node: { id, content: 'x'.repeat(300), activation: 0.5, confidence: 0.9 } }
  const shared = { epoch: 1, timestamp: 1000 + sequence, vectorClock: {} }
  return { ...shared, sequence, writeId: `key-${sequence}`, operation }
}

async function fill(space: SpaceStore, records: number): Promise<number> {
  const begun = performance.now()
  for (let at = 0; at < records; at += batchEntries) {
    const count = Math.min(batchEntries, records - at)
    const entries = Array.from({ length: count }, (_, index) => entryAt(at + index + 1, records))
    await space.apply(entries, keptForEver)
  }
  return performance.now() - begun
}

interface Reading {
  readonly records: number
  readonly bytes: number
  /** Of the event loop. */
  readonly ms: number
  readonly longestMs: number
}

async function read(space: SpaceStore): Promise<Reading> {
  const image = space.image(space.applied)!
  let records = 0
  let bytes = 0
  let ms = 0
  let longestMs = 0
  for (;;) {
    const begun = performance.now()
    const slice = image.next()
    const took = performance.now() - begun
    ms += took
    longestMs = Math.max(longestMs, took)
    if (slice.length === 0) break
    bytes += slice.length
    const cursor = new RecordCursor(slice as Buffer)
    while (cursor.next()) records += 1
    await nextTurn()
  }
  image.close()
  return { records, bytes, ms, longestMs }
}

/** Work of the event loop, ms. */
async function loopMs(work: () => Promise<void>): Promise<number> {
  const before = performance.eventLoopUtilization()
  await work()
  return performance.eventLoopUtilization(before).active
}

const atOnce: Pace = { begin: () => undefined, end: () => undefined, rest: () => nextTurn() }

interface Writing {
  readonly writeMs: number
  readonly loadMs: number
  readonly verifyMs: number
  readonly bytes: number
}

/** `writeMs`: with the reading of the image, and reading the file back. `loadMs`: in all. */
async function write(store: Store, space: SpaceStore, directory: string): Promise<Writing> {
  const random = new SystemRandom()
  const checkpoints = await openCheckpoints({
    directory,
    fileSystem: new NodeFileSystem(),
    random,
    nowMs: () => Date.now(),
    disk: random.uuid(),
    numberAbove: 0,
  })
  const uuid = random.uuid()
  const { applied } = space
  const history = {
    root: { epoch: 0, sequence: 0 },
    history: [{ epoch: applied.epoch, last: applied.sequence }],
  }
  const log = { space: 'bench', uuid, history, clock: {}, timestamp: 1, settings: null }
  let section: StoredSection | undefined
  const writeMs = await loopMs(async () => {
    const source = { notes: log, image: space.image(applied)! }
    ;[section] = await checkpoints.write([source], atOnce)
  })
  const verifyMs = await loopMs(() => checkpoints.verify(section!, atOnce))
  const begun = performance.now()
  const reader = await checkpoints.open(section!)
  const stage = store.stage(uuid, reader.manifest.state)
  for await (const piece of reader.records()) await stage.put(piece)
  const loadMs = performance.now() - begun
  await reader.close()
  stage.discard()
  await checkpoints.remove(section!.file)
  return { writeMs, verifyMs, loadMs, bytes: section!.bytes }
}

async function measure(count: number): Promise<object> {
  const directory = temporaryDirectory('checkpoint')
  const store = await openStore(join(directory, 'store'))
  const space = store.space('u1')
  const fillMs = await fill(space, count)
  const readings: Reading[] = []
  const writings: Writing[] = []
  for (let round = 0; round < rounds; round += 1) {
    readings.push(await read(space))
    writings.push(await write(store, space, join(directory, 'checkpoints')))
  }
  await store.close()
  const best = readings.toSorted((a, b) => a.ms - b.ms)[0]!
  const written = writings.toSorted((a, b) => a.writeMs - b.writeMs)[0]!
  const { records, bytes, ms, longestMs } = best
  return {
    records,
    mebibytes: Math.round(bytes / 2 ** 20),
    applyUsPerEntry: round2(fillMs * 1000 / count),
    imageUsPerRecord: round2(ms * 1000 / records),
    longestSliceMs: round2(longestMs),
    writeUsPerRecord: round2(written.writeMs * 1000 / records),
    verifyUsPerRecord: round2(written.verifyMs * 1000 / records),
    loadUsPerRecord: round2(written.loadMs * 1000 / records),
  }
}

function round2(value: number): number {
  return Math.round(value * 100) / 100
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runProgram(async () => {
    console.log(JSON.stringify(await measure(Number(process.argv[2] ?? 200_000))))
    return 0
  })
}
