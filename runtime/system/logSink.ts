/**
 * Destination of log lines: a descriptor that is written in the background. The loop that keeps the
 * lease never waits for a reader of the log, and logging never throws. A line that cannot be
 * written is dropped and counted, and the count is logged once lines get through again.
 *
 * pino's own destination (sonic-boom) is not suitable. In the foreground it stops the loop on a
 * full pipe (100 ms at a time, for ever) and throws on a full disk. In the background it keeps
 * failed lines, gives up for good on the first EPIPE, and waits without a limit for its last lines.
 */
import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { isatty } from 'node:tty'

export interface LogSinkOptions {
  readonly fd: number
  /** Limit of the bytes that wait for a slow reader. Default 256 KiB. */
  readonly pendingBytesMax?: number
  /** Makes the line that says how many were dropped, with its line feed. */
  readonly notice: (lines: number) => string
  /** Writes a part of the waiting lines; default `fs.write`. */
  readonly write?: Write
}

type Write = (
  fd: number,
  data: Buffer,
  offset: number,
  done: (error: NodeJS.ErrnoException | null, bytes: number) => void,
) => void

const pendingBytesMax = 256 * 1024
/** Size of one write, so that a burst needs few of them. */
const chunkBytesMax = 64 * 1024
/** Pause before a full pipe is tried again. */
const retryMs = 50
const lineFeed = 0x0a

/** The bytes that are being written: a lead, and whole lines. */
interface Chunk {
  readonly data: Buffer
  /** Bytes before the lines: the end of a torn line, and the notice of dropped lines. */
  readonly lead: number
  /** Number of dropped lines in the notice. */
  readonly reported: number
  written: number
}

export class LogSink {
  readonly #fd: number
  readonly #bytesMax: number
  readonly #write: Write
  #lines: string[] = []
  #bytes = 0
  #chunk: Chunk | null = null
  /** The chunk waits for room in a pipe. */
  #timer: NodeJS.Timeout | null = null
  /** The last line that was begun has no end. */
  #isTorn = false
  #unreported = 0
  #waiting: (() => void)[] = []

  /** Lines dropped so far. */
  dropped = 0
  /** Called with a number of lines whenever some were dropped. */
  onDropped: (lines: number) => void = () => {}

  constructor(private readonly options: LogSinkOptions) {
    this.#fd = ownDescription(options.fd)
    this.#bytesMax = options.pendingBytesMax ?? pendingBytesMax
    this.#write = options.write ?? write
  }

  /** Takes a line with its line feed. Never throws, never waits. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#bytes + bytes > this.#bytesMax) return this.#drop(1)
    this.#lines.push(line)
    this.#bytes += bytes
    this.#pump()
  }

  /** Resolves when everything is written or dropped, or after that time. */
  async flush(withinMs: number): Promise<void> {
    if (this.#chunk === null) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve)
      timer = setTimeout(resolve, withinMs)
    })
    clearTimeout(timer)
  }

  /** For a process that ends now; lines that the descriptor does not take are lost. */
  flushNow(): void {
    const waiting = Buffer.from(this.#lines.join(''))
    this.#lines = []
    this.#bytes = 0
    // A chunk that a thread is writing now gets out before the process has ended.
    const stuck = this.#timer === null ? null : this.#chunk
    const last = stuck ? Buffer.concat([stuck.data.subarray(stuck.written), waiting]) : waiting
    try {
      if (last.length > 0) writeSync(this.#fd, last)
    } catch {
      // Nobody is there to read it.
    }
  }

  #pump(): void {
    if (this.#chunk !== null) return
    if (this.#lines.length === 0) {
      for (const resolve of this.#waiting.splice(0)) resolve()
      return
    }
    this.#chunk = this.#nextChunk()
    this.#writeOn(this.#chunk)
  }

  #nextChunk(): Chunk {
    let bytes = 0
    let count = 0
    while (count < this.#lines.length && (count === 0 || bytes < chunkBytesMax)) {
      bytes += Buffer.byteLength(this.#lines[count] ?? '')
      count += 1
    }
    const lines = this.#lines.splice(0, count)
    this.#bytes -= bytes
    const reported = this.#unreported
    this.#unreported = 0
    const lead = Buffer.from(
      (this.#isTorn ? '\n' : '') + (reported === 0 ? '' : this.options.notice(reported)),
    )
    const data = Buffer.concat([lead, Buffer.from(lines.join(''))])
    return { data, lead: lead.length, reported, written: 0 }
  }

  #writeOn(chunk: Chunk): void {
    this.#timer = null
    this.#write(this.#fd, chunk.data, chunk.written, (error, bytes) => {
      if (error?.code === 'EAGAIN' || error?.code === 'EBUSY') {
        this.#timer = setTimeout(() => this.#writeOn(chunk), retryMs)
        this.#timer.unref()
        return
      }
      if (!error) {
        chunk.written += bytes
        if (chunk.written < chunk.data.length) return this.#writeOn(chunk)
      }
      this.#over(chunk)
    })
  }

  /** Called when all of it is written, or an error kept the rest back. */
  #over({ data, lead, reported, written }: Chunk): void {
    if (written > 0) this.#isTorn = data[written - 1] !== lineFeed
    if (written < lead) this.#unreported += reported
    this.#chunk = null
    if (written < data.length) this.#drop(linesIn(data.subarray(Math.max(written, lead))))
    this.#pump()
  }

  #drop(lines: number): void {
    this.dropped += lines
    this.#unreported += lines
    this.onDropped(lines)
  }
}

function linesIn(data: Buffer): number {
  let count = 0
  for (let at = data.indexOf(lineFeed); at !== -1; at = data.indexOf(lineFeed, at + 1)) count += 1
  return count
}

/**
 * A description of this process's own, which never blocks: a thread that hangs in a write would
 * keep the process from ending. Whether the given one blocks, all processes that share it decide.
 */
function ownDescription(fd: number): number {
  try {
    if (!fstatSync(fd).isFIFO() && !isatty(fd)) return fd
    const { O_WRONLY, O_APPEND, O_NONBLOCK, O_NOCTTY } = constants
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY)
  } catch {
    return fd
  }
}
