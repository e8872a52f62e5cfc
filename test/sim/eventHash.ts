import { crc32c } from '@node-rs/crc32'

/** Rolling hash over all that happens in a run: equal seeds and code give equal hashes. */
export class EventHash {
  /** Events that went into it. */
  events = 0
  private low = 0x811c9dc5
  private high = 0x1000193
  private readonly texts = new Map<string, number>()

  add(value: number): void {
    this.low = Math.imul(this.low ^ (value | 0), 0x01000193)
    this.high = Math.imul(this.high ^ (value + this.low | 0), 0x85ebca6b)
  }

  text(text: string): void {
    let hash = this.texts.get(text)
    if (hash === undefined) {
      hash = crc32c(text)
      if (this.texts.size < 10_000) this.texts.set(text, hash)
    }
    this.add(hash)
  }

  bytes(bytes: Uint8Array): void {
    this.add(bytes.length)
    this.add(crc32c(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)))
  }

  message(atMs: number, from: string, to: string, subject: string, data: Uint8Array): void {
    this.events += 1
    this.add(Math.round(atMs * 1e6) % 0x7fffffff)
    this.text(from)
    this.text(to)
    this.text(subject)
    this.bytes(data)
  }

  /** 16 hexadecimal digits. */
  toString(): string {
    return [this.high, this.low].map((part) => (part >>> 0).toString(16).padStart(8, '0')).join('')
  }
}
