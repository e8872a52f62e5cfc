/**
 * Failover as a client sees it: from the signal to the primary's process (kill -9, or SIGSTOP for
 * a hung one) to the first positive answer of a later epoch.
 * Alone: `node dist/bench/failover.js [rounds]`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { headers as newHeaders } from 'nats'
import type { NatsConnection } from 'nats'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { openConnection, SharedInbox, writePayload } from './inbox.js'
import { runProgram } from './processes.js'
import { median } from './table.js'

export type Fault = 'kill' | 'pause'

export interface FailoverResult {
  readonly fault: Fault
  readonly rounds: number
  readonly medianMs: number
  readonly maxMs: number
  readonly timesMs: readonly number[]
}

/** A new write at this interval, each with a key of its own: several are out at any time. */
const probeEveryMs = 5
const giveUpMs = 15_000
/** Lets heartbeats and the in-sync set settle, as in a cluster that has run for a while. */
const settleMs = 300

/** Writes all the time, and notes when an epoch later than a given one answers. */
class Prober {
  readonly #inbox: SharedInbox
  readonly #timer: NodeJS.Timeout
  readonly #watchers = new Set<(epoch: number, at: number) => void>()
  #sent = 0

  constructor(connection: NatsConnection, subject: string) {
    this.#inbox = new SharedInbox(connection, (_id, body) => {
      if (body) this.#answered(body)
    })
    this.#timer = setInterval(() => {
      const id = this.#sent++
      const headers = newHeaders()
      headers.set('Nats-Msg-Id', `probe-${process.pid}-${id}`)
      this.#inbox.publish(subject, writePayload(id), id, headers)
    }, probeEveryMs)
  }

  /** Time of the first positive answer of a later epoch. */
  laterThan(epoch: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        this.#watchers.delete(watch)
        reject(new Error(`no positive answer of an epoch later than ${epoch} in ${giveUpMs} ms`))
      }, giveUpMs)
      const watch = (answered: number, at: number): void => {
        if (answered <= epoch) return
        clearTimeout(limit)
        this.#watchers.delete(watch)
        resolve(at)
      }
      this.#watchers.add(watch)
    })
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #answered(body: Uint8Array): void {
    const at = performance.now()
    const answer = JSON.parse(Buffer.from(body).toString()) as { ok?: boolean; epoch?: number }
    if (answer.ok !== true || answer.epoch === undefined) return
    for (const watch of this.#watchers) watch(answer.epoch, at)
  }
}

export async function measureFailover(
  cluster: EngramCluster,
  fault: Fault,
  rounds: number,
  onRound?: (ms: number) => void,
): Promise<FailoverResult> {
  const connection = await openConnection(cluster.url, 'bench failover')
  const prober = new Prober(connection, cluster.target.endpoint.subject)
  const times: number[] = []
  try {
    for (let round = 0; round < rounds; round++) {
      const ms = await oneFailover(cluster, prober, fault)
      times.push(Math.round(ms))
      onRound?.(ms)
    }
  } finally {
    prober.stop()
    await connection.close()
  }
  return {
    fault,
    rounds,
    medianMs: median(times),
    maxMs: Math.max(0, ...times),
    timesMs: times,
  }
}

async function oneFailover(
  cluster: EngramCluster,
  prober: Prober,
  fault: Fault,
): Promise<number> {
  await cluster.awaitInSync()
  await delay(settleMs)
  const { primary, epoch } = await cluster.awaitInSync()
  const answered = prober.laterThan(epoch)
  const at = fault === 'kill' ? cluster.kill(primary) : cluster.pause(primary)
  try {
    return await answered - at
  } finally {
    if (fault === 'kill') await cluster.restart(primary)
    else cluster.resume(primary)
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runProgram(async () => {
    const rounds = Number(process.argv[2] ?? 20)
    const cluster = await startEngram('bench')
    for (const fault of ['kill', 'pause'] as const) {
      const result = await measureFailover(cluster, fault, rounds, (ms) => {
        console.error(`${fault}: ${ms.toFixed(0)} ms`)
      })
      console.log(JSON.stringify(result))
    }
    await cluster.stop()
    return 0
  })
}
