/**
 * Rules for the values of client requests. Every check returns the fault found, beginning with the
 * path of the field, or null.
 *
 * Written by hand: a StoreNode with an embedding of 8 takes 0.5 µs here, and 3.5 µs with zod. At
 * 50,000 writes a second the difference is a seventh of a core.
 */

export const ID_BYTES_MAX = 256
export const CONTENT_BYTES_MAX = 64 * 1024
export const EMBEDDING_NUMBERS_MAX = 4096
export const METADATA_BYTES_MAX = 16 * 1024
export const METADATA_DEPTH_MAX = 8
export const KEY_BYTES_MAX = 256

/** ASCII without control characters. */
const PRINTABLE = /^[\x20-\x7e]+$/

/** Longest UTF-8 of one UTF-16 unit, and longest JSON of one (an escape such as \u001f). */
const UTF8_FACTOR = 3
const JSON_FACTOR = 6
/** Longest JSON of a number (-1.2345678901234567e-300) or a word. */
const JSON_NUMBER_BYTES = 25
const NAME_SHOWN = 64
const MAX_SAFE = Number.MAX_SAFE_INTEGER

export type Fields = { readonly [field: string]: unknown }

// Node has it since version 20, but TypeScript's ES2023 library has not.
interface WellFormed {
  isWellFormed(): boolean
}

export function isWellFormed(text: string): boolean {
  return (text as unknown as WellFormed).isWellFormed()
}

/** An object as the decoders make it: not an array, Date, bytes or an extension. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
    && Object.getPrototypeOf(value) === Object.prototype
}

export function unknownField(field: string): string {
  const shown = field.length <= NAME_SHOWN ? field : `${field.slice(0, NAME_SHOWN)}…`
  return /^[A-Za-z0-9_]+$/.test(field) && field.length <= NAME_SHOWN
    ? `${field} is not a known field`
    : `${JSON.stringify(shown)} is not a known field`
}

/** Why a value, decoded or plain, is not an operation that the log may hold, or null. */
export function operationFault(value: unknown): string | null {
  return operationReason(value, '')
}

/** Rules of idempotency keys, which NATS carries in a header: the same bytes in every parser. */
export function keyFault(key: unknown): string | null {
  return typeof key === 'string' && key.length <= KEY_BYTES_MAX && PRINTABLE.test(key)
    ? null
    : `must have 1 to ${KEY_BYTES_MAX} printable ASCII characters`
}

/** The operation at `path` ('' for a request of one). */
export function operationReason(operation: unknown, path: string): string | null {
  if (!isFields(operation)) return `${path === '' ? 'the operation' : path} must be an object`
  const reason = fieldsReason(operation)
  return reason === null || path === '' ? reason : `${path}.${reason}`
}

function fieldsReason(operation: Fields): string | null {
  switch (operation.type) {
    case 'StoreNode':
      return partReason(operation, 'node', nodeReason)
    case 'StoreEdge':
      return partReason(operation, 'edge', edgeReason)
    case 'UpdateActivation':
      return activationReason(operation)
    default:
      return 'type must be StoreNode, UpdateActivation or StoreEdge'
  }
}

function partReason(
  operation: Fields,
  part: 'node' | 'edge',
  check: (value: Fields) => string | null,
): string | null {
  for (const field in operation) {
    if (field !== 'type' && field !== part) return unknownField(field)
  }
  const value = operation[part]
  if (!isFields(value)) return `${part} must be an object`
  const reason = check(value)
  return reason === null ? null : `${part}.${reason}`
}

function activationReason(operation: Fields): string | null {
  for (const field in operation) {
    if (field !== 'type' && field !== 'nodeId' && field !== 'activation') {
      return unknownField(field)
    }
  }
  return idReason(operation.nodeId, 'nodeId') ?? unitReason(operation.activation, 'activation')
}

function nodeReason(node: Fields): string | null {
  for (const field in node) {
    const value = node[field]
    let reason: string | null
    switch (field) {
      case 'id':
        reason = null
        break
      case 'content':
        reason = contentReason(value)
        break
      case 'activation':
      case 'confidence':
        reason = unitReason(value, field)
        break
      case 'embedding':
        reason = embeddingReason(value)
        break
      case 'metadata':
        reason = metadataReason(value)
        break
      default:
        return unknownField(field)
    }
    if (reason !== null) return reason
  }
  return idReason(node.id, 'id')
}

function edgeReason(edge: Fields): string | null {
  for (const field in edge) {
    switch (field) {
      case 'source':
      case 'target':
      case 'kind':
        break
      case 'weight': {
        const reason = unitReason(edge.weight, 'weight')
        if (reason !== null) return reason
        break
      }
      default:
        return unknownField(field)
    }
  }
  return idReason(edge.source, 'source') ?? idReason(edge.target, 'target')
    ?? idReason(edge.kind, 'kind')
}

/** Also for the kind of an edge, and for the node that a query names. */
export function idReason(value: unknown, field: string): string | null {
  if (typeof value !== 'string' || value.length === 0 || exceeds(value, ID_BYTES_MAX)) {
    return `${field} must be a string of 1 to ${ID_BYTES_MAX} bytes`
  }
  return isWellFormed(value) ? null : `${field} must be well-formed Unicode`
}

function contentReason(value: unknown): string | null {
  if (typeof value !== 'string' || exceeds(value, CONTENT_BYTES_MAX)) {
    return `content must be a string of at most ${CONTENT_BYTES_MAX} bytes`
  }
  return isWellFormed(value) ? null : 'content must be well-formed Unicode'
}

function exceeds(text: string, bytesMax: number): boolean {
  if (text.length * UTF8_FACTOR <= bytesMax) return false
  return text.length > bytesMax || Buffer.byteLength(text) > bytesMax
}

function unitReason(value: unknown, field: string): string | null {
  return typeof value === 'number' && value >= 0 && value <= 1
    ? null
    : `${field} must be a finite number in [0, 1]`
}

function embeddingReason(value: unknown): string | null {
  if (!Array.isArray(value) || value.length > EMBEDDING_NUMBERS_MAX) {
    return `embedding must be an array of at most ${EMBEDDING_NUMBERS_MAX} numbers`
  }
  for (let index = 0; index < value.length; index += 1) {
    if (!Number.isFinite(value[index])) return `embedding[${index}] must be a finite number`
  }
  return null
}

function metadataReason(value: unknown): string | null {
  if (!isFields(value)) return 'metadata must be an object'
  const walk = new MetadataWalk()
  const reason = walk.object(value, 1)
  if (reason !== null) return reason
  // The bound usually suffices; only otherwise is the metadata written as JSON to be measured.
  if (walk.bytesBound > METADATA_BYTES_MAX
    && Buffer.byteLength(JSON.stringify(value)) > METADATA_BYTES_MAX)
  {
    return `metadata must have at most ${METADATA_BYTES_MAX} bytes as JSON`
  }
  return null
}

/**
 * Number of values in metadata beyond the safe integers, ever. If it grew, the JSON text has to be
 * searched, to distinguish a float from a rounded integer.
 */
export const metadataSeen = { wideNumbers: 0 }

class MetadataWalk {
  /** Upper bound of the bytes of the walked values, as JSON. */
  bytesBound = 0

  object(fields: Fields, depth: number): string | null {
    this.bytesBound += 2
    for (const key in fields) {
      if (key === '__proto__') return 'metadata must not have a key __proto__'
      if (!isWellFormed(key)) return 'metadata keys must be well-formed Unicode'
      this.bytesBound += key.length * JSON_FACTOR + 4
      const reason = this.value(fields[key], depth)
      if (reason !== null) return reason
    }
    return null
  }

  private value(value: unknown, depth: number): string | null {
    switch (typeof value) {
      case 'string':
        this.bytesBound += value.length * JSON_FACTOR + 2
        return isWellFormed(value) ? null : 'metadata must be well-formed Unicode'
      case 'number':
        this.bytesBound += JSON_NUMBER_BYTES
        if (value > MAX_SAFE || value < -MAX_SAFE) metadataSeen.wideNumbers += 1
        return Number.isFinite(value) ? null : 'metadata must have finite numbers only'
      case 'boolean':
        this.bytesBound += JSON_NUMBER_BYTES
        return null
      case 'object':
        return value === null ? this.none() : this.container(value, depth + 1)
      default:
        return NOT_JSON
    }
  }

  private none(): null {
    this.bytesBound += JSON_NUMBER_BYTES
    return null
  }

  private container(value: object, depth: number): string | null {
    if (depth > METADATA_DEPTH_MAX) {
      return `metadata must not be nested deeper than ${METADATA_DEPTH_MAX} levels`
    }
    if (!Array.isArray(value)) return isFields(value) ? this.object(value, depth) : NOT_JSON
    this.bytesBound += 2 + value.length
    for (let index = 0; index < value.length; index += 1) {
      const reason = this.value(value[index], depth)
      if (reason !== null) return reason
    }
    return null
  }
}

const NOT_JSON = 'metadata must be plain JSON: no binary, date or extension values'
