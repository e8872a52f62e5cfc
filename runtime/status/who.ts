import { z } from 'zod'
import type { NodeId } from '../../machines/base/ids.js'

/** Answer to `{"type":"who"}`: identifies the nodes, however many spaces they hold. */
export interface WhoAnswer {
  readonly format: 1
  readonly type: 'who'
  readonly id: NodeId
  readonly state: string
  readonly incarnation: number
  readonly http: string | null
  /** Number of spaces held here. */
  readonly spaces: number
  /** Peers whose heartbeats arrive. */
  readonly alive: readonly NodeId[]
}

const whoSchema = z.looseObject({
  format: z.literal(1),
  type: z.literal('who'),
  id: z.string(),
  state: z.string(),
  alive: z.array(z.string()),
})

export function asWhoAnswer(value: unknown): WhoAnswer | null {
  return whoSchema.safeParse(value).success ? value as WhoAnswer : null
}
