/** Headers of requests: their names, and why a header block is refused. */
import type { BusMessage } from '../ports/bus.js'

/** Set on a write that the former primary forwards, and on the mark of their end. */
export const forwardedHeader = 'Engram-Forwarded'

/** Headers of a write. `Content-Type` is read too, in this spelling only, and is optional. */
export const writeHeaders = [
  'Nats-Msg-Id',
  'Engram-Ack',
  'Engram-Epoch',
  'Engram-Origin',
  forwardedHeader,
] as const

/** Headers of a read. */
export const readHeaders = [
  'Engram-Min-Sequence',
  'Engram-Max-Staleness-Ms',
  'Engram-Read',
] as const

/**
 * Returns why the headers of a request are refused, or null. A name that is misspelt, in another
 * case or given twice would be overlooked, and with it an idempotency key or an ack level.
 */
export function headerFault(message: BusMessage, known: readonly string[]): string | null {
  const names = message.headerNames()
  if (names === null) {
    return 'the header block is malformed: each line must be "Name: value" and end with CR LF'
  }
  for (let index = 0; index < names.length; index += 1) {
    const name = names[index]!
    if (known.includes(name)) {
      if (names.includes(name, index + 1)) return `the header ${name} is given twice`
      continue
    }
    const lower = name.toLowerCase()
    const meant = known.find((one) => one.toLowerCase() === lower)
    if (meant) return `the header ${shown(name)} must be spelt ${meant}`
    if (lower.startsWith('engram-')) {
      return `unknown header ${shown(name)}; this request may have `
        + known.filter(isPublic).join(', ')
    }
  }
  return null
}

/**
 * Returns an upper bound of the bytes of strings kept of a message: its reply subject, and the
 * values of these headers. A header may be as long as a message.
 */
export function keptBytes(
  message: Pick<BusMessage, 'reply' | 'header'>,
  names: readonly string[] = [],
): number {
  let chars = message.reply?.length ?? 0
  for (const name of names) chars += message.header(name)?.length ?? 0
  return 2 * chars
}

function isPublic(name: string): boolean {
  return name !== forwardedHeader
}

function shown(name: string): string {
  return name.length <= 80 ? name : `${name.slice(0, 79)}…`
}
