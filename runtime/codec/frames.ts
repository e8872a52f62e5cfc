/** The frame codec: layout in frameLayout.ts. */
import { encode } from '@msgpack/msgpack'
import { crc32c } from '@node-rs/crc32'
import type { Frame, FrameCodec, FrameOrigin } from '../../actors/ports/frames.js'
import type { EpochStart, LogEntry } from '../../machines/log/entries.js'
import type { WalHeader } from '../../machines/protocol/messages.js'
import { EntryBuffer, entriesBuilder } from './frameBuilder.js'
import { asBuffer, readSafe, writeSafe } from './frameBytes.js'
import { componentOf, decodeOrigin, ENTRY_HEADER_BYTES, FRAME_HEADER_BYTES, KIND_EPOCH_START,
  NO_KEY, peekFrame, refuseBody, type Origin } from './frameLayout.js'
import { FORK_TAG, decodeForkEntryAt, decodeOperationAt, encodeEntry, MSGPACK_TAG,
  tagged } from './operation.js'

const WAL_MAGIC = 0x4c574745
const WAL_VERSION = 1
const WAL_NOTICE = 0
const WAL_FRAME = 1
/** magic 4, version 1, kind 1, flags 2, six 64-bit fields, CRC32C of all before it. */
const WAL_CHECKED_BYTES = 56
export const WAL_HEADER_BYTES = 60

export function createFrameCodec(): FrameCodec {
  return {
    builder: entriesBuilder,
    epochStart,
    encodeEntry,
    parse: parseFrame,
    entries: frameEntries,
    clockAfter,
    encodeWal,
    decodeWal,
  }
}

/** Version 1 even with forks: members that know nothing of reports ignore them. */
function epochStart(origin: FrameOrigin, start: EpochStart, timestamp: number): Frame {
  const { forks = [], ...plain } = start
  const builder = new EntryBuffer(KIND_EPOCH_START)
  const encoded = tagged(MSGPACK_TAG, encode(forks.length > 0 ? { ...plain, forks } : plain))
  // The builder reads only the encoded bytes: an epoch start is not a client operation.
  builder.add({ operations: [], encoded: [encoded], key: null }, timestamp)
  return builder.seal(origin)
}

/**
 * Checks bytes from outside completely; a string is the fault found. Never throws. The frame is a
 * view of `bytes`.
 */
export function parseFrame(bytes: Uint8Array): Frame | string {
  const frame = peekFrame(bytes)
  if (typeof frame === 'string') return frame
  return refuseBody(asBuffer(bytes)) ?? frame
}

/** Throws on bytes that `parseFrame` would refuse, and on operations that do not decode. */
export function frameEntries(frame: Frame, from = frame.first, to = frame.last): LogEntry[] {
  const b = asBuffer(frame.bytes)
  const origin = originOf(b)
  const before = componentOf(origin)
  const base = readSafe(b, 56)
  const entries: LogEntry[] = []
  let at = FRAME_HEADER_BYTES + b.readUInt32LE(68)
  let writeId: string | null = null
  /** Offset of the key of the present request, until it is needed. */
  let keyAt = -1
  let keyEnd = -1
  for (let sequence = frame.first; sequence <= Math.min(to, frame.last); sequence++) {
    const end = at + 4 + b.readUInt32LE(at)
    const keyLength = b.readUInt16LE(at + 12)
    let operation = at + ENTRY_HEADER_BYTES
    if (b.readUInt16LE(at + 10) > 0) {
      writeId = null
      keyAt = keyLength === NO_KEY ? -1 : operation
      if (keyLength !== NO_KEY) keyEnd = operation += keyLength
    }
    if (sequence < from) {
      at = end
      continue
    }
    if (keyAt >= 0) {
      writeId = b.toString('utf8', keyAt, keyEnd)
      keyAt = -1
    }
    const timestamp = base + b.readUIntLE(at + 4, 6)
    const vectorClock = { ...origin.clock, [origin.node]: before + sequence - frame.first + 1 }
    if (b[operation] === FORK_TAG) {
      const fork = decodeForkEntryAt(b, operation, end)
      entries.push({ sequence, epoch: frame.epoch, timestamp, vectorClock, writeId, ...fork })
    } else {
      entries.push({
        sequence,
        epoch: frame.epoch,
        timestamp,
        vectorClock,
        writeId,
        operation: decodeOperationAt(b, operation, end),
      })
    }
    at = end
  }
  return entries
}

function clockAfter(frame: Frame): Record<string, number> {
  const origin = originOf(asBuffer(frame.bytes))
  const after = componentOf(origin) + frame.last - frame.first + 1
  return { ...origin.clock, [origin.node]: after }
}

/** Component of the vector clock that counts the frame's entries. */
export function writerOf(frame: Frame): string {
  return originOf(asBuffer(frame.bytes)).node
}

function originOf(b: Buffer): Origin {
  const end = FRAME_HEADER_BYTES + b.readUInt32LE(68)
  const origin = decodeOrigin(b.subarray(FRAME_HEADER_BYTES, end))
  if (typeof origin === 'string') throw new Error(`bug: an unchecked frame: ${origin}`)
  return origin
}

/** `sentAtMs` loses its fraction. Throws RangeError on fields that are not safe integers. */
export function encodeWal(header: WalHeader, frame: Frame | null): Uint8Array {
  const message = Buffer.allocUnsafe(WAL_HEADER_BYTES + (frame ? frame.bytes.length : 0))
  message.writeUInt32LE(WAL_MAGIC, 0)
  message[4] = WAL_VERSION
  message[5] = frame ? WAL_FRAME : WAL_NOTICE
  message.writeUInt16LE(0, 6)
  writeSafe(message, header.session, 8)
  writeSafe(message, header.epoch, 16)
  writeSafe(message, header.commitSequence, 24)
  writeSafe(message, header.safeSequence, 32)
  writeSafe(message, header.endSequence, 40)
  writeSafe(message, Math.floor(header.sentAtMs), 48)
  message.writeUInt32LE(crc32c(message.subarray(0, WAL_CHECKED_BYTES)), WAL_CHECKED_BYTES)
  if (frame) message.set(frame.bytes, WAL_HEADER_BYTES)
  return message
}

/**
 * Checks everything; a string is the fault found. Never throws. The frame's bytes are a COPY, since
 * incoming bytes are a view of the connection's receive buffer, and frames are kept.
 */
export function decodeWal(
  bytes: Uint8Array,
): { header: WalHeader; frame: Frame | null } | string {
  const b = asBuffer(bytes)
  if (b.length < WAL_HEADER_BYTES) return `too short for a WAL message: ${b.length} bytes`
  if (b.readUInt32LE(0) !== WAL_MAGIC) return 'not a WAL message: wrong magic'
  const version = b[4]!
  if (version > WAL_VERSION) {
    return `WAL message version ${version}; this node understands up to ${WAL_VERSION}: upgrade it`
  }
  if (version < 1) return `WAL message version ${version} does not exist`
  const crc = crc32c(b.subarray(0, WAL_CHECKED_BYTES))
  if (b.readUInt32LE(WAL_CHECKED_BYTES) !== crc) return 'bad checksum of the WAL header'
  const header: WalHeader = {
    session: readSafe(b, 8),
    epoch: readSafe(b, 16),
    commitSequence: readSafe(b, 24),
    safeSequence: readSafe(b, 32),
    endSequence: readSafe(b, 40),
    sentAtMs: readSafe(b, 48),
  }
  for (const [name, value] of Object.entries(header)) {
    if (value < 0) return `${name} is not a safe integer`
  }
  const kind = b[5]!
  if (b.readUInt16LE(6) !== 0) return 'unknown flags of a WAL message'
  if (kind === WAL_NOTICE) {
    return b.length === WAL_HEADER_BYTES ? { header, frame: null } : 'bytes after a notice'
  }
  if (kind !== WAL_FRAME) return `unknown kind ${kind} of WAL message`
  const frame = parseFrame(Buffer.from(b.subarray(WAL_HEADER_BYTES)))
  return typeof frame === 'string' ? frame : { header, frame }
}
