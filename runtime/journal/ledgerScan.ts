/** Makes the ledger of a closed segment anew, from the segment itself. */
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import type { FileHandle, FileSystem } from '../../actors/ports/fileSystem.js'
import { peekFrame } from '../codec/frameLayout.js'
import { decodeCoverage } from './coverage.js'
import { SegmentLedger } from './ledger.js'
import { readFloors, readRecordHeader, readTruncation, RECORD_HEADER_BYTES,
  type RecordHeader } from './record.js'
import { segmentName } from './segment.js'

/** Checked at once, between two turns of the event loop: it takes 2 ms. */
const WINDOW_BYTES = 1024 * 1024

export interface LedgerScanOptions {
  readonly fileSystem: FileSystem
  readonly directory: string
  readonly journal: string
  readonly pause: () => Promise<void>
}

/** A string: the fault found in the segment. Throws FileSystemError. */
export async function scanLedger(
  options: LedgerScanOptions,
  segment: number,
  end: number,
): Promise<SegmentLedger | string> {
  const path = join(options.directory, segmentName(segment))
  const handle = await options.fileSystem.open(path, 'read')
  try {
    return await scan(new Window(handle, end, options.pause), options.journal, segment, end)
  } finally {
    await handle.close().catch(() => undefined)
  }
}

async function scan(
  window: Window,
  journal: string,
  segment: number,
  end: number,
): Promise<SegmentLedger | string> {
  const ledger = new SegmentLedger(segment)
  for (let offset = 0; offset < end;) {
    const head = await window.at(offset, RECORD_HEADER_BYTES)
    const header = readRecordHeader(head, 0, journal, segment, offset)
    if (typeof header === 'string') return `offset ${offset}: ${header}`
    const payload = await window.at(offset + RECORD_HEADER_BYTES, header.payloadBytes)
    const sound = payload.length === header.payloadBytes && crc32c(payload) === header.payloadCrc
    const reason = sound ? note(ledger, header, payload) : 'bad checksum of the payload'
    if (reason) return `offset ${offset}: ${reason}`
    ledger.records++
    ledger.highestFlush = header.flush
    offset += RECORD_HEADER_BYTES + header.payloadBytes
  }
  ledger.end = end
  return ledger
}

function note(ledger: SegmentLedger, header: RecordHeader, payload: Buffer): string | null {
  switch (header.type) {
    case 'entries':
    case 'epochStart': {
      const frame = peekFrame(payload)
      if (typeof frame === 'string') return frame
      ledger.of(frame.uuid).frame(frame, header.offset)
      return null
    }
    case 'truncate': {
      const truncation = readTruncation(payload)
      if (typeof truncation === 'string') return truncation
      ledger.of(header.space!).truncate(truncation.to)
      return null
    }
    case 'spaceDropped':
      ledger.of(header.space!).drop()
      return null
    case 'confirm':
      for (const { uuid, sequence } of readFloors(payload) ?? []) {
        ledger.of(uuid).floor(sequence)
      }
      return null
    case 'segment':
    case 'retained':
      return null
    case 'checkpoint':
    case 'snapshotInstalled': {
      const covers = decodeCoverage(payload)
      if (typeof covers === 'string') return covers
      if (header.type === 'checkpoint') ledger.of(header.space!).cover(covers)
      else ledger.of(header.space!).install(covers)
      return null
    }
  }
}

/** A file, read front to back. */
class Window {
  #start = 0
  #bytes = Buffer.alloc(0)

  constructor(
    private readonly handle: FileHandle,
    private readonly end: number,
    private readonly pause: () => Promise<void>,
  ) {}

  /** So many bytes, or as many as there are. Valid until the next call. */
  async at(offset: number, bytes: number): Promise<Buffer> {
    if (offset + bytes > this.#start + this.#bytes.length) await this.#move(offset, bytes)
    const at = offset - this.#start
    return this.#bytes.subarray(at, at + bytes)
  }

  async #move(offset: number, bytes: number): Promise<void> {
    const wanted = Math.min(this.end - offset, Math.max(bytes, WINDOW_BYTES))
    const next = Buffer.allocUnsafe(Math.max(0, wanted))
    const got = await this.handle.read(next, offset)
    this.#bytes = next.subarray(0, got)
    this.#start = offset
    await this.pause()
  }
}
