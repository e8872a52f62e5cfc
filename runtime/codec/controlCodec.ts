/**
 * Control messages between nodes as MessagePack, arbiter records as JSON (operators read them with
 * `nats kv get`). Everything is checked here, once; inside, the types are trusted.
 */
import { Decoder, Encoder } from '@msgpack/msgpack'
import type { z } from 'zod'
import type { ControlCodec, Decoded } from '../../actors/ports/controlCodec.js'
import { messageOf } from '../../machines/base/thrown.js'
import { epochsMax } from '../../machines/log/positions.js'
import type { Ack, AckMessage, Assignment, NodeIdentity } from '../../machines/protocol/messages.js'
import { decodeChunk, encodeChunk, isChunk } from './chunks.js'
import { isPlainAck, isPlainHeartbeat } from './plainShapes.js'
import * as installs from './installSchemas.js'
import * as schemas from './schemas.js'
import { isSliceAhead, structureFault } from './structure.js'

const { bounds } = schemas

/** Version of arbiter records, and of the assignment within an announcement. */
const recordVersion = 1

/** Limits that are checked before any field. */
interface Limits {
  readonly bytes: number
  readonly depth: number
  readonly mapEntries: number
}

const limits: Limits = { bytes: bounds.messageBytes, depth: 8, mapEntries: bounds.peers }
/** Limits of a slice: it holds operations, with metadata, which may be nested 8 deep. */
const sliceLimits: Limits = {
  bytes: bounds.sliceBytes,
  depth: 16,
  mapEntries: bounds.metadataEntries,
}

/**
 * Encoding throws RangeError above 256 KiB (a slice: above `bounds.sliceBytes`): a peer would
 * refuse it, so it is a bug of the sender. Decoding never throws; a refusal names the field.
 */
export function controlCodec(): ControlCodec {
  const encoder = new Encoder({ ignoreUndefined: true })
  const unpack = unpacker(limits)
  const unpackSlice = unpacker(sliceLimits)
  const message = <T>(schema: z.ZodType<T>, isPlain: (value: unknown) => boolean = () => false) =>
  (
    bytes: Uint8Array,
  ): Decoded<T> => {
    const raw = unpack(bytes)
    if (!raw.ok) return raw
    return isPlain(raw.value) ? { ok: true, value: raw.value as T } : check(schema, raw.value)
  }
  const checkpointAnswer = message(installs.checkpointAnswer)
  return {
    encode: (value) => {
      if (field(value, 'kind') !== 'slice') return bounded(encoder.encode(value), limits.bytes)
      // First, so that the recipient can recognise it before it reads all of it.
      return bounded(encoder.encode({ kind: 'slice', ...value }), sliceLimits.bytes)
    },
    encodeRecord: (record) => bounded(Buffer.from(JSON.stringify(record)), limits.bytes),
    heartbeat: message(schemas.heartbeat, isPlainHeartbeat),
    pingAnswer: message(schemas.pingAnswer),
    pingRequest: message(schemas.pingRequest),
    pingRequestAnswer: message(schemas.pingRequestAnswer),
    surveyRequest: message(schemas.surveyRequest),
    surveyAnswer: message(schemas.surveyAnswer),
    joinAnswer: message(schemas.joinAnswer),
    reconcileAnswer: message(schemas.reconcileAnswer),
    ackMessage: (bytes) => {
      const isSlice = isSliceAhead(bytes)
      const raw = isSlice ? unpackSlice(bytes) : unpack(bytes)
      if (!raw.ok) return raw
      if (isPlainAck(raw.value)) return { ok: true, value: raw.value as Ack }
      const kind = field(raw.value, 'kind')
      // The last one counts if a field occurs twice.
      if (isSlice && kind !== 'slice') return refuse('kind: has two different values')
      if (typeof kind !== 'string' || !Object.hasOwn(schemas.ackMessages, kind)) {
        return refuse('kind: must be ack, nack, join, install, offer or slice')
      }
      return check(schemas.ackMessages[kind as AckMessage['kind']], raw.value)
    },
    installAnswer: message(installs.installAnswer),
    checkpointRequest: message(installs.checkpointRequest),
    checkpointAnswer: (bytes) => {
      if (!isChunk(bytes)) return checkpointAnswer(bytes)
      const chunk = decodeChunk(bytes)
      return typeof chunk === 'string' ? refuse(chunk) : { ok: true, value: chunk }
    },
    chunk: encodeChunk,
    announcement: (bytes) => {
      const raw = unpack(bytes)
      if (!raw.ok) return raw
      const newer = versionFault(field(raw.value, 'assignment'))
      return newer ? { ...refuse(newer), isNewer: true } : check(schemas.announcement, raw.value)
    },
    assignment: (bytes) => record<Assignment>(schemas.assignment, bytes),
    nodeIdentity: (bytes) => record<NodeIdentity>(schemas.nodeIdentity, bytes),
  }
}

function unpacker({ bytes: bytesMax, depth, mapEntries }: Limits): (
  bytes: Uint8Array,
) => Decoded<unknown> {
  const decoder = new Decoder({
    maxStrLength: bytesMax,
    maxBinLength: 0,
    maxExtLength: 0,
    maxArrayLength: epochsMax,
    maxMapLength: mapEntries,
  })
  return (bytes) => {
    if (bytes.length > bytesMax) return refuse(tooLong(bytes.length, bytesMax))
    const fault = structureFault(bytes, depth)
    if (fault) return refuse(`no MessagePack: ${fault}`)
    try {
      return { ok: true, value: decoder.decode(bytes) }
    } catch (error) {
      return refuse(`no MessagePack: ${messageOf(error)}`)
    }
  }
}

function record<T>(schema: z.ZodType<T>, bytes: Uint8Array): Decoded<T> {
  if (bytes.length > limits.bytes) return refuse(tooLong(bytes.length, limits.bytes))
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    return refuse(`no JSON: ${messageOf(error)}`)
  }
  const newer = versionFault(value)
  return newer ? { ...refuse(newer), isNewer: true } : check(schema, value)
}

/** Checked before the shape: a newer record may look different. */
function versionFault(value: unknown): string | null {
  const version = field(value, 'version')
  if (typeof version !== 'number' || version <= recordVersion) return null
  return `version ${version} is newer than this node understands (${recordVersion}): `
    + 'upgrade this node'
}

function check<T>(schema: z.ZodType<T>, value: unknown): Decoded<T> {
  const result = schema.safeParse(value)
  if (result.success) return { ok: true, value: result.data }
  const issue = result.error.issues[0]
  const path = issue?.path.map(String).join('.') || 'message'
  return refuse(`${path}: ${issue?.message ?? 'is not valid'}`)
}

function field(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Record<string, unknown>)[key]
}

/** Reasons go to logs, so they are bounded, whatever a peer sent. */
function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason: reason.length > 300 ? `${reason.slice(0, 300)}…` : reason }
}

function bounded(bytes: Uint8Array, bytesMax: number): Uint8Array {
  if (bytes.length > bytesMax) throw new RangeError(tooLong(bytes.length, bytesMax))
  return bytes
}

function tooLong(length: number, bytesMax: number): string {
  return `${length} bytes are more than ${bytesMax}`
}
