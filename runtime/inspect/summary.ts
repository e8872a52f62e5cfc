/**
 * Summary of an actor's context for inspectors: numbers, booleans, and terms of the protocol.
 * Contents of memories are left out. A text is shown only if its key is known to hold a node, a
 * space, a state or a reason. Any other text is shown by its length.
 */

/** Keys whose texts are names, states and reasons. */
const openKeys: ReadonlySet<string> = new Set([
  'reason',
  'lastReason',
  'node',
  'self',
  'peer',
  'space',
  'primary',
  'candidate',
  'writer',
  'to',
  'from',
  'target',
  'handedTo',
  'handoverTo',
  'members',
  'inSync',
  'nodes',
  'kind',
  'code',
  'state',
  'status',
  'role',
  'vacancy',
  'ack',
  'server',
  'ownServer',
  'type',
  'journalFault',
  'damage',
  'better',
  'survivors',
  'proposed',
  'missing',
  'silent',
])

const limits = { text: 300, payloadText: 2_048, depth: 4, payloadDepth: 5, items: 32 } as const

/** A flat summary of a context or event: at most 32 fields, each bounded. Never throws. */
export function summaryOf(value: unknown, payloads = false): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return {}
  try {
    return fields(value, payloads, payloads ? limits.payloadDepth : limits.depth)
  } catch {
    // A getter of a context threw.
    return {}
  }
}

function fields(value: object, payloads: boolean, depth: number): Record<string, unknown> {
  const shown: Record<string, unknown> = {}
  for (const [key, field] of Object.entries(value).slice(0, limits.items)) {
    const item = show(key, field, payloads, depth - 1)
    if (item !== undefined) shown[key] = item
  }
  return shown
}

function show(key: string, value: unknown, payloads: boolean, depth: number): unknown {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'boolean':
      return value
    case 'bigint':
      return String(value)
    case 'string':
      return showText(key, value, payloads)
    case 'object':
      return value === null ? null : showObject(key, value, payloads, depth)
    default:
      return undefined
  }
}

function showText(key: string, text: string, payloads: boolean): string {
  if (payloads) return text.slice(0, limits.payloadText)
  return openKeys.has(key) ? text.slice(0, limits.text) : `(${text.length} characters)`
}

function showObject(key: string, value: object, payloads: boolean, depth: number): unknown {
  if (ArrayBuffer.isView(value)) return `(${value.byteLength} bytes)`
  if (value instanceof Map || value instanceof Set) return `(${value.size} items)`
  if (value instanceof Error) return showText('reason', value.message, payloads)
  if (depth <= 0) return Array.isArray(value) ? `(${value.length} items)` : '(object)'
  if (!Array.isArray(value)) return fields(value, payloads, depth)
  if (value.length > limits.items) return `(${value.length} items)`
  return value.map((item) => show(key, item, payloads, depth - 1) ?? null)
}
