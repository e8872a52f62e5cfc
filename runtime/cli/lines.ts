/**
 * Lines of a stream as their bytes. Node's readline decodes them, which makes U+FFFD of what is
 * not UTF-8 without a word, and from Node 24 on ends a line at U+2028 too, which JSON has within
 * strings.
 */
import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'

export interface Line {
  /** From 1 on; empty lines count. */
  readonly number: number
  /** Of the line and its end. */
  readonly bytes: number
  /** Without its end and a byte order mark; or why it cannot be read. */
  readonly text: string | { readonly fault: string }
}

/** No request takes more: NATS servers take messages of 1 MiB as a rule. */
const lineBytesMax = 1024 * 1024
const newline = 0x0a
const mark = '\ufeff'

/** Splits at LF; a CR before it goes as well. Holds one line at a time. */
export async function* linesOf(stream: Readable): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let bytes = 0
  let number = 0
  for await (const chunk of stream) {
    const data = typeof chunk === 'string' ? Buffer.from(chunk) : chunk as Buffer
    for (let at = 0; at < data.length;) {
      const end = data.indexOf(newline, at)
      const rest = data.subarray(at, end < 0 ? data.length : end)
      // What is too long to be read is not kept either.
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

/** Where the bytes differ from those of the text that was made of them. */
function firstIllFormed(line: Buffer, text: string): number {
  const again = Buffer.from(text)
  return line.findIndex((byte, index) => byte !== again[index])
}
