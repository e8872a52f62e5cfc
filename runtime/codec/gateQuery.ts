/** The queries of DESIGN section 6. */
import type { EdgeDirection, Query } from '../../actors/ports.js'
import { idReason, isFields, keyFault, unknownField, type Fields } from './gateValues.js'

export const LIMIT_DEFAULT = 100
export const LIMIT_MAX = 1000

const DIRECTIONS: readonly unknown[] = ['out', 'in', 'both']

const TYPES = 'GetNode, GetEdges, ListNodes, GetEntries, GetHistory, GetForks, GetQuarantine ' +
  'or GetFate'

/** Of an item in the quarantine: where it was logged first. */
const ITEM = /^([1-9][0-9]{0,15})-([1-9][0-9]{0,15})$/

/** The query with its defaults filled in, or the reason of refusal. */
export function queryOf(value: unknown): Query | string {
  if (!isFields(value)) return 'the query must be an object'
  switch (value.type) {
    case 'GetNode': return getNode(value)
    case 'GetEdges': return getEdges(value)
    case 'ListNodes': return listNodes(value)
    case 'GetEntries': return getEntries(value)
    case 'GetHistory': return otherField(value, []) ?? { type: 'GetHistory' }
    case 'GetForks': return otherField(value, []) ?? { type: 'GetForks' }
    case 'GetQuarantine': return getQuarantine(value)
    case 'GetFate': return getFate(value)
    default: return `type must be ${TYPES}`
  }
}

function getNode(value: Fields): Query | string {
  const reason = otherField(value, ['nodeId']) ?? idReason(value.nodeId, 'nodeId')
  return reason ?? { type: 'GetNode', nodeId: value.nodeId as string }
}

function getEdges(value: Fields): Query | string {
  const { direction = 'both' } = value
  const reason = otherField(value, ['nodeId', 'direction']) ?? idReason(value.nodeId, 'nodeId')
  if (reason !== null) return reason
  if (!DIRECTIONS.includes(direction)) return 'direction must be out, in or both'
  return {
    type: 'GetEdges', nodeId: value.nodeId as string, direction: direction as EdgeDirection,
  }
}

function listNodes(value: Fields): Query | string {
  const { after = '', limit = LIMIT_DEFAULT } = value
  const reason = otherField(value, ['after', 'limit']) ??
    (after === '' ? null : idReason(after, 'after')) ?? limitReason(limit)
  return reason ?? { type: 'ListNodes', after: after as string, limit: limit as number }
}

function getEntries(value: Fields): Query | string {
  const { from, limit = LIMIT_DEFAULT } = value
  const reason = otherField(value, ['from', 'limit']) ?? limitReason(limit)
  if (reason !== null) return reason
  if (placeReason(from, 'from') !== null) return 'from must be a sequence: an integer of at least 1'
  return { type: 'GetEntries', from: from as number, limit: limit as number }
}

function getQuarantine(value: Fields): Query | string {
  const { after = '', limit = LIMIT_DEFAULT } = value
  const reason = otherField(value, ['after', 'limit']) ??
    (after === '' ? null : itemReason(after, 'after')) ?? limitReason(limit)
  return reason ?? { type: 'GetQuarantine', after: after as string, limit: limit as number }
}

function itemReason(value: unknown, field: string): string | null {
  const [, ...numbers] = (typeof value === 'string' && ITEM.exec(value)) || []
  return numbers.length > 0 && numbers.every((number) => Number.isSafeInteger(Number(number)))
    ? null : `${field} must be the id of an item: <epoch>-<sequence>`
}

function getFate(value: Fields): Query | string {
  const { key, epoch, sequence } = value
  const reason = otherField(value, ['key', 'epoch', 'sequence'])
  if (reason !== null) return reason
  const isPlaced = epoch !== undefined || sequence !== undefined
  if (isPlaced === (key !== undefined)) return 'GetFate takes either key, or epoch and sequence'
  if (!isPlaced) {
    const fault = keyFault(key)
    return fault === null ? { type: 'GetFate', key: key as string } : `key ${fault}`
  }
  return placeReason(epoch, 'epoch') ?? placeReason(sequence, 'sequence') ??
    { type: 'GetFate', epoch: epoch as number, sequence: sequence as number }
}

function placeReason(value: unknown, field: string): string | null {
  return Number.isSafeInteger(value) && (value as number) >= 1
    ? null : `${field} must be an integer of at least 1`
}

function limitReason(limit: unknown): string | null {
  return Number.isInteger(limit) && (limit as number) >= 1 && (limit as number) <= LIMIT_MAX
    ? null : `limit must be an integer from 1 to ${LIMIT_MAX}`
}

function otherField(value: Fields, known: readonly string[]): string | null {
  for (const field in value) {
    if (field !== 'type' && !known.includes(field)) return unknownField(field)
  }
  return null
}
