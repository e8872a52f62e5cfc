/** Answers with a list, encoded item by item, so that a page can end when it is full. */
import { Encoder } from '@msgpack/msgpack'
import type { Encoding, ListEncoder, ReadAnswer } from '../../actors/ports/clientApi.js'

const encoder = new Encoder({ ignoreUndefined: true })

export function createList(encoding: Encoding): ListEncoder {
  return encoding === 'msgpack' ? new MessagePackList() : new JsonList()
}

class JsonList implements ListEncoder {
  private readonly items: string[] = []
  private readonly sizes: number[] = []
  bytes = 0

  get count(): number {
    return this.items.length
  }

  add(item: unknown): void {
    const text = JSON.stringify(item)
    // With the comma.
    const size = Buffer.byteLength(text) + 1
    this.items.push(text)
    this.sizes.push(size)
    this.bytes += size
  }

  drop(): void {
    this.items.pop()
    this.bytes -= this.sizes.pop() ?? 0
  }

  answer(rest: Omit<ReadAnswer, 'value'>): Uint8Array {
    const { ok, ...others } = rest
    const tail = JSON.stringify(others).slice(1)
    return Buffer.from(`{"ok":${ok},"value":[${this.items.join(',')}],${tail}`)
  }
}

class MessagePackList implements ListEncoder {
  private readonly items: Uint8Array[] = []
  bytes = 0

  get count(): number {
    return this.items.length
  }

  add(item: unknown): void {
    const bytes = encoder.encode(item)
    this.items.push(bytes)
    this.bytes += bytes.length
  }

  drop(): void {
    this.bytes -= this.items.pop()?.length ?? 0
  }

  answer(rest: Omit<ReadAnswer, 'value'>): Uint8Array {
    const { ok, ...others } = rest
    const fields = Object.entries(others).filter(([, value]) => value !== undefined)
    return Buffer.concat([
      // A map of up to 15 fields: these are 9 at most.
      Buffer.of(0x80 + 2 + fields.length),
      encoder.encode('ok'),
      encoder.encode(ok),
      encoder.encode('value'),
      arrayHead(this.count),
      ...this.items,
      ...fields.flatMap(([name, value]) => [encoder.encode(name), encoder.encode(value)]),
    ])
  }
}

/** Head of an array of up to 65,535 elements (msgpack/spec.md, array format family). */
function arrayHead(count: number): Buffer {
  return count < 16 ? Buffer.of(0x90 + count) : Buffer.of(0xdc, count >> 8, count & 0xff)
}
