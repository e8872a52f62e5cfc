/** Decodes the bytes of a request, in the encoding that its sender chose. */
import { isUtf8 } from 'node:buffer'
import { Decoder } from '@msgpack/msgpack'
import type { Encoding } from '../../actors/ports/clientApi.js'
import { messageOf } from '../../machines/base/thrown.js'
import { textOf } from './operation.js'
import { scanMessagePack } from './scanMessagePack.js'
import { wideIntegerIn } from './wideIntegers.js'

const decoder = new Decoder()

const REASON_LENGTH_MAX = 200

/**
 * By Content-Type (without parameters) if it names an encoding; else by the first byte: that of a
 * map or an array of MessagePack begins no JSON text. Anything else is answered in JSON.
 */
export function encodingOf(data: Uint8Array, contentType: string | undefined): Encoding {
  if (contentType !== undefined) {
    const named = encodingNamed(contentType)
    if (named !== undefined) return named
  }
  const first = data[0] ?? 0
  const isMessagePack = (first >= 0x80 && first <= 0x9f) || (first >= 0xdc && first <= 0xdf)
  return isMessagePack ? 'msgpack' : 'json'
}

/** Whether the request is declared as MessagePack, whatever it holds. */
export function isDeclaredMessagePack(contentType: string | undefined): boolean {
  return contentType !== undefined && encodingNamed(contentType) === 'msgpack'
}

function encodingNamed(contentType: string): Encoding | undefined {
  switch (contentType) {
    case 'application/json':
      return 'json'
    case 'application/msgpack':
    case 'application/x-msgpack':
      return 'msgpack'
  }
  const bare = contentType.split(';', 1)[0]!.trim().toLowerCase()
  return bare === contentType ? undefined : encodingNamed(bare)
}

/** Removes the byte order mark that some JSON writers put first. */
export function withoutMark(data: Uint8Array): Uint8Array {
  const marked = data[0] === 0xef && data[1] === 0xbb && data[2] === 0xbf
  return marked ? data.subarray(3) : data
}

/** For JSON in whose metadata numbers that large were seen; null: no number is changed. */
export function roundedReason(bytes: Uint8Array): string | null {
  return wideIntegerIn(textOf(bytes))
}

/** The value, or the fault found. Decoding the same bytes again gives an equal value. */
export function decodeRequest(
  data: Uint8Array,
  encoding: Encoding,
): { readonly value: unknown } | { readonly reason: string } {
  if (encoding === 'json') {
    if (!isUtf8(data)) return { reason: 'not valid JSON: the text is not UTF-8' }
    try {
      return { value: JSON.parse(textOf(data)) as unknown }
    } catch (error) {
      return { reason: `not valid JSON: ${short(error)}` }
    }
  }
  const reason = scanMessagePack(data)
  if (reason !== null) return { reason }
  try {
    return { value: decoder.decode(data) }
  } catch (error) {
    return { reason: `not valid MessagePack: ${short(error)}` }
  }
}

/** A decoder's message may quote the request: it is cut to one line. */
export function short(error: unknown): string {
  const message = messageOf(error)
  return message.length <= REASON_LENGTH_MAX ? message : `${message.slice(0, REASON_LENGTH_MAX)}…`
}
