/** Results of queries, encoded for the reader, limited to what fits into one answer. */
import { cursorOf, placeOfCursor, placeOfEdge } from '../../machines/graph/edgePlace.js'
import type { MemoryNode } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { Origin } from '../../machines/log/forkNotes.js'
import { spansAfter } from '../../machines/log/positions.js'
import type { Member } from '../member/member.js'
import { errorAnswer } from '../messaging/answers.js'
import type { Encoding, ErrorAnswer, HistoryValue, ListEncoder, Query } from '../ports/clientApi.js'
import { EntriesGoneError } from '../ports/journal.js'
import type { GraphReader, VersionReader } from '../ports/store.js'
import { fateOf } from './writeFate.js'

export type View = GraphReader & VersionReader

type Of<Type extends Query['type']> = Extract<Query, { type: Type }>

/** Queries that need only memory and the store; the others read the log's files, too. */
export type PlainQuery = Exclude<Query, Of<'GetEntries'> | Of<'GetFate'>>

/** `after`: the place where the next page begins; null: there is no more. */
export type Found =
  | { readonly kind: 'value'; readonly value: unknown; readonly after: string | number | null }
  | { readonly kind: 'list'; readonly list: ListEncoder; readonly after: string | number | null }
  | { readonly kind: 'error'; readonly answer: ErrorAnswer }

/** Part of an answer beside its list: names, numbers, and the place to go on. */
const envelopeBytes = 8 * 1024
/** Limit of the spans of a log; each takes 52 bytes as JSON. */
const spansMax = 8192
/** Default limit of a list; a few ms of work when each item is small. */
const listMax = 1000
/** Time that work on the log may take before the event loop gets its turn. */
const pieceMs = 2
/** Log read at a time; at least one frame is read. */
const logBytes = 64 * 1024

export function isPlain(query: Query): query is PlainQuery {
  return query.type !== 'GetEntries' && query.type !== 'GetFate'
}

/** One query's answer, for one reader. */
export class ReadPage {
  private begunMs = 0

  constructor(
    private readonly member: Member,
    private readonly encoding: Encoding,
    /** Sequence as of which the answer is. */
    private readonly sequence: number,
    private readonly view: View,
  ) {}

  plain(query: PlainQuery): Found {
    const { view, member: { store } } = this
    switch (query.type) {
      case 'GetNode':
        return { kind: 'value', value: view.node(query.nodeId) ?? null, after: null }
      case 'GetEdges':
        return this.edges(query)
      case 'ListNodes':
        return this.list(view.nodes(query.after), query.limit, ({ id }) => id, (node) => node)
      case 'GetHistory':
        return this.history(query.after ?? 0)
      case 'GetForks': {
        const { after = 0, limit = listMax } = query
        const reports = store.reports().filter(({ epoch }) => epoch > after)
        return this.list(reports, limit, ({ epoch }) => epoch)
      }
      case 'GetQuarantine':
        return this.list(store.quarantine(query.after), query.limit, ({ id }) => id,
          ({ operation }) => operation.type === 'StoreNode' ? operation.node : undefined)
    }
  }

  async ofLog(query: Of<'GetEntries'> | Of<'GetFate'>): Promise<Found> {
    this.begunMs = this.member.context.ports.clock.monotonicMs()
    if (query.type === 'GetEntries') return await this.entries(query)
    const entryAt = async (sequence: number): Promise<LogEntry | 'gone' | undefined> =>
      await this.logged(sequence, sequence).then(([entry]) => entry, orGone)
    const value = await fateOf(query, this.member, this.view, entryAt)
    return { kind: 'value', value, after: null }
  }

  private edges({ nodeId, direction, after, limit = listMax }: Of<'GetEdges'>): Found {
    const place = after === undefined ? null : placeOfCursor(after)
    return this.list(this.view.edges(nodeId, direction, place), limit,
      (edge) => cursorOf(placeOfEdge(edge, nodeId, direction)))
  }

  /** Spans of the log up to the sequence. */
  private history(after: number): Found {
    const { root, history, safeSequence } = this.member.log
    const spans = spansAfter(history, after, this.sequence, spansMax + 1)
    const isMore = spans.length > spansMax
    if (isMore) spans.pop()
    const value: HistoryValue = { root, history: spans, safeSequence }
    return { kind: 'value', value, after: isMore ? spans.at(-1)!.epoch : null }
  }

  /** Log entries up to the sequence. */
  private async entries({ from, limit }: Of<'GetEntries'>): Promise<Found> {
    const { base } = this.member.log
    // Frames in memory may outlive their segment; a read of the next page would not find more.
    if (from <= base) return this.truncated(base + 1)
    const page = this.emptyPage(limit)
    const { list } = page
    const last = Math.min(this.sequence, from + limit - 1)
    let isFull = false
    for (let next = from; next <= last && !isFull; next = from + list.count) {
      const entries = await this.logged(next, last).catch(orGone)
      if (entries === 'gone') {
        // They were given up since the page was begun.
        if (list.count === 0) return this.truncated(this.member.log.base + 1)
        break
      }
      if (entries.length === 0) break
      for (const entry of entries) {
        await this.pause()
        const taken = page.take(withOrigin(entry))
        if (taken === 'tooLarge') return this.tooLarge(page, entry.sequence)
        isFull = taken === 'full'
        if (isFull) break
      }
    }
    const end = from + list.count - 1
    return { kind: 'list', list, after: list.count > 0 && end < this.sequence ? end : null }
  }

  /** Gives the event loop its turn. Entries may be given up meanwhile, but not those in memory. */
  private async pause(): Promise<void> {
    const { clock } = this.member.context.ports
    if (clock.monotonicMs() - this.begunMs < pieceMs) return
    await new Promise<void>((resolve) => clock.nextTurn(resolve))
    this.begunMs = clock.monotonicMs()
  }

  /** Log entries from there on, up to `last`: those of a frame or two, if there are any. */
  private async logged(from: number, last: number): Promise<LogEntry[]> {
    const { log, context: { ports: { frames } } } = this.member
    const found: LogEntry[] = []
    for (const frame of await log.framesFrom(from, logBytes)) {
      if (frame.first > last) break
      for (const entry of frames.entries(frame, from, last)) found.push(entry)
    }
    return found
  }

  private list<T>(
    items: Iterable<T>,
    limit: number,
    afterOf: (item: T) => string | number,
    nodeOf: (item: T) => MemoryNode | undefined = () => undefined,
  ): Found {
    const page = this.emptyPage(limit)
    const { list } = page
    let last: T | undefined
    for (const item of items) {
      const taken = page.take(item, nodeOf(item))
      if (taken === 'tooLarge') return this.tooLarge(page, afterOf(item))
      if (taken === 'full') return { kind: 'list', list, after: afterOf(last!) }
      last = item
    }
    return { kind: 'list', list, after: null }
  }

  private emptyPage(limit: number): Page {
    const { wire, settings, ports: { clients } } = this.member.context
    const room = wire.maxPayload - envelopeBytes
    return new Page(clients.list(this.encoding), limit, Math.min(settings.answerBytesMax, room),
      room)
  }

  private truncated(firstSequence: number): Found {
    return {
      kind: 'error',
      answer: errorAnswer('TRUNCATED', `entries below ${firstSequence} are no longer kept here`, {
        firstSequence,
      }),
    }
  }

  private tooLarge({ list, room }: Page, after: string | number): Found {
    const isJson = this.encoding === 'json'
    return {
      kind: 'error',
      answer: errorAnswer('PAYLOAD_TOO_LARGE', `the next item takes ${list.bytes} `
        + `bytes as ${isJson ? 'JSON' : 'MessagePack'}, an answer has room for ${room}: `
        + `${isJson ? 'use MessagePack, ' : ''}raise max_payload of the NATS server, or skip `
        + 'the item with the after of this answer', { after }),
    }
  }
}

/** For reads of the log: entries that were given up are no fault. */
function orGone(error: unknown): 'gone' {
  if (error instanceof EntriesGoneError) return 'gone'
  throw error
}

/** A list that takes items until it is full. The first one may be larger than a page. */
class Page {
  /** Bytes that are slower to read and encode than others count several times. */
  private slowBytes = 0

  constructor(
    readonly list: ListEncoder,
    private readonly limit: number,
    private readonly fullBytes: number,
    /** Limit of any answer. */
    readonly room: number,
  ) {}

  /** full: there is no room for it here. tooLarge: no answer has room for it. */
  take(item: unknown, node?: MemoryNode): 'taken' | 'full' | 'tooLarge' {
    const { list, limit, fullBytes, room } = this
    if (list.count >= limit || (list.count > 0 && list.bytes + this.slowBytes >= fullBytes)) {
      return 'full'
    }
    const before = list.bytes
    list.add(item)
    if (node?.metadata !== undefined) this.slowBytes += slowBytesOf(node, list.bytes - before)
    if (list.count === 1) return list.bytes > room ? 'tooLarge' : 'taken'
    if (list.bytes <= fullBytes) return 'taken'
    list.drop()
    return 'full'
  }
}

/**
 * Half a megabyte of metadata takes 12 ms to parse and to write again, three times as long as
 * anything else of that size (a number of an embedding takes 20 bytes as JSON).
 */
function slowBytesOf({ content, embedding }: MemoryNode, bytes: number): number {
  return 2 * Math.max(0, bytes - (content?.length ?? 0) - (embedding?.length ?? 0) * 20)
}

/** The entry as it is shown; a reconciled write of a fork also says where it was logged first. */
function withOrigin(entry: LogEntry): LogEntry & { readonly origin?: Origin } {
  return entry.reconciliation ? { ...entry, origin: entry.reconciliation.origin } : entry
}
