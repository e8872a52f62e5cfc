/**
 * Checks of the two messages that arrive all the time, as a node of this release writes them: some
 * comparisons instead of a walk through a schema. They take no message that its schema refuses or
 * would change. What they do not take, the schema judges.
 */
import { nameFault } from '../../machines/protocol/subjects.js'
import { bounds } from './schemas.js'

type Fields = Readonly<Record<string, unknown>>

const heartbeatFields = 13
const ackFields = 8

/** Whether it is a heartbeat with all known fields but `unfit`, and no others. */
export function isPlainHeartbeat(value: unknown): boolean {
  if (!isMap(value, heartbeatFields)) return false
  const { http, loopDelayMs, wallMs } = value
  return isName(value['node']) && isName(value['disk']) && isToken(value['server'])
    && isCount(value['number']) && isCount(value['incarnation']) && isCount(value['connection'])
    && typeof value['leaving'] === 'boolean' && typeof value['registered'] === 'boolean'
    && (http === null || (typeof http === 'string' && http.length <= 256))
    && isCount(loopDelayMs) && isCount(wallMs)
    && isCount(value['checkpoints']) && isHeardList(value['heard'])
}

/** Whether it is an ack without unknown fields. */
export function isPlainAck(value: unknown): boolean {
  return isMap(value, ackFields) && value['kind'] === 'ack' && isName(value['space'])
    && isName(value['node']) && isCount(value['epoch']) && isCount(value['session'])
    && isCount(value['durableSequence']) && isCount(value['appliedSequence'])
    && isToken(value['digest'])
}

function isHeardList(value: unknown): boolean {
  if (!isMap(value)) return false
  let count = 0
  for (const peer in value) {
    const heard = value[peer]
    count += 1
    if (!isName(peer) || !Array.isArray(heard) || heard.length !== 3) return false
    if (!isCount(heard[0]) || !isCount(heard[1]) || !isCount(heard[2])) return false
  }
  return count <= bounds.peers
}

/** With so many fields; without a count, with any number of them. */
function isMap(value: unknown, fields?: number): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    && (fields === undefined || Object.keys(value).length === fields)
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isName(value: unknown): boolean {
  return nameFault(value) === null
}

function isToken(value: unknown): boolean {
  return typeof value === 'string' && value.length <= 128
}
