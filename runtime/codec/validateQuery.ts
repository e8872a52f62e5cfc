/** Validation of queries. */
import type { Query } from '../../actors/ports/clientApi.js'
import type { EdgeDirection } from '../../actors/ports/store.js'
import { placeOfCursor } from '../../machines/graph/edgePlace.js'
import { idReason, isFields, keyFault, unknownField, type Fields } from './validateOperation.js'

export const LIMIT_DEFAULT = 100
export const LIMIT_MAX = 1000

const DIRECTIONS: readonly unknown[] = ['out', 'in', 'both']

const TYPES = 'GetNode, GetEdges, ListNodes, GetEntries, GetHistory, GetForks, GetQuarantine '
  + 'or GetFate'

/** Id of an item in the quarantine: where it was logged first. */
const ITEM = /^([1-9][0-9]{0,15})-([1-9][0-9]{0,15})$/

/** The query with its defaults filled in, or the fault found. */
export function queryOf(value: unknown): Query | string {
  if (!isFields(value)) return 'the query must be an object'
  switch (value.type) {
    case 'GetNode':
      return getNode(value)
    case 'GetEdges':
      return getEdges(value)
    case 'ListNodes':
      return listNodes(value)
    case 'GetEntries':
      return getEntries(value)
    case 'GetHistory':
      return getHistory(value)
    case 'GetForks':
      return getForks(value)
    case 'GetQuarantine':
      return getQuarantine(value)
    case 'GetFate':
      return getFate(value)
    default:
      return `type must be ${TYPES}`
  }
}

function getNode(value: Fields): Query | string {
  const reason = otherField(value, ['nodeId']) ?? idReason(value.nodeId, 'nodeId')
  return reason ?? { type: 'GetNode', nodeId: value.nodeId as string }
}

function getEdges(value: Fields): Query | string {
  const { direction = 'both', after, limit } = value
  const reason = otherField(value, ['nodeId', 'direction', 'after', 'limit'])
    ?? idReason(value.nodeId, 'nodeId') ?? (limit === undefined ? null : limitReason(limit))
  if (reason !== null) return reason
  if (!DIRECTIONS.includes(direction)) return 'direction must be out, in or both'
  if (after !== undefined && (typeof after !== 'string' || placeOfCursor(after) === null)) {
    return 'after must be that of an answer to GetEdges'
  }
  return {
    type: 'GetEdges',
    nodeId: value.nodeId as string,
    direction: direction as EdgeDirection,
    ...(after !== undefined && { after }),
    ...(limit !== undefined && { limit: limit as number }),
  }
}

function listNodes(value: Fields): Query | string {
  const { after = '', limit = LIMIT_DEFAULT } = value
  const reason = otherField(value, ['after', 'limit'])
    ?? (after === '' ? null : idReason(after, 'after')) ?? limitReason(limit)
  return reason ?? { type: 'ListNodes', after: after as string, limit: limit as number }
}

function getEntries(value: Fields): Query | string {
  const { after = 0, limit = LIMIT_DEFAULT } = value
  const { from = value.after === undefined ? undefined : 1 } = value
  const reason = otherField(value, ['from', 'after', 'limit']) ?? afterReason(after)
    ?? limitReason(limit)
  if (reason !== null) return reason
  if (placeReason(from, 'from') !== null) return 'from must be a sequence: an integer of at least 1'
  // There is no entry after the largest possible sequence.
  const next = Math.min(after as number + 1, Number.MAX_SAFE_INTEGER)
  return {
    type: 'GetEntries',
    from: Math.max(from as number, next),
    limit: limit as number,
  }
}

function getHistory(value: Fields): Query | string {
  const { after } = value
  if (after === undefined) return otherField(value, []) ?? { type: 'GetHistory' }
  const reason = otherField(value, ['after']) ?? afterReason(after)
  return reason ?? { type: 'GetHistory', after: after as number }
}

function getForks(value: Fields): Query | string {
  const { after, limit } = value
  const reason = otherField(value, ['after', 'limit'])
    ?? (after === undefined ? null : afterReason(after))
    ?? (limit === undefined ? null : limitReason(limit))
  return reason ?? {
    type: 'GetForks',
    ...(after !== undefined && { after: after as number }),
    ...(limit !== undefined && { limit: limit as number }),
  }
}

function getQuarantine(value: Fields): Query | string {
  const { after = '', limit = LIMIT_DEFAULT } = value
  const reason = otherField(value, ['after', 'limit'])
    ?? (after === '' ? null : itemReason(after, 'after')) ?? limitReason(limit)
  return reason ?? { type: 'GetQuarantine', after: after as string, limit: limit as number }
}

function itemReason(value: unknown, field: string): string | null {
  const [, ...numbers] = (typeof value === 'string' && ITEM.exec(value)) || []
  return numbers.length > 0 && numbers.every((number) => Number.isSafeInteger(Number(number)))
    ? null
    : `${field} must be the id of an item: <epoch>-<sequence>`
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
  return placeReason(epoch, 'epoch') ?? placeReason(sequence, 'sequence')
    ?? { type: 'GetFate', epoch: epoch as number, sequence: sequence as number }
}

function afterReason(after: unknown): string | null {
  return Number.isSafeInteger(after) && (after as number) >= 0
    ? null
    : 'after must be an integer of at least 0'
}

function placeReason(value: unknown, field: string): string | null {
  return Number.isSafeInteger(value) && (value as number) >= 1
    ? null
    : `${field} must be an integer of at least 1`
}

function limitReason(limit: unknown): string | null {
  return Number.isInteger(limit) && (limit as number) >= 1 && (limit as number) <= LIMIT_MAX
    ? null
    : `limit must be an integer from 1 to ${LIMIT_MAX}`
}

function otherField(value: Fields, known: readonly string[]): string | null {
  for (const field in value) {
    if (field !== 'type' && !known.includes(field)) return unknownField(field)
  }
  return null
}
