/** The epoch history of a log in manifests and records: root and spans, as plain numbers. */
import { z } from 'zod'
import type { EpochHistory } from '../../machines/base/ids.js'
import { historyFault, rootFault } from '../../machines/log/invariants.js'
import { epochsMax } from '../../machines/log/positions.js'

const count = z.int().min(0)

export function encodeHistory({ root, history }: EpochHistory): unknown {
  return {
    root: [root.epoch, root.sequence],
    spans: history.map(({ epoch, last }) => [epoch, last]),
  }
}

export const historySchema = z.object({
  root: z.tuple([count, count]),
  spans: z.array(z.tuple([count, count])).max(epochsMax),
})
  .transform(({ root: [epoch, sequence], spans }): EpochHistory => ({
    root: { epoch, sequence },
    history: spans.map(([of, last]) => ({ epoch: of, last })),
  }))
  .refine((read) => historyFault(read.history) === null && rootFault(read) === null)
