/**
 * Lines of a stream, split as bytes. Node's readline decodes first: it silently turns invalid UTF-8
 * into U+FFFD, and from Node 24 on it also ends a line at U+2028, which JSON allows in strings.
 */
import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'

export interface Line {
  /** Counted from 1, including empty lines. */
  readonly number: number
  /** Length of the line with its end. */
  readonly bytes: number
  /** Text without line end and byte order mark, or the reason why it cannot be read. */
  readonly text: string | { readonly fault: string }
}

/** Limit of a line: NATS servers accept messages of 1 MiB by default. */
const lineBytesMax = 1024 * 1024
const newline = 0x0a
const mark = '\ufeff'

/** Splits at LF or CR LF. Holds one line in memory. */
export async function* linesOf(stream: Readable): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let bytes = 0
  let number = 0
  for await (const chunk of stream) {
    const data = typeof chunk === 'string' ? Buffer.from(chunk) : chunk as Buffer
    for (let at = 0; at < data.length;) {
      const end = data.indexOf(newline, at)
      const rest = data.subarray(at, end < 0 ? data.length : end)
      // The rest of a line that is too long is not kept.
      if (bytes <= lineBytesMax) parts.push(rest)
      bytes += rest.length
      at += rest.length
      if (end < 0) break
      at += 1
      number += 1
      yield { number, bytes: bytes + 1, text: textOf(parts, bytes) }
      parts = []
      bytes = 0
    }
  }
  if (bytes > 0) yield { number: number + 1, bytes, text: textOf(parts, bytes) }
}

function textOf(parts: readonly Buffer[], bytes: number): Line['text'] {
  if (bytes > lineBytesMax) return { fault: `longer than ${lineBytesMax} bytes` }
  const line = Buffer.concat(parts)
  const text = line.toString('utf8')
  if (!isUtf8(line)) return { fault: `not UTF-8 from byte ${firstIllFormed(line, text) + 1} on` }
  const from = text.startsWith(mark) ? 1 : 0
  return text.slice(from, text.endsWith('\r') ? -1 : undefined)
}

/** Index of the first byte that differs from the re-encoded text. */
function firstIllFormed(line: Buffer, text: string): number {
  const again = Buffer.from(text)
  return line.findIndex((byte, index) => byte !== again[index])
}
