/** Reads the events that nodes keep (eventService.ts). */
import { createInbox } from 'nats'
import type { NatsConnection } from 'nats'
import type { RecordedEvent } from '../../machines/protocol/events.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { denialIn, onDenial } from '../client/denials.js'
import type { DeniedError } from '../client/denials.js'
import { AdminError } from '../client/errors.js'
import { eventsAnswer, eventsOfAll } from './eventService.js'
import type { EventsRequest } from './eventService.js'
import { asRecorded } from './recorded.js'

export interface Reach {
  readonly connection: NatsConnection
  readonly inboxPrefix: string
}

export type EventFilter = Pick<EventsRequest, 'space' | 'types'>

/** Nodes answer at once. After this time without an answer the others count as away. ms */
const quietMs = 250
const gatherMs = 1_500
const pageMs = 1_500
/** Pages read from one node, more than it keeps. */
const pagesMax = 64

interface Page {
  readonly node: string
  readonly events: readonly RecordedEvent[]
  readonly before: number | null
}

/** Events kept by all nodes that answer, by node. Rejects with FORBIDDEN. */
export async function eventsOfNodes(
  reach: Reach,
  filter: EventFilter = {},
): Promise<ReadonlyMap<string, RecordedEvent[]>> {
  const first = await gather(reach, filter)
  const whole = await Promise.all(
    [...first.values()].map(async (page) =>
      [page.node, await earlierThan(reach, filter, page)] as const
    ),
  )
  return new Map(whole)
}

/** Events kept by one node. Rejects with the client's error if the node does not answer. */
export async function eventsOfNode(
  reach: Reach,
  node: string,
  filter: EventFilter = {},
): Promise<RecordedEvent[]> {
  return await earlierThan(reach, filter, await pageOf(reach, node, { ...filter, before: null }))
}

/** Events of a page and all before it, or those that were read before the node went away. */
async function earlierThan(
  reach: Reach,
  filter: EventFilter,
  latest: Page,
): Promise<RecordedEvent[]> {
  let events = [...latest.events]
  let { before } = latest
  for (let pages = 1; before !== null && pages < pagesMax; pages += 1) {
    const page = await pageOf(reach, latest.node, { ...filter, before }).catch(() => null)
    if (page === null) break
    events = [...page.events, ...events]
    // A page that does not lead further back would repeat without end.
    before = page.before !== null && page.before < before ? page.before : null
  }
  return events
}

async function pageOf({ connection }: Reach, node: string, request: EventsRequest): Promise<Page> {
  const message = await connection.request(
    subjects.events(node),
    JSON.stringify(request),
    { timeout: pageMs },
  )
  const page = readPage(message.data)
  if (page === null) throw new Error(`the answer of ${node} about its events is not valid`)
  return page
}

/** The latest page of each node. */
async function gather(
  { connection, inboxPrefix }: Reach,
  filter: EventFilter,
): Promise<ReadonlyMap<string, Page>> {
  const found = new Map<string, Page>()
  const inbox = createInbox(inboxPrefix)
  let denied: DeniedError | null = null
  await new Promise<void>((resolve) => {
    let quiet: NodeJS.Timeout | undefined
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        denied ??= denialIn(error)
        if (error || message.headers?.code === 503) return finish()
        clearTimeout(quiet)
        quiet = setTimeout(finish, quietMs)
        const page = readPage(message.data)
        if (page !== null) found.set(page.node, page)
      },
    })
    const limit = setTimeout(finish, gatherMs)
    const endDenials = onDenial(connection, (one) => {
      if (one.subject !== eventsOfAll) return
      denied = one
      finish()
    })
    function finish(): void {
      clearTimeout(quiet)
      clearTimeout(limit)
      endDenials()
      subscription.unsubscribe()
      resolve()
    }
    connection.publish(eventsOfAll, JSON.stringify(filter), { reply: inbox })
  })
  return denied === null ? found : refuse(denied)
}

function refuse(denied: DeniedError): never {
  throw new AdminError('FORBIDDEN', denied.message, false, denied)
}

function readPage(data: Uint8Array): Page | null {
  let raw: unknown
  try {
    raw = JSON.parse(Buffer.from(data).toString('utf8'))
  } catch {
    return null
  }
  const answer = eventsAnswer.safeParse(raw)
  if (!answer.success || !answer.data.ok) return null
  const { node, events, before } = answer.data
  const known = events.map(asRecorded).filter((event) => event !== null)
  return { node, events: known, before }
}
