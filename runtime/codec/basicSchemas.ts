/** Shapes and bounds that all messages are made of. */
import { z } from 'zod'
import { nameFault } from '../../machines/protocol/subjects.js'

export const bounds = {
  messageBytes: 256 * 1024,
  peers: 1024,
  formerly: 64,
  removed: 64,
  members: 64,
  reasonChars: 4096,
  /** Salvages of one space on one member, in an offer. */
  salvages: 256,
  /**
   * Whole requests only: 1,000 operations of 400 KiB in all, each with its key of 256 bytes and
   * some 150 more. With the headers, it stays below 1 MB, the default max_payload of NATS.
   */
  sliceBytes: 896 * 1024,
  sliceWrites: 1024,
  /** 16 KiB of JSON cannot hold more entries such as "a":1, */
  metadataEntries: 4096,
  /** Epochs that ended, of which no report is committed. */
  ended: 64,
}

export const count = z.int().min(0)
export const name = z.string().refine((text) => nameFault(text) === null, {
  error: (issue) => nameFault(issue.input) ?? '',
})
export const token = z.string().max(128)
export const http = z.string().max(256).nullable()
export const reason = z.string().max(bounds.reasonChars)

export const position = z.object({ epoch: count, sequence: count })
export const life = { incarnation: count, connection: count }
