/** The reading side of what nodes keep (eventService.ts). */
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

export type Wanted = Pick<EventsRequest, 'space' | 'types'>

/** Nodes answer at once; past this quiet, who has not answered is away. ms */
const quietMs = 250
const gatherMs = 1_500
const pageMs = 1_500
/** Of one node: more than it keeps. */
const pagesMax = 64

interface Page {
  readonly node: string
  readonly events: readonly RecordedEvent[]
  readonly before: number | null
}

/** What all nodes that answer have kept; no node: none has. Rejects with FORBIDDEN. */
export async function eventsOfNodes(
  reach: Reach, wanted: Wanted = {},
): Promise<ReadonlyMap<string, RecordedEvent[]>> {
  const first = await gather(reach, wanted)
  const whole = await Promise.all([...first.values()].map(async (page) =>
    [page.node, await earlierThan(reach, wanted, page)] as const))
  return new Map(whole)
}

/** What one node has kept. Rejects with the client's error when it does not answer. */
export async function eventsOfNode(
  reach: Reach, node: string, wanted: Wanted = {},
): Promise<RecordedEvent[]> {
  return await earlierThan(reach, wanted, await pageOf(reach, node, { ...wanted, before: null }))
}

/** With what came before it; of a node that goes meanwhile, as far as it told. */
async function earlierThan(reach: Reach, wanted: Wanted, latest: Page): Promise<RecordedEvent[]> {
  let events = [...latest.events]
  let { before } = latest
  for (let pages = 1; before !== null && pages < pagesMax; pages += 1) {
    const page = await pageOf(reach, latest.node, { ...wanted, before }).catch(() => null)
    if (page === null) break
    events = [...page.events, ...events]
    // One that does not lead back would have no end.
    before = page.before !== null && page.before < before ? page.before : null
  }
  return events
}

async function pageOf({ connection }: Reach, node: string, request: EventsRequest): Promise<Page> {
  const message = await connection.request(
    subjects.events(node), JSON.stringify(request), { timeout: pageMs })
  const page = readPage(message.data)
  if (page === null) throw new Error(`the events of ${node} are not understood`)
  return page
}

/** The latest page of each node. */
async function gather(
  { connection, inboxPrefix }: Reach, wanted: Wanted,
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
    connection.publish(eventsOfAll, JSON.stringify(wanted), { reply: inbox })
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
