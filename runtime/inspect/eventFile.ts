/**
 * File of the latest notable events of a node, kept over restarts: one JSON text per line, after a
 * line that names the format. It is written in the background. The node never waits for it and
 * works without it: an unreadable file is replaced, and a failed write is repeated later.
 */
import { open, readFile, rename, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Logger } from '../../actors/ports/system.js'
import type { RecordedEvent } from '../../machines/protocol/events.js'
import { asRecorded } from './recorded.js'

const head = '{"engramEvents":1}'
/** Size at which the file is rewritten with the events kept, which limits it to twice that. */
const rewriteBytes = 4 * 1024 * 1024
/** Larger files are not read, since they were not written here. */
const readBytesMax = 4 * rewriteBytes
/** Lines that wait for a slow disk. Beyond that the file is rewritten later. */
const waitingMax = 2_000
/** Delay after a failure, ms. */
const retryMs = 30_000
/** Time that a clean stop waits for the disk, ms. */
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
  /** True if the file lacks events that are kept. */
  private isStale: boolean
  private present: () => string[] = () => []
  private work: Promise<void> | null = null
  private notBeforeMs = -Infinity
  private isClosed = false

  private constructor(
    private readonly options: EventFileOptions,
    /** Events read from the file, oldest first. */
    readonly events: readonly RecordedEvent[],
    isWhole: boolean,
  ) {
    this.isStale = !isWhole
  }

  /** Reads the file. Never rejects. */
  static async open(options: EventFileOptions): Promise<EventFile> {
    const { path, logger } = options
    try {
      const found = await stat(path)
      const { size } = found
      if (!found.isFile()) throw new Error('it is not a file')
      if (size > readBytesMax) throw new Error(`it has ${size} bytes`)
      const { events, left } = parse(await readFile(path, 'utf8'))
      if (left > 0) {
        logger.warn({ path, lines: left }, 'some kept events cannot be read and are left out')
      }
      const file = new EventFile(options, events, left === 0)
      file.bytes = size
      return file
    } catch (error) {
      const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (!isAbsent) {
        logger.warn({ path, error: String(error) },
          'the kept events cannot be read; the file is begun anew')
      }
      return new EventFile(options, [], false)
    }
  }

  /** @param present JSON of all events kept, for a rewrite of the file */
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
      // The file's content is unknown after a failure, so it is rewritten.
      this.isStale = true
      this.waiting = []
      this.notBeforeMs = nowMs() + retryMs
      logger.warn({ path, error: String(error) },
        `events cannot be written to disk; the next attempt is in ${retryMs / 1_000} s`)
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

  /** Writes under another name first, so that a crash leaves the old file intact. */
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
  if (lines[0] !== head) throw new Error('its first line does not name the format')
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
