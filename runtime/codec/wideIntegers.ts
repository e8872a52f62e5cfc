/**
 * Integers that a number cannot hold: JSON.parse silently changes 9007199254740993. RFC 7493
 * (I-JSON), section 2.2, has them sent as strings; here they are refused, in JSON as in
 * MessagePack. A float of that size (1e20) is a number like any other.
 */

export const WIDE_INTEGER = 'must not be an integer beyond 2^53 - 1, which would be changed: '
  + 'send a string, or a float (1e20)'

/** A reason never repeats more of a request than a line. */
const PATH_SHOWN = 160

/** `node.metadata["a b"][3]` */
export function pathOf(parts: readonly (string | number)[]): string {
  const path = parts.map((part, index) => {
    if (typeof part === 'number') return `[${part}]`
    if (!/^\w+$/.test(part)) return `[${JSON.stringify(part.slice(0, PATH_SHOWN))}]`
    return index === 0 ? part : `.${part}`
  }).join('')
  return path.length > PATH_SHOWN ? `${path.slice(0, PATH_SHOWN)}…` : path
}

interface Level {
  readonly isArray: boolean
  /** Place of the value that is being read. */
  part: string | number
  isKeyNext: boolean
}

/** An integer of that length where one may be, if this is not within a string. */
const candidate = /[:,[\s]-?[0-9]{16,}[\s,}\]]/
const token = /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*|[{}[\],:]/gs

/**
 * The first integer in metadata that would be rounded, as a fault with its path; null: there is
 * none. Slow, and only for text that JSON.parse has accepted.
 */
export function wideIntegerIn(json: string): string | null {
  if (!candidate.test(json)) return null
  const levels: Level[] = []
  for (const [text] of json.matchAll(token)) {
    const level = levels.at(-1)
    switch (text) {
      case '{':
        levels.push({ isArray: false, part: '', isKeyNext: true })
        break
      case '[':
        levels.push({ isArray: true, part: 0, isKeyNext: false })
        break
      case '}':
      case ']':
        levels.pop()
        break
      case ':':
        break
      case ',':
        if (level) next(level)
        break
      default: {
        if (level?.isKeyNext) {
          level.part = JSON.parse(text) as string
          level.isKeyNext = false
        } else if (isWide(text) && levels.some(({ part }) => part === 'metadata')) {
          return `${pathOf(levels.map(({ part }) => part))} ${WIDE_INTEGER}`
        }
      }
    }
  }
  return null
}

function next(level: Level): void {
  if (level.isArray) level.part = Number(level.part) + 1
  else level.isKeyNext = true
}

function isWide(text: string): boolean {
  return /^-?[0-9]+$/.test(text) && !Number.isSafeInteger(Number(text))
}
