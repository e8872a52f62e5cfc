/** A run as people read it, and as inspection events that can be replayed. */
import { controlCodec } from '../../runtime/codec/controlCodec.js'
import { createFrameCodec } from '../../runtime/codec/frames.js'
import type { ActorHostRuntime } from '../../runtime/host/index.js'
import type { VirtualClock } from '../fakes/virtualClock.js'

const control = controlCodec()
const frames = createFrameCodec()
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
    this.note(atMs, `${from} → ${to}  ${subject}  ${showBytes(subject, data)}`)
  }

  logged(atMs: number, node: string, level: string, message: string, fields: object): void {
    if (level === 'debug') return
    this.note(atMs, `${node} ${level}: ${message} ${JSON.stringify(fields)}`)
  }

  /** Every XState and host event of a node's actors. */
  watch(clock: VirtualClock, node: string, host: ActorHostRuntime): void {
    host.inspect((event, source) => {
      const data = event.type.startsWith('@xstate')
        ? xstateFields(event as unknown as Record<string, unknown>)
        : event
      this.inspection.push(JSON.stringify(
        { atMs: clock.monotonicMs(), node, actor: source.actor, ...data },
        plain,
      ))
    })
  }
}

function showBytes(subject: string, data: Uint8Array): string {
  if (data[0] === 0x7b && data.length < 600) return Buffer.from(data).toString()
  const decoded = subject.startsWith('engram.v1.ack.')
    ? control.ackMessage(data)
    : subject.startsWith('engram.v1.assignment.')
    ? control.announcement(data)
    : null
  if (decoded?.ok) return JSON.stringify(decoded.value)
  const wal = subject.startsWith('engram.v1.wal.') ? frames.decodeWal(data) : null
  if (wal === null || typeof wal === 'string') return `${data.length} bytes`
  const { session, epoch, commitSequence, endSequence } = wal.header
  const { frame } = wal
  return `session ${session} of epoch ${epoch}, commit ${commitSequence}, end ${endSequence}`
    + (frame
      ? `, ${frame.kind} ${frame.first} to ${frame.last} of epoch ${frame.epoch} after `
        + `epoch ${frame.previousEpoch}`
      : '')
}

function xstateFields(event: Record<string, unknown>): object {
  const { type, event: cause, snapshot } = event as {
    type: string
    event?: unknown
    snapshot?: { value?: unknown; status?: unknown; context?: unknown }
  }
  return {
    type,
    event: cause,
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
