/**
 * What `engram chaos` may order from the process of `engram up`, which owns the nodes and the
 * broker. Each order has its end in it: should `engram chaos` die in the middle, nothing stays
 * stopped, cut or full.
 */
import { z } from 'zod'
import type { UnorderedDeath } from '../cluster/cluster.js'

/** How long a fault may last, ms. */
export const faultMsMax = 60_000

const node = z.string().min(1).max(64)
const forMs = z.number().int().min(0).max(faultMsMax)

/** Answered when it is over: the node or broker runs again, the link is whole, there is room. */
export const faultCommandSchema = z.discriminatedUnion('type', [
  /** SIGKILL, and after that time the node is started again. */
  z.strictObject({ type: z.literal('kill'), node, forMs }),
  /** SIGSTOP, and SIGCONT. */
  z.strictObject({ type: z.literal('pause'), node, forMs }),
  /** The node's connection ends, and none can be made. */
  z.strictObject({ type: z.literal('cut'), node, forMs }),
  /** Nothing passes over the node's connection, and neither end knows. */
  z.strictObject({ type: z.literal('stall'), node, forMs }),
  /** Not a byte of the file system of the node's data directory is left. */
  z.strictObject({ type: z.literal('fill'), node, forMs }),
  /** SIGKILL of the broker, and after that time it is started again. */
  z.strictObject({ type: z.literal('broker'), forMs }),
])
export type FaultCommand = z.infer<typeof faultCommandSchema>

/** What can be ordered here, and why the rest cannot. */
export interface FaultMeans {
  readonly nodes: readonly {
    readonly id: string
    /** null while it is down. */
    readonly pid: number | null
    /** A link leads to it that can be cut. */
    readonly hasLink: boolean
    /** Why its disk cannot be filled; null when it can. */
    readonly fillRefusal: string | null
  }[]
  readonly ownsBroker: boolean
  /** Of nodes that died without an order. */
  readonly deaths: readonly UnorderedDeath[]
}
