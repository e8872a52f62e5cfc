/**
 * The floor: the least that any durable acknowledgement over NATS costs. One process that takes a
 * request, decodes it, group-commits (one write and one fdatasync at a time; whatever arrives
 * meanwhile is the next batch), and answers. No numbering rules, no replicas, no checks.
 */
import { fdatasync, openSync, write } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Msg } from 'nats'
import { startBroker } from './broker.js'
import { openConnection } from './inbox.js'
import { startScript, temporaryDirectory } from './processes.js'
import type { Target } from './target.js'

interface FloorArgument {
  readonly url: string
  readonly subject: string
  readonly file: string
}

class Floor {
  readonly #file: number
  #waiting: Msg[] = []
  #flushing = false
  #scheduled = false
  #sequence = 0

  constructor(file: string) {
    this.#file = openSync(file, 'a')
  }

  take(message: Msg): void {
    JSON.parse(Buffer.from(message.data.buffer, message.data.byteOffset, message.data.length)
      .toString('utf8'))
    this.#waiting.push(message)
    if (this.#flushing || this.#scheduled) return
    this.#scheduled = true
    // Messages that came in one read of the socket go into one batch.
    queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    if (this.#waiting.length === 0) return
    this.#flushing = true
    const batch = this.#waiting
    this.#waiting = []
    const bytes = Buffer.concat(batch.map((message) => message.data))
    write(this.#file, bytes, 0, bytes.length, null, (error, written) => {
      if (error || written !== bytes.length) fail(error)
      fdatasync(this.#file, (error) => {
        if (error) fail(error)
        this.#flushing = false
        for (const message of batch) message.respond(this.#answer())
        this.#flush()
      })
    })
  }

  /** As long as the product's answer. */
  #answer(): Buffer {
    const sequence = ++this.#sequence
    return Buffer.from(`{"ok":true,"space":"bench","epoch":1,"sequence":${sequence},"count":1,`
      + `"ack":"durable","safeSequence":${sequence},"node":"n1","duplicate":false}`)
  }
}

function fail(error: Error | null): never {
  console.error('the floor cannot write its file:', error)
  process.exit(1)
}

export async function startFloor(): Promise<Target> {
  const broker = await startBroker('floor')
  const subject = 'floor.write'
  const file = join(temporaryDirectory('floor-log'), 'log')
  const child = startScript('floor', { url: broker.url, subject, file } satisfies FloorArgument)
  await child.line(10_000)
  const stop = async (): Promise<void> => {
    await child.stop()
    await broker.stop()
  }
  return {
    name: 'floor',
    endpoint: { url: broker.url, subject, okPrefix: '{"ok":true' },
    pids: async () => ({ primary: [child.pid], broker: [broker.pid] }),
    stop,
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const argument = JSON.parse(process.argv[2] ?? '{}') as FloorArgument
  const connection = await openConnection(argument.url, 'bench floor')
  const floor = new Floor(argument.file)
  connection.subscribe(argument.subject, {
    callback: (error, message) => {
      if (!error) floor.take(message)
    },
  })
  await connection.flush()
  console.log('ready')
  await connection.closed()
  process.exit(0)
}
