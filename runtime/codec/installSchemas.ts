/** Shapes of the messages by which a member is installed. */
import { z } from 'zod'
import { chunkBytesMax } from '../../machines/protocol/installMessages.js'
import type { CheckpointAnswer, CheckpointRequest, InstallAnswer,
  InstallReport } from '../../machines/protocol/installMessages.js'
import { count, name, position, reason } from './basicSchemas.js'

export const install: z.ZodType<InstallReport> = z.object({
  kind: z.literal('install'),
  version: z.literal(1),
  space: name,
  uuid: name,
  node: name,
  epoch: count,
  session: count,
  number: count,
  phase: z.enum(['salvaging', 'asking', 'pulling', 'verifying', 'switching']),
  source: name.nullable(),
  checkpoint: z.object({ id: name, position }).nullable(),
  doneBytes: count,
  totalBytes: count,
  loadedRecords: count,
})

export const installAnswer: z.ZodType<InstallAnswer> = z.object({
  kind: z.literal('installing'),
  number: count,
  node: name,
  epoch: count,
  ok: z.boolean(),
  isPresent: z.boolean(),
  reason,
  minimum: count,
  pinnedFrom: count,
})

export const checkpointRequest: z.ZodType<CheckpointRequest> = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('open'),
    version: z.literal(1),
    uuid: name,
    node: name,
    minimum: count,
    formats: count,
    id: name.nullable(),
  }),
  z.object({
    kind: z.literal('chunk'),
    node: name,
    id: name,
    offset: count,
    bytes: count.min(1).max(chunkBytesMax),
  }),
  z.object({ kind: z.literal('close'), node: name, id: name }),
])

/** Chunks are encoded otherwise. */
export const checkpointAnswer: z.ZodType<CheckpointAnswer> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('opened'), id: name, position, bytes: count }),
  z.object({ kind: z.literal('none'), newest: count, reason }),
  z.object({ kind: z.literal('refused'), reason }),
  z.object({ kind: z.literal('gone') }),
  z.object({ kind: z.literal('closed') }),
])
