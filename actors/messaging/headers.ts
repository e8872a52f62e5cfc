/** Headers of requests: which there are, and why a block of them is refused. */
import type { BusMessage } from '../ports/bus.js'

/** Set on a write that the former primary passes on, and on the last of them. */
export const forwardedHeader = 'Engram-Forwarded'

/** Of a write; `Content-Type` is read, too, in this spelling only, and does without it. */
export const writeHeaders = [
  'Nats-Msg-Id', 'Engram-Ack', 'Engram-Epoch', 'Engram-Origin', forwardedHeader,
] as const

/** Of a read. */
export const readHeaders = [
  'Engram-Min-Sequence', 'Engram-Max-Staleness-Ms', 'Engram-Read',
] as const

/**
 * Why the headers of a request are not what its sender means, or null: a name that is misspelt, in
 * another case or there twice would be overlooked, and with it an idempotency key or an ack level.
 */
export function headerFault(message: BusMessage, known: readonly string[]): string | null {
  const names = message.headerNames()
  if (names === null) return 'the header block is malformed: its lines are "Name: value" and CR LF'
  for (let index = 0; index < names.length; index += 1) {
    const name = names[index]!
    if (known.includes(name)) {
      if (names.includes(name, index + 1)) return `the header ${name} is there twice`
      continue
    }
    const lower = name.toLowerCase()
    const meant = known.find((one) => one.toLowerCase() === lower)
    if (meant) return `the header ${shown(name)} is spelt ${meant}`
    if (lower.startsWith('engram-')) {
      return `${shown(name)} is no header here; there are ${known.filter(isPublic).join(', ')}`
    }
  }
  return null
}

/**
 * Bytes that the strings kept of a message take, at most: its reply subject, and the values of
 * these headers. A header may be as long as a message.
 */
export function keptBytes(
  message: Pick<BusMessage, 'reply' | 'header'>, names: readonly string[] = [],
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
