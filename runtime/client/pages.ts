/** Reads lists page by page. */
import type { Query, ReadAnswer } from '../../actors/ports/clientApi.js'
import { ReadError } from './errors.js'

/** Queries whose answers may be pages. */
export type ListQuery = Extract<
  Query,
  { type: 'GetEdges' | 'ListNodes' | 'GetEntries' | 'GetForks' | 'GetQuarantine' }
>

/** Entries from the first one on that the member keeps. */
export interface AllEntries {
  readonly type: 'GetEntries'
  readonly from: 'first'
  readonly limit?: number
}

/** Limit of one answer. */
const pageMax = 1000
/** Queries with a limit; nodes of an earlier release refuse a limit for others. */
const knowLimit: readonly string[] = ['ListNodes', 'GetEntries', 'GetQuarantine']

/** The query's `limit` is that of all pages together. */
export async function* pagesOf<A extends Pick<ReadAnswer, 'value' | 'more' | 'after'>>(
  query: ListQuery | AllEntries,
  read: (query: ListQuery) => Promise<A>,
): AsyncGenerator<A, undefined> {
  let left = query.limit ?? Infinity
  // The first page only: what is given up behind it would be missing between entries.
  let mayBegin = query.type === 'GetEntries' && query.from === 'first'
  let next = (mayBegin ? { ...query, from: 1 } : query) as ListQuery
  while (left > 0) {
    const limit = left < Infinity || knowLimit.includes(query.type)
      ? { limit: Math.min(left, pageMax) }
      : {}
    const page = await read({ ...next, ...limit }).catch((error: unknown) => {
      const first = mayBegin ? firstAbove(next, error) : null
      if (first === null) throw error
      next = { ...next, from: first } as ListQuery
      return null
    })
    if (page === null) continue
    mayBegin = false
    yield page
    left -= (page.value as readonly unknown[]).length
    if (!page.more || page.after === undefined) return
    next = { ...next, after: page.after } as ListQuery
  }
}

/** The first entry that is kept, if the query asked for earlier ones; null: another error. */
function firstAbove(query: ListQuery, error: unknown): number | null {
  if (!(error instanceof ReadError) || error.code !== 'TRUNCATED') return null
  const { firstSequence = 0 } = error
  return query.type === 'GetEntries' && firstSequence > query.from ? firstSequence : null
}
