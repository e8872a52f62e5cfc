/**
 * The inspection stream from nodes to inspectors, version 1, as JSON.
 *
 * | message | source → target | subject |
 * |---|---|---|
 * | start request; its answer | inspector → node | `engram.v1.inspect.<node>.start` |
 * | the same | inspector → all nodes | `engram.v1.inspect._all.start` |
 * | envelope | node → inspectors | `engram.v1.inspect.<node>` |
 * | envelope, with payloads | node → inspectors that asked | `engram.v1.inspect.<node>.payloads` |
 *
 * NATS does not report the number of subscribers, so an inspector announces itself for a lease, and
 * renews it. Without a lease a node observes and publishes nothing. A reader must ignore types of
 * events and fields that it does not know. A change of the meaning of known ones gets a new
 * version, and a node refuses a start request of a version above its own.
 */
import { z } from 'zod'
import { subjects } from '../../machines/protocol/subjects.js'
import { recordedEvent } from './recorded.js'

export const inspectionVersion = 1

export const inspectionSubjects = {
  stream: (node: string, payloads = false) =>
    payloads ? `${subjects.inspect(node)}.payloads` : subjects.inspect(node),
  start: (node: string) => `${subjects.inspect(node)}.start`,
  startAll: `${subjects.inspect('_all')}.start`,
} as const

/** Milliseconds. An inspector renews three times within its lease. */
export const leaseBounds = { minMs: 1_000, defaultMs: 6_000, maxMs: 60_000 } as const

const text = z.string()
const count = z.number().int().nonnegative()

export const startRequest = z.object({
  version: z.number().int().positive(),
  /** Id chosen by the inspector, the same at each renewal. */
  inspector: z.string().min(1).max(64),
  /** 0 ends the lease at once. */
  leaseMs: z.number().int().min(0).max(leaseBounds.maxMs),
  /** Requests the edition with payloads. */
  payloads: z.boolean().default(false),
  /** Requests the state of all actors after a loss. A new inspector gets it anyway. */
  present: z.boolean().default(false),
})
export type StartRequest = z.infer<typeof startRequest>

export const startAnswer = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true),
    version: z.number(),
    node: text,
    incarnation: count,
    leaseMs: count,
    subject: text,
  }),
  z.object({ ok: z.literal(false), node: text, code: text, message: text }),
])
export type StartAnswer = z.infer<typeof startAnswer>

/** A state value of XState: `streaming`, `{ serving: { ingest: 'open' } }`. */
export type StateValue = string | { readonly [state: string]: StateValue }
const stateValue: z.ZodType<StateValue> = z.lazy(() =>
  z.union([text, z.record(z.string(), stateValue)])
)

/** Summary of a context: numbers and terms of the protocol (summary.ts). */
const summary = z.record(z.string(), z.unknown())

/** Fields of every event of an actor. */
const ofActor = {
  /** Id in the actor host. Children of its statechart follow after a slash. */
  actor: text,
  /** Wall clock of the node. */
  atMs: z.number(),
}

/** A transition that was taken. With `source` it names an edge of `chartOf`. */
const taken = z.object({
  /** Path of the state that defines it. '' for the root. */
  source: text,
  trigger: z.enum(['event', 'after', 'always', 'done', 'error', 'stateDone']),
  name: text,
  guard: text.nullable(),
  targets: z.array(text),
})
export type TakenTransition = z.infer<typeof taken>

/** A running delay of the chart. */
const timer = z.object({
  /** Name of the delay, or `500 ms`. */
  name: text,
  /** Path of the state that waits. */
  state: text,
  startedAtMs: z.number(),
  delayMs: z.number(),
})
export type RunningTimer = z.infer<typeof timer>

const state = {
  status: z.enum(['active', 'done', 'error', 'stopped']),
  /** null for logic without states (a callback, a promise). */
  state: stateValue.nullable(),
  /** Reason for this state, from the chart (`lastReason`). */
  reason: text.nullable(),
  summary,
  /** Running delays. Absent if none, or from a node of an earlier release. */
  timers: z.array(timer).optional(),
}

export const inspectionEvent = z.discriminatedUnion('type', [
  /** A statechart, sent before the first actor that runs it. `definition` is its config as JSON. */
  z.object({ type: z.literal('chart'), chart: text, definition: text }),
  /** An actor that has just started, or that is presented to a new inspector. */
  z.object({
    type: z.literal('actor'),
    ...ofActor,
    parent: text.nullable(),
    chart: text.nullable(),
    ...state,
  }),
  /** A change of state or status by an event. */
  z.object({
    type: z.literal('transition'),
    ...ofActor,
    from: stateValue.nullable(),
    event: text,
    ...state,
    /** In order, including those without an event (`always`). */
    taken: z.array(taken).optional(),
  }),
  /** Counts of events that changed no state, by type, since the last such message. */
  z.object({
    type: z.literal('progress'),
    ...ofActor,
    counts: z.record(z.string(), count),
    ...state,
  }),
  z.object({
    type: z.literal('exit'),
    ...ofActor,
    kind: z.enum(['done', 'stopped', 'failed']),
    /** As at its beginning. Absent from a node of an earlier release. */
    chart: text.nullable().optional(),
  }),
  z.object({ type: z.literal('kill'), ...ofActor, reason: text }),
  z.object({
    type: z.literal('restart'),
    ...ofActor,
    attempt: count,
    delayMs: z.number(),
    error: text,
  }),
  z.object({ type: z.literal('escalation'), ...ofActor, to: text.nullable(), error: text }),
  z.object({
    type: z.literal('deadLetter'),
    ...ofActor,
    reason: text,
    detail: text,
    from: text.nullable(),
    event: text.nullable(),
  }),
  /** Counts of messages to other nodes since the last such message. */
  z.object({
    type: z.literal('messages'),
    atMs: z.number(),
    /** Third token of the subject: wal, ack, heartbeat, survey, ping … */
    kind: text,
    space: text.nullable(),
    /** null for messages to all nodes. */
    to: text.nullable(),
    count,
    bytes: count,
  }),
  /** A notable event as it is recorded. Earlier ones come from eventService.ts. */
  z.object({ type: z.literal('recorded'), atMs: z.number(), event: recordedEvent }),
])
export type InspectionStreamEvent = z.infer<typeof inspectionEvent>

export const envelopeHead = z.object({
  version: z.literal(inspectionVersion),
  node: text,
  incarnation: count,
  /** Id of the stream. A new one starts its numbers anew. */
  stream: text,
  /** Grows by 1 with each envelope of the stream. A gap means that envelopes were lost. */
  number: count,
  /** Number of events dropped before this envelope because they came too fast. */
  dropped: count,
  /** Set if the events are a part of the present state of all actors. */
  present: z.object({ part: count, parts: count }).nullable(),
  events: z.array(z.unknown()),
})
export type Envelope = Omit<z.infer<typeof envelopeHead>, 'events'> & {
  readonly events: readonly InspectionStreamEvent[]
}

/**
 * Reads an envelope. Events of unknown types are left out.
 * @returns the envelope, or a message that says why it is not valid
 */
export function readEnvelope(data: Uint8Array | string): Envelope | string {
  let raw: unknown
  try {
    raw = JSON.parse(typeof data === 'string' ? data : Buffer.from(data).toString('utf8'))
  } catch {
    return 'an envelope must be JSON'
  }
  const head = envelopeHead.safeParse(raw)
  if (!head.success) return faultOf(head.error)
  const events = head.data.events.flatMap((event) => {
    const read = inspectionEvent.safeParse(event)
    return read.success ? [read.data] : []
  })
  return { ...head.data, events }
}

/** The first fault, with its field. */
export function faultOf(error: z.ZodError): string {
  const issue = error.issues[0]
  return `${issue?.path.join('.') || 'message'}: ${issue?.message ?? 'not valid'}`
}
