/**
 * Commands of `engram chaos` to the process of `engram up`, which owns the nodes and the broker.
 * Each command states its duration, so that nothing stays stopped, cut or full if `engram chaos`
 * dies meanwhile.
 */
import { z } from 'zod'
import type { UnorderedDeath } from '../cluster/cluster.js'

/** Longest duration of a fault, ms. */
export const faultMsMax = 60_000

const node = z.string().min(1).max(64)
const forMs = z.number().int().min(0).max(faultMsMax)

/** Answered when it is over: the node or broker runs, the link is whole, the disk has room. */
export const faultCommandSchema = z.discriminatedUnion('type', [
  /** SIGKILL. The node is started again after that time. */
  z.strictObject({ type: z.literal('kill'), node, forMs }),
  /** SIGSTOP, and SIGCONT after that time. */
  z.strictObject({ type: z.literal('pause'), node, forMs }),
  /** The node's connection is closed, and it cannot connect again. */
  z.strictObject({ type: z.literal('cut'), node, forMs }),
  /** The node's connection passes no data, and neither end notices. */
  z.strictObject({ type: z.literal('stall'), node, forMs }),
  /** The file system of the node's data directory is filled completely. */
  z.strictObject({ type: z.literal('fill'), node, forMs }),
  /** SIGKILL of the broker, which is started again after that time. */
  z.strictObject({ type: z.literal('broker'), forMs }),
])
export type FaultCommand = z.infer<typeof faultCommandSchema>

/** Faults that can be injected here, and the reasons why others cannot. */
export interface FaultMeans {
  readonly nodes: readonly {
    readonly id: string
    /** null while it is down. */
    readonly pid: number | null
    /** True if its connection can be cut. */
    readonly hasLink: boolean
    /** Reason why its disk cannot be filled. null if it can. */
    readonly fillRefusal: string | null
  }[]
  readonly ownsBroker: boolean
  /** Deaths of nodes without a command. */
  readonly deaths: readonly UnorderedDeath[]
}
