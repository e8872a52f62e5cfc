/** A run as people read it, and as inspection events that can be replayed. */
import type { VirtualClock } from '../fakes/virtualClock.js'
import type { ActorHostRuntime } from '../../runtime/host/index.js'

const quiet = /^engram\.v1\.(heartbeat|ping)\./

export class Transcript {
  readonly lines: string[] = []
  /** One JSON text per inspection event: time, node, actor, event. */
  readonly inspection: string[] = []

  note(atMs: number, text: string): void {
    this.lines.push(`${atMs.toFixed(3).padStart(10)}  ${text}`)
  }

  delivered(atMs: number, from: string, to: string, subject: string, data: Uint8Array): void {
    if (quiet.test(subject)) return
    const isText = data[0] === 0x7b && data.length < 400
    this.note(atMs, `${from} → ${to}  ${subject}  ${data.length} bytes`
      + (isText ? `  ${Buffer.from(data).toString()}` : ''))
  }

  logged(atMs: number, node: string, level: string, message: string, fields: object): void {
    if (level === 'debug') return
    this.note(atMs, `${node} ${level}: ${message} ${JSON.stringify(fields)}`)
  }

  /** Every XState and host event of a node's actors. */
  watch(clock: VirtualClock, node: string, host: ActorHostRuntime): void {
    host.inspect((event, source) => {
      const data = event.type.startsWith('@xstate')
        ? xstateFields(event as unknown as Record<string, unknown>) : event
      this.inspection.push(JSON.stringify(
        { atMs: clock.monotonicMs(), node, actor: source.actor, ...data }, plain))
    })
  }
}

function xstateFields(event: Record<string, unknown>): object {
  const { type, event: cause, snapshot } = event as {
    type: string; event?: unknown
    snapshot?: { value?: unknown; status?: unknown; context?: unknown }
  }
  return {
    type, event: cause,
    ...(snapshot ? { state: snapshot.value, status: snapshot.status } : {}),
  }
}

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (value instanceof Map) return [...value]
  if (value instanceof Set) return [...value]
  if (value instanceof Error) return String(value)
  return typeof value === 'bigint' ? String(value) : value
}
