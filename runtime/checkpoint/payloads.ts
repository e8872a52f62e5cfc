/** Payloads of the blocks that are no records: MessagePack. Unknown fields are dropped. */
import { decode, encode } from '@msgpack/msgpack'
import { z } from 'zod'
import type { SectionManifest } from '../../actors/ports/checkpoints.js'
import type { Position } from '../../machines/base/ids.js'
import { componentsMax } from '../../machines/log/vectorClock.js'
import { spaceSettingsOf } from '../../machines/protocol/spaceSettings.js'
import { isUuid } from '../codec/frameBytes.js'
import { encodeHistory, historySchema } from '../codec/historyCodec.js'

/** Sections of one file; with their names and places they fit a footer. */
export const sectionsMax = 2048

const count = z.int().min(0)
const position = z.object({ epoch: count, sequence: count })
const space = z.string().min(1).max(256)
const uuid = z.string().refine(isUuid)
const digest = z.string().regex(/^[0-9a-f]{16}$/)

const state = z.object({
  position,
  digest,
  nodes: count,
  edges: count,
  ignored: count,
  keys: count,
  keysFrom: count,
  keysNow: count,
  timestamp: count,
  openReports: count,
  quarantined: count,
  strays: count,
  forgotten: count,
})

const settings = z.record(z.string(), z.unknown()).transform((said, context) => {
  const read = spaceSettingsOf(said)
  if (typeof read !== 'string') return read
  context.addIssue({ code: 'custom', message: read })
  return z.NEVER
})

const manifest = z.object({
  space,
  uuid,
  history: historySchema,
  clock: z.record(z.string().max(256), count)
    .refine((clock) => Object.keys(clock).length <= componentsMax),
  timestamp: count,
  settings: settings.nullable(),
  state,
})

const end = z.object({
  /** Records by table. */
  records: z.array(z.tuple([count, count])).max(256),
  /** Of all records, as in their blocks. */
  bytes: count,
  /** Sum of the hashes. */
  hashes: digest,
  /** Chained xxhash64 over the checksums of the blocks of the section before this one. */
  blocks: digest,
})

const footer = z.object({
  sections: z.array(z.object({
    space,
    uuid,
    position,
    digest,
    offset: count,
    bytes: count,
    /** Number of its first block, and of its blocks. */
    block: count,
    blocks: count,
  })).min(1).max(sectionsMax),
})

export type SectionEnd = z.infer<typeof end>

/** A section as the footer names it. */
export interface SectionPlace {
  readonly space: string
  readonly uuid: string
  readonly position: Position
  readonly digest: string
  readonly offset: number
  readonly bytes: number
  readonly block: number
  readonly blocks: number
}

export function encodeManifest(said: SectionManifest): Uint8Array {
  return encode({ ...said, history: encodeHistory(said.history) })
}

export function encodeEnd(said: SectionEnd): Uint8Array {
  return encode(said)
}

export function encodeFooter(sections: readonly SectionPlace[]): Uint8Array {
  return encode({ sections })
}

/** Undefined: it makes no sense. */
export function decodeManifest(payload: Uint8Array): SectionManifest | undefined {
  return decodeBy(manifest, payload)
}

export function decodeEnd(payload: Uint8Array): SectionEnd | undefined {
  return decodeBy(end, payload)
}

export function decodeFooter(payload: Uint8Array): readonly SectionPlace[] | undefined {
  return decodeBy(footer, payload)?.sections
}

function decodeBy<T>(schema: z.ZodType<T>, payload: Uint8Array): T | undefined {
  let value: unknown
  try {
    value = decode(payload)
  } catch {
    return undefined
  }
  return schema.safeParse(value).data
}
