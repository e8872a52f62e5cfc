/**
 * What one segment holds, by space and in order, as its index file keeps it. Built with each
 * record that is written, or by a scan; it does not change after the segment is closed.
 */
import type { Frame } from '../../actors/ports/frames.js'
import type { Coverage } from '../../actors/ports/journal.js'
import type { Position } from '../../machines/base/ids.js'
import { asBuffer, readSafe } from '../codec/frameBytes.js'
import { Places } from './places.js'

/** Frames that continue each other, within one epoch. A frame is one, too. */
export interface Run {
  readonly epoch: number
  readonly first: number
  readonly last: number
  readonly previousEpoch: number
}

export type LedgerItem =
  | { readonly kind: 'run'; readonly run: Run; readonly bytes: number }
  | { readonly kind: 'truncate'; readonly to: Position }
  | { readonly kind: 'dropped' }
  | { readonly kind: 'floor'; readonly sequence: number }
  | { readonly kind: 'checkpoint'; readonly covers: Coverage }
  | { readonly kind: 'installed'; readonly covers: Coverage }

/** Offset of the base timestamp in a frame. */
const FRAME_TIME_AT = 56

/** Returns the time of a frame's first entry, ms since 1970. */
export function timeOf(frame: Frame): number {
  return readSafe(asBuffer(frame.bytes), FRAME_TIME_AT)
}

export class SpaceLedger {
  readonly places = new Places()
  /** Of the last frame, ms since 1970. */
  timeMs = 0
  readonly #before: LedgerItem[] = []
  /**
   * Since the last truncation, drop or install. There a log grows only, so the last floor stands
   * for all of them, and comes after the frames: a node writes thousands of floors into a segment.
   * Likewise the last record of checkpoints.
   */
  #runs: { run: Run; bytes: number }[] = []
  #floor: number | null = null
  #covers: Coverage | null = null

  get memoryBytes(): number {
    return this.places.memoryBytes + (this.#before.length + this.#runs.length) * 128
  }

  frame(frame: Frame, offset: number): void {
    this.places.push(frame.first, offset, frame.bytes.length)
    this.timeMs = timeOf(frame)
    const end = this.#runs.at(-1)
    const { epoch, first, last, previousEpoch } = frame
    if (end && end.run.epoch === epoch && previousEpoch === epoch && first === end.run.last + 1) {
      end.run = { ...end.run, last }
      end.bytes += frame.bytes.length
      return
    }
    this.#runs.push({ run: { epoch, first, last, previousEpoch }, bytes: frame.bytes.length })
  }

  truncate(to: Position): void {
    this.#before.push(...this.#sinceThen(), { kind: 'truncate', to })
    this.#beginAnew()
    this.places.truncate(to.sequence)
  }

  drop(): void {
    this.#clear({ kind: 'dropped' })
  }

  install(covers: Coverage): void {
    this.#clear({ kind: 'installed', covers })
  }

  cover(covers: Coverage): void {
    this.#covers = covers
  }

  floor(sequence: number): void {
    this.#floor = Math.max(this.#floor ?? 0, sequence)
  }

  items(): LedgerItem[] {
    return [...this.#before, ...this.#sinceThen()]
  }

  #sinceThen(): LedgerItem[] {
    const items: LedgerItem[] = this.#runs.map((each) => ({ kind: 'run', ...each }))
    if (this.#covers !== null) items.push({ kind: 'checkpoint', covers: this.#covers })
    if (this.#floor !== null) items.push({ kind: 'floor', sequence: this.#floor })
    return items
  }

  #clear(item: LedgerItem): void {
    this.#before.push(...this.#sinceThen(), item)
    this.#beginAnew()
    this.places.truncate(0)
  }

  #beginAnew(): void {
    this.#runs = []
    this.#floor = null
    this.#covers = null
  }
}

export class SegmentLedger {
  readonly spaces = new Map<string, SpaceLedger>()
  /** Of the segment's head, and what was noted here. */
  records = 0
  highestFlush = 0
  /** Length of the segment, once it is closed. */
  end = 0
  /**
   * False: the segment holds something that could not be read, or that did not fit its log. It
   * gets no index, so that each start finds that again.
   */
  isWhole = true

  constructor(readonly segment: number) {}

  get memoryBytes(): number {
    let bytes = 0
    for (const space of this.spaces.values()) bytes += space.memoryBytes
    return bytes
  }

  of(uuid: string): SpaceLedger {
    let space = this.spaces.get(uuid)
    if (!space) this.spaces.set(uuid, space = new SpaceLedger())
    return space
  }
}
