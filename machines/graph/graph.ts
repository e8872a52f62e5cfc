/** The memory graph's values and operations, as clients write them. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [k: string]: Json
}

export interface MemoryNode {
  readonly id: string
  readonly content?: string
  readonly activation?: number
  readonly confidence?: number
  readonly embedding?: readonly number[]
  readonly metadata?: { readonly [key: string]: Json }
}

export interface MemoryEdge {
  readonly source: string
  readonly target: string
  readonly kind: string
  readonly weight?: number
}

export type Operation =
  | { readonly type: 'StoreNode'; readonly node: MemoryNode }
  | { readonly type: 'UpdateActivation'; readonly nodeId: string; readonly activation: number }
  | { readonly type: 'StoreEdge'; readonly edge: MemoryEdge }

/** Retention of idempotency keys: a key is known while it is within both bounds. */
export interface KeyRetention {
  /** ms between the entry with the key and the latest one of the space, by their timestamps. */
  readonly ms: number
  readonly count: number
}

/** One day; a million keys, which take some 50 MB of a member's store and 16 to 24 MB of memory. */
export const defaultKeyRetention: KeyRetention = { ms: 24 * 3_600_000, count: 1_000_000 }
