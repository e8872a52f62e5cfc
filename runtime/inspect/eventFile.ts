/**
 * The last notable events of a node, over its restarts: one JSON text per line, after a line that
 * names the format. Written in the background, never waited for, and never missed by the node: a
 * file that cannot be read is begun anew, one that cannot be written is tried again later.
 */
import { open, readFile, rename, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Logger } from '../../actors/ports/system.js'
import type { RecordedEvent } from '../../machines/protocol/events.js'
import { asRecorded } from './recorded.js'

const head = '{"engramEvents":1}'
/** Past this the file is written anew, with what is kept: its size stays below twice that. */
const rewriteBytes = 4 * 1024 * 1024
/** A larger one is not of this making. */
const readBytesMax = 4 * rewriteBytes
/** Lines that wait for a disk that hangs; more, and the file is written anew after that. */
const waitingMax = 2_000
/** After a failure, ms. */
const retryMs = 30_000
/** A clean stop waits at most so long for the disk, ms. */
const closeMs = 500

export interface EventFileOptions {
  readonly path: string
  readonly logger: Logger
  /** Monotonic clock, ms. */
  readonly nowMs: () => number
}

export class EventFile {
  private handle: FileHandle | null = null
  private bytes = 0
  private waiting: string[] = []
  /** What is on the disk is not what is kept. */
  private isStale: boolean
  private present: () => string[] = () => []
  private work: Promise<void> | null = null
  private notBeforeMs = -Infinity
  private isClosed = false

  private constructor(
    private readonly options: EventFileOptions,
    /** That were read, oldest first. */
    readonly events: readonly RecordedEvent[],
    isWhole: boolean,
  ) {
    this.isStale = !isWhole
  }

  /** Reads what there is. Never rejects. */
  static async open(options: EventFileOptions): Promise<EventFile> {
    const { path, logger } = options
    try {
      const found = await stat(path)
      const { size } = found
      if (!found.isFile()) throw new Error('it is no file')
      if (size > readBytesMax) throw new Error(`it has ${size} bytes`)
      const { events, left } = parse(await readFile(path, 'utf8'))
      if (left > 0) {
        logger.warn({ path, lines: left },
          'some of the events that were kept cannot be read: they are left out')
      }
      const file = new EventFile(options, events, left === 0)
      file.bytes = size
      return file
    } catch (error) {
      const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (!isAbsent) {
        logger.warn({ path, error: String(error) },
          'the events that were kept cannot be read: they are kept anew from now on')
      }
      return new EventFile(options, [], false)
    }
  }

  /** @param present JSON of all that is kept, for a file that is written anew */
  begin(present: () => string[]): void {
    this.present = present
  }

  /** Returns at once. */
  append(text: string): void {
    if (this.isClosed) return
    if (this.waiting.length < waitingMax) this.waiting.push(text)
    else this.isStale = true
    if (this.work === null && this.options.nowMs() >= this.notBeforeMs) this.start()
  }

  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    if (this.work === null && this.waiting.length > 0) this.start()
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeMs)
    })
    await Promise.race([this.work?.then(() => this.handle?.close()) ?? this.handle?.close(),
      patience]).catch(() => undefined)
    clearTimeout(timer)
  }

  private start(): void {
    this.work = this.write().catch((error: unknown) => {
      const { logger, path, nowMs } = this.options
      // Of what was begun nothing is known: all of it is written anew.
      this.isStale = true
      this.waiting = []
      this.notBeforeMs = nowMs() + retryMs
      logger.warn({ path, error: String(error) },
        `notable events cannot be kept on disk; tried again in ${retryMs / 1_000} s`)
    }).finally(() => {
      this.work = null
    })
  }

  private async write(): Promise<void> {
    while (this.waiting.length > 0) {
      if (this.isStale || this.bytes > rewriteBytes) await this.rewrite()
      else await this.extend()
    }
  }

  private async extend(): Promise<void> {
    const lines = `${this.waiting.join('\n')}\n`
    this.waiting = []
    this.handle ??= await open(this.options.path, 'a', 0o600)
    await this.handle.appendFile(lines)
    this.bytes += Buffer.byteLength(lines)
  }

  /** Under another name first: who dies meanwhile keeps what there was. */
  private async rewrite(): Promise<void> {
    const { path } = this.options
    await this.handle?.close()
    this.handle = null
    this.isStale = false
    this.waiting = []
    const text = `${[head, ...this.present()].join('\n')}\n`
    const next = await open(`${path}.tmp`, 'w', 0o600)
    try {
      await next.writeFile(text)
    } finally {
      await next.close()
    }
    await rename(`${path}.tmp`, path)
    this.bytes = Buffer.byteLength(text)
  }
}

/** The last line may have been cut off when the process died. */
function parse(text: string): { events: RecordedEvent[]; left: number } {
  const lines = text.split('\n')
  const last = lines.pop() ?? ''
  if (lines[0] !== head) throw new Error('its first line is none of such a file')
  const events: RecordedEvent[] = []
  for (const line of lines.slice(1)) {
    const event = asRecorded(parseLine(line))
    if (event !== null) events.push(event)
  }
  const isTorn = last !== ''
  return { events, left: lines.length - 1 - events.length + (isTorn ? 1 : 0) }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
