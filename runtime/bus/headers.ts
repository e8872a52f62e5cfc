/**
 * Reads a header block in place. The nats package makes a map of arrays of every block, which costs
 * several times as much as everything else that a short write's headers need.
 */
import type { Msg } from 'nats'

const CR = 0x0d
const LF = 0x0a
const SPACE = 0x20
const COLON = 0x3a
const TILDE = 0x7e
const first = Buffer.from('NATS/1.0\r\n')

/**
 * Fields of a plain block: no status, whole lines, visible ASCII and spaces. The package reads all
 * other blocks, so that there is one interpretation of odd ones.
 */
export class PlainHeaders {
  /** Per field: where its name begins, its colon, and where its value ends. */
  private readonly places: number[] = []

  private constructor(private readonly block: Buffer) {}

  /** null: not plain. */
  static read(block: Buffer): PlainHeaders | null {
    for (let at = 0; at < first.length; at += 1) if (block[at] !== first[at]) return null
    const headers = new PlainHeaders(block)
    let at = first.length
    while (block[at] !== CR) {
      at = headers.line(at)
      if (at === 0) return null
    }
    return block[at + 1] === LF && at + 2 === block.length ? headers : null
  }

  /** Value of the first field of exactly that name. */
  get(name: string): string | undefined {
    const { block, places } = this
    for (let field = 0; field < places.length; field += 3) {
      const start = places[field]!
      let from = places[field + 1]!
      if (from - start !== name.length || !this.is(name, start)) continue
      let to = places[field + 2]!
      from += 1
      while (from < to && block[from] === SPACE) from += 1
      while (to > from && block[to - 1] === SPACE) to -= 1
      return block.toString('latin1', from, to)
    }
    return undefined
  }

  /** As written, each as often as it occurs. */
  names(): string[] {
    const { block, places } = this
    const names: string[] = []
    for (let field = 0; field < places.length; field += 3) {
      names.push(block.toString('latin1', places[field]!, places[field + 1]!))
    }
    return names
  }

  private is(name: string, start: number): boolean {
    const { block } = this
    for (let at = 0; at < name.length; at += 1) {
      if (block[start + at] !== name.charCodeAt(at)) return false
    }
    return true
  }

  /** Start of the next line; 0: not plain. */
  private line(start: number): number {
    const { block } = this
    let at = start
    let byte = block[at]!
    while (byte !== COLON && byte > SPACE && byte <= TILDE) byte = block[at += 1]!
    // Past the end, `byte` is undefined, and no comparison holds.
    if (byte !== COLON || at === start) return 0
    const colon = at
    byte = block[at += 1]!
    while (byte >= SPACE && byte <= TILDE) byte = block[at += 1]!
    if (byte !== CR || block[at + 1] !== LF) return 0
    this.places.push(start, colon, at)
    return at + 2
  }
}

const wholeBlock = /^NATS\/1\.0(?: [^\r\n\0]*)?\r\n(?:[!-9;-~]+:[^\r\n\0]*\r\n)*\r\n$/

/**
 * Names of the fields of any block, or null when it is malformed. A bare line feed, for example, is
 * one line for one parser and two for another, and the second is overlooked.
 */
export function namesIn(block: Buffer): string[] | null {
  const text = block.toString('latin1')
  if (!wholeBlock.test(text)) return null
  return text.split('\r\n').slice(1, -2).map((line) => line.slice(0, line.indexOf(':')))
}

/**
 * The header block of a message: empty if it has none, undefined if the package does not give
 * access (the member is not public; the version of the package is pinned).
 */
export function blockOf(message: Msg): Buffer | undefined {
  const { _msg, _rdata } = message as { _msg?: { hdr?: unknown }; _rdata?: unknown }
  const length = _msg?.hdr
  if (typeof length !== 'number' || !(_rdata instanceof Uint8Array)) return undefined
  return length <= 0 ? none : Buffer.from(_rdata.buffer, _rdata.byteOffset, length)
}

const none = Buffer.alloc(0)
