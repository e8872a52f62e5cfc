/**
 * Control messages between nodes as MessagePack, arbiter records as JSON (an operator reads them
 * with `nats kv get`). Everything is checked here, once; inside, the types are trusted.
 */
import { Decoder, Encoder } from '@msgpack/msgpack'
import type { z } from 'zod'
import type { ControlCodec, Decoded } from '../../actors/ports.js'
import type { Assignment, NodeIdentity } from '../../machines/protocol.js'
import * as schemas from './schemas.js'
import { structureFault } from './structure.js'

const { bounds } = schemas

/** Of arbiter records, and of the assignment within an announcement. */
const recordVersion = 1

/**
 * Encoding throws RangeError above 256 KiB: a peer would refuse it (a bug of the sender).
 * Decoding never throws; a refusal names the field.
 */
export function controlCodec(): ControlCodec {
  const encoder = new Encoder({ ignoreUndefined: true })
  const unpack = unpacker()
  const message = <T>(schema: z.ZodType<T>) => (bytes: Uint8Array): Decoded<T> => {
    const raw = unpack(bytes)
    return raw.ok ? check(schema, raw.value) : raw
  }
  return {
    encode: (value) => bounded(encoder.encode(value)),
    encodeRecord: (record) => bounded(Buffer.from(JSON.stringify(record))),
    heartbeat: message(schemas.heartbeat),
    pingAnswer: message(schemas.pingAnswer),
    pingRequest: message(schemas.pingRequest),
    pingRequestAnswer: message(schemas.pingRequestAnswer),
    surveyRequest: message(schemas.surveyRequest),
    surveyAnswer: message(schemas.surveyAnswer),
    joinAnswer: message(schemas.joinAnswer),
    ackMessage: (bytes) => {
      const raw = unpack(bytes)
      if (!raw.ok) return raw
      const kind = field(raw.value, 'kind')
      if (kind !== 'ack' && kind !== 'nack' && kind !== 'join') {
        return refuse('kind: is not ack, nack or join')
      }
      return check(schemas.ackMessages[kind], raw.value)
    },
    announcement: (bytes) => {
      const raw = unpack(bytes)
      if (!raw.ok) return raw
      const newer = versionFault(field(raw.value, 'assignment'))
      return newer ? refuse(newer) : check(schemas.announcement, raw.value)
    },
    assignment: (bytes) => record<Assignment>(schemas.assignment, bytes),
    nodeIdentity: (bytes) => record<NodeIdentity>(schemas.nodeIdentity, bytes),
  }
}

function unpacker(): (bytes: Uint8Array) => Decoded<unknown> {
  const decoder = new Decoder({
    maxStrLength: bounds.messageBytes,
    maxBinLength: 0,
    maxExtLength: 0,
    maxArrayLength: bounds.epochs,
    maxMapLength: bounds.peers,
  })
  return (bytes) => {
    if (bytes.length > bounds.messageBytes) return refuse(tooLong(bytes.length))
    const fault = structureFault(bytes)
    if (fault) return refuse(`no MessagePack: ${fault}`)
    try {
      return { ok: true, value: decoder.decode(bytes) }
    } catch (error) {
      return refuse(`no MessagePack: ${textOf(error)}`)
    }
  }
}

function record<T>(schema: z.ZodType<T>, bytes: Uint8Array): Decoded<T> {
  if (bytes.length > bounds.messageBytes) return refuse(tooLong(bytes.length))
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    return refuse(`no JSON: ${textOf(error)}`)
  }
  const newer = versionFault(value)
  return newer ? refuse(newer) : check(schema, value)
}

/** Before the shape: a newer record may look different altogether. */
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

/** Reasons go to logs: bounded, whatever a peer sent. */
function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason: reason.length > 300 ? `${reason.slice(0, 300)}…` : reason }
}

function bounded(bytes: Uint8Array): Uint8Array {
  if (bytes.length > bounds.messageBytes) throw new RangeError(tooLong(bytes.length))
  return bytes
}

function tooLong(length: number): string {
  return `${length} bytes are more than ${bounds.messageBytes}`
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
