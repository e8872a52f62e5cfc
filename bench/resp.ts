/** As much of Redis' protocol as the load needs: commands in a pipeline, replies in their order. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'

const lineEnd = Buffer.from('\r\n')

/** A command of the given words. */
export function encodeCommand(words: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)]
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, lineEnd)
  }
  return Buffer.concat(parts)
}

/** Takes the stream apart into replies: whole lines (`+OK`, `-ERR …`, `:1`), and bulk strings. */
export class ReplyReader {
  #rest: Buffer = Buffer.alloc(0)

  constructor(readonly take: (reply: Buffer) => void) {}

  push(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const end = bytes.indexOf(lineEnd, at)
      if (end === -1) break
      const line = bytes.subarray(at, end)
      // `$5`, and five bytes with a line end of their own.
      const isBulk = line[0] === 0x24
      const length = isBulk ? Number(line.subarray(1).toString()) : -1
      const next = end + 2 + (length >= 0 ? length + 2 : 0)
      if (next > bytes.length) break
      this.take(length >= 0 ? bytes.subarray(end + 2, next - 2) : line)
      at = next
    }
    this.#rest = bytes.subarray(at)
  }
}

/** One connection; what is sent in one turn of the event loop goes out in one write. */
export class RedisPipe {
  #waiting: Buffer[] = []
  readonly #socket: Socket

  private constructor(socket: Socket, take: (reply: Buffer) => void) {
    this.#socket = socket
    const reader = new ReplyReader(take)
    socket.on('data', (chunk) => reader.push(chunk))
    socket.on('error', () => undefined)
  }

  static open(port: number, take: (reply: Buffer) => void): Promise<RedisPipe> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new RedisPipe(socket, take)))
    })
  }

  send(command: Buffer): void {
    this.#waiting.push(command)
    if (this.#waiting.length > 1) return
    queueMicrotask(() => {
      this.#socket.write(Buffer.concat(this.#waiting))
      this.#waiting = []
    })
  }

  close(): void {
    this.#socket.destroy()
  }
}
