/** Helpers of the journal tests: small frames, and what a journal holds as plain text. */
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { Frame } from '../../actors/ports/frames.js'
import type { Journal, JournalRecord } from '../../actors/ports/journal.js'
import type { Logger } from '../../actors/ports/system.js'
import { createFrameCodec } from '../../runtime/codec/frames.js'
import type { FileJournal } from '../../runtime/journal/fileJournal.js'
import { openJournal } from '../../runtime/journal/journal.js'
import { MemoryFileSystem } from '../fakes/memoryFileSystem.js'
import { SeededRandom } from '../fakes/seededRandom.js'

export const codec = createFrameCodec()
export const A = 'aaaaaaaa-0000-4000-8000-000000000001'
export const B = 'bbbbbbbb-0000-4000-8000-000000000002'
export const C = 'cccccccc-0000-4000-8000-000000000003'
export const DIRECTORY = '/data/journal'

export const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

const random = new SeededRandom(1)

export function open(
  fileSystem: FileSystem,
  over: { directory?: string; segmentBytes?: number; logger?: Logger } = {},
): Promise<FileJournal> {
  return openJournal({
    directory: DIRECTORY,
    fileSystem: fileSystem instanceof MemoryFileSystem ? fileSystem.process() : fileSystem,
    logger: quiet,
    random,
    // Indexes of closed segments are written between the steps of the test.
    pause: () => Promise.resolve(),
    ...over,
  })
}

export interface FrameSpec {
  readonly count?: number
  readonly epoch?: number
  readonly previousEpoch?: number
  readonly text?: string
}

export function frameOf(uuid: string, first: number, spec: FrameSpec = {}): Frame {
  const { count = 1, epoch = 1, text = 'x' } = spec
  const previousEpoch = spec.previousEpoch ?? (first === 1 ? 0 : epoch)
  const builder = codec.builder()
  for (let i = 0; i < count; i++) {
    const json = `\x01{"type":"UpdateActivation","nodeId":"${text}${first + i}","activation":1}`
    builder.add({ operations: [], encoded: [Buffer.from(json)], key: null }, 1000 + first)
  }
  return builder.seal({ uuid, epoch, first, previousEpoch, node: 'n1', clock: { n1: first - 1 } })
}

export function rec(uuid: string, first: number, spec: FrameSpec = {}): JournalRecord {
  return { type: 'frame', frame: frameOf(uuid, first, spec) }
}

/** All frames of a log, read in small steps. */
export async function framesOf(journal: Journal, uuid: string): Promise<Frame[]> {
  const frames: Frame[] = []
  const end = journal.log(uuid)?.end.sequence ?? 0
  for (let from = 1; from <= end; from = frames.at(-1)!.last + 1) {
    frames.push(...await journal.read(uuid, from, 600))
  }
  return frames
}

export function hex(frame: Frame): string {
  return Buffer.from(frame.bytes).toString('hex')
}

/** Logs by uuid: the frames' bytes, and that history and end go with them. */
export async function stateOf(journal: Journal): Promise<Map<string, string[]>> {
  const state = new Map<string, string[]>()
  for (const log of journal.logs()) {
    if (log.damage !== null) throw new Error(`damaged: ${log.damage}`)
    const frames = await framesOf(journal, log.uuid)
    const last = frames.at(-1)
    if ((last?.last ?? 0) !== log.end.sequence || (last?.epoch ?? 0) !== log.end.epoch) {
      throw new Error(`the end of ${log.uuid} is not that of its last frame`)
    }
    if (frames.length > 0) state.set(log.uuid, frames.map(hex))
  }
  return state
}

/** The result of records, applied in order: the model that the journal is held against. */
export class Model {
  readonly logs = new Map<string, Frame[]>()

  apply(record: JournalRecord): void {
    if (record.type === 'frame') {
      const log = this.logs.get(record.frame.uuid) ?? []
      this.logs.set(record.frame.uuid, [...log, record.frame])
    } else if (record.type === 'truncate') {
      const log = this.logs.get(record.uuid) ?? []
      this.logs.set(record.uuid, log.filter((frame) => frame.last <= record.to.sequence))
    } else if (record.type === 'spaceDropped') {
      this.logs.delete(record.uuid)
    }
  }

  state(): Map<string, string[]> {
    const full = [...this.logs].filter(([, log]) => log.length > 0)
    return new Map(full.map(([uuid, log]) => [uuid, log.map(hex)]))
  }
}

export function modelOf(records: readonly JournalRecord[]): Model {
  const model = new Model()
  for (const record of records) model.apply(record)
  return model
}

export function show(state: Map<string, string[]>): string {
  return JSON.stringify([...state].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
