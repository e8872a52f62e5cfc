/**
 * The inspection stream: what nodes tell inspectors, version 1, as JSON (DESIGN section 6).
 *
 * | message | source → target | subject |
 * |---|---|---|
 * | start, a request; its answer | inspector → node | `engram.v1.inspect.<node>.start` |
 * | the same | inspector → all nodes | `engram.v1.inspect._all.start` |
 * | envelope | node → inspectors | `engram.v1.inspect.<node>` |
 * | envelope, with payloads | node → those that asked | `engram.v1.inspect.<node>.payloads` |
 *
 * NATS tells nobody how many subscribers there are, so an inspector announces itself, for a lease,
 * and renews that. Without a lease a node hooks nothing in and publishes nothing. A reader must
 * pass over events of a type and over fields it does not know; what changes the meaning of those
 * that it knows gets a new version, and a node refuses a start of a version above its own.
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
  /** Chosen by the inspector, and the same at each renewal. */
  inspector: z.string().min(1).max(64),
  /** 0 ends the lease at once. */
  leaseMs: z.number().int().min(0).max(leaseBounds.maxMs),
  /** Asks for the edition with payloads. */
  payloads: z.boolean().default(false),
  /** The state of all actors again: envelopes were lost. A new inspector gets it anyway. */
  present: z.boolean().default(false),
})
export type StartRequest = z.infer<typeof startRequest>

export const startAnswer = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true), version: z.number(), node: text, incarnation: count, leaseMs: count,
    subject: text,
  }),
  z.object({ ok: z.literal(false), node: text, code: text, message: text }),
])
export type StartAnswer = z.infer<typeof startAnswer>

/** A state as XState has it: `streaming`, `{ serving: { ingest: 'open' } }`. */
export type StateValue = string | { readonly [state: string]: StateValue }
const stateValue: z.ZodType<StateValue> = z.lazy(() =>
  z.union([text, z.record(z.string(), stateValue)]))

/** Of a context: numbers and words of the protocol; see summary.ts. */
const summary = z.record(z.string(), z.unknown())

/** On every event of an actor. */
const ofActor = {
  /** Id in the actor host; children of its statechart follow after a slash. */
  actor: text,
  /** Wall clock of the node. */
  atMs: z.number(),
}

/** A transition of the chart that was taken: with `source`, it names an edge of `chartOf`. */
const taken = z.object({
  /** Path of the state that defines it; the root is ''. */
  source: text,
  trigger: z.enum(['event', 'after', 'always', 'done', 'error', 'stateDone']),
  name: text,
  guard: text.nullable(),
  targets: z.array(text),
})
export type TakenTransition = z.infer<typeof taken>

/** A delay of the chart that runs. */
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
  /** null: logic without states (a callback, a promise). */
  state: stateValue.nullable(),
  /** Why it is in this state, in the words of the chart (`lastReason`). */
  reason: text.nullable(),
  summary,
  /** Delays that run; absent: none, or a node of an earlier release. */
  timers: z.array(timer).optional(),
}

export const inspectionEvent = z.discriminatedUnion('type', [
  /** A statechart, before the first actor that runs it. `definition`: its config, as JSON. */
  z.object({ type: z.literal('chart'), chart: text, definition: text }),
  /** An actor is there: born just now, or shown to a new inspector. */
  z.object({
    type: z.literal('actor'), ...ofActor, parent: text.nullable(), chart: text.nullable(), ...state,
  }),
  /** Its state or status changed, by that event. */
  z.object({
    type: z.literal('transition'), ...ofActor, from: stateValue.nullable(), event: text, ...state,
    /** In the order in which they were taken, those without an event (`always`) among them. */
    taken: z.array(taken).optional(),
  }),
  /** Events that changed no state, counted by type since the last such message. */
  z.object({
    type: z.literal('progress'), ...ofActor, counts: z.record(z.string(), count), ...state,
  }),
  z.object({
    type: z.literal('exit'), ...ofActor, kind: z.enum(['done', 'stopped', 'failed']),
  }),
  z.object({ type: z.literal('kill'), ...ofActor, reason: text }),
  z.object({
    type: z.literal('restart'), ...ofActor, attempt: count, delayMs: z.number(), error: text,
  }),
  z.object({ type: z.literal('escalation'), ...ofActor, to: text.nullable(), error: text }),
  z.object({
    type: z.literal('deadLetter'), ...ofActor, reason: text, detail: text,
    from: text.nullable(), event: text.nullable(),
  }),
  /** What this node sent to others, counted since the last such message. */
  z.object({
    type: z.literal('messages'), atMs: z.number(),
    /** Third token of the subject: wal, ack, heartbeat, survey, ping … */
    kind: text,
    space: text.nullable(),
    /** null: to all. */
    to: text.nullable(),
    count, bytes: count,
  }),
  /** A notable event was noted just now; those of before are asked for (eventService.ts). */
  z.object({ type: z.literal('recorded'), atMs: z.number(), event: recordedEvent }),
])
export type InspectionStreamEvent = z.infer<typeof inspectionEvent>

export const envelopeHead = z.object({
  version: z.literal(inspectionVersion),
  node: text,
  incarnation: count,
  /** Another one: the numbers begin anew. */
  stream: text,
  /** Grows by 1 with each envelope of the stream; a gap is a loss on the way. */
  number: count,
  /** Events that this node dropped before this envelope, since they came too fast. */
  dropped: count,
  /** Set when the events are the present state of all actors, in so many parts. */
  present: z.object({ part: count, parts: count }).nullable(),
  events: z.array(z.unknown()),
})
export type Envelope = Omit<z.infer<typeof envelopeHead>, 'events'> & {
  readonly events: readonly InspectionStreamEvent[]
}

/**
 * Reads an envelope; events of unknown types are left out.
 * @returns the envelope, or in words why it is none
 */
export function readEnvelope(data: Uint8Array | string): Envelope | string {
  let raw: unknown
  try {
    raw = JSON.parse(typeof data === 'string' ? data : Buffer.from(data).toString('utf8'))
  } catch {
    return 'an envelope is JSON'
  }
  const head = envelopeHead.safeParse(raw)
  if (!head.success) return faultOf(head.error)
  const events = head.data.events.flatMap((event) => {
    const read = inspectionEvent.safeParse(event)
    return read.success ? [read.data] : []
  })
  return { ...head.data, events }
}

/** The first fault: its field, and what is wrong with it. */
export function faultOf(error: z.ZodError): string {
  const issue = error.issues[0]
  return `${issue?.path.join('.') || 'message'}: ${issue?.message ?? 'not valid'}`
}
