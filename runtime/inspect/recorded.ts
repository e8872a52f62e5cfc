/** JSON of recorded events in a node's file, its answers and its inspection stream. */
import { z } from 'zod'
import type { NodeEventState, RecordedEvent } from '../../machines/protocol/events.js'
import { promotionReport, vacancy } from '../codec/schemas.js'

const text = z.string()
const head = { id: z.int().nonnegative(), node: text, atMs: z.number() }
const nodeStates = ['running', 'isolated', 'reconnected', 'draining', 'stopped', 'failed'] as const

export const recordedEvent: z.ZodType<RecordedEvent> = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('promoted'),
    ...head,
    promotion: promotionReport,
    inSync: z.array(text),
  }),
  z.object({
    type: z.literal('steppedDown'),
    ...head,
    space: text,
    epoch: z.number(),
    reason: text,
  }),
  z.object({
    type: z.literal('handoverBegun'),
    ...head,
    space: text,
    epoch: z.number(),
    to: text,
    reason: text,
  }),
  z.object({
    type: z.literal('notice'),
    ...head,
    space: text,
    kind: text,
    isAlert: z.boolean(),
    message: text,
    detail: z.record(text, z.unknown()),
  }),
  z.object({ type: z.literal('damaged'), ...head, space: text, reason: text }),
  z.object({
    type: z.literal('peer'),
    ...head,
    peer: text,
    state: z.enum(['gone', 'left', 'back']),
    vacancy: vacancy.nullable(),
    life: z.object({ incarnation: z.number(), connection: z.number() }).nullable(),
    reason: text,
  }),
  z.object({
    type: z.literal('node'),
    ...head,
    state: z.enum(nodeStates satisfies readonly NodeEventState[]),
    reason: text,
  }),
])

/** The recorded event. null if it is of a later release or not valid. */
export function asRecorded(value: unknown): RecordedEvent | null {
  const read = recordedEvent.safeParse(value)
  return read.success ? read.data : null
}
