/** Reads lists page by page. */
import type { Query, ReadAnswer } from '../../actors/ports/clientApi.js'

/** Queries whose answers may be pages. */
export type ListQuery = Extract<
  Query,
  { type: 'GetEdges' | 'ListNodes' | 'GetEntries' | 'GetForks' | 'GetQuarantine' }
>

/** Limit of one answer. */
const pageMax = 1000
/** Queries with a limit; nodes of an earlier release refuse a limit for others. */
const knowLimit: readonly string[] = ['ListNodes', 'GetEntries', 'GetQuarantine']

/** The query's `limit` is that of all pages together. */
export async function* pagesOf<A extends Pick<ReadAnswer, 'value' | 'more' | 'after'>>(
  query: ListQuery,
  read: (query: ListQuery) => Promise<A>,
): AsyncGenerator<A, undefined> {
  let left = query.limit ?? Infinity
  let next = query
  while (left > 0) {
    const limit = left < Infinity || knowLimit.includes(query.type)
      ? { limit: Math.min(left, pageMax) }
      : {}
    const page = await read({ ...next, ...limit })
    yield page
    left -= (page.value as readonly unknown[]).length
    if (!page.more || page.after === undefined) return
    next = { ...next, after: page.after } as ListQuery
  }
}
