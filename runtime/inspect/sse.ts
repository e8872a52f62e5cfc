/** `/events`: the inspection stream of a node as server-sent events, for its own page. */
import { EventStream, eventStreamHeaders, isSameOrigin, readersMax } from '../http/eventStream.js'
import type { EventStreamLimits } from '../http/eventStream.js'
import { text } from '../http/server.js'
import type { Route } from '../http/server.js'
import type { Feed } from './feed.js'

export interface EventsOptions extends EventStreamLimits {
  readonly readersMax?: number
}

/**
 * The route. A page of another origin, which browsers name in the Origin header, is refused (403).
 * The server has already checked the Host header, against DNS rebinding. Each event is named
 * `inspection`, and its data is an envelope (schema.ts). A new reader, and one that was too slow,
 * first gets the present state of all actors.
 */
export function eventsRoute(feed: Feed, options: EventsOptions = {}): Route {
  let readers = 0
  return (request, response) => {
    if (!isSameOrigin(request)) {
      return text(403, 'only pages of this server may read the event stream')
    }
    if (readers >= (options.readersMax ?? readersMax)) {
      return text(503, `${readers} readers are connected, which is the limit: close one`)
    }
    if (request.method === 'HEAD') {
      response.writeHead(200, eventStreamHeaders).end()
      return null
    }
    readers += 1
    const present = (): void => feed.presentTo((envelope) => stream.sendAll([envelope]))
    const stream = new EventStream(response, {
      ...options,
      event: 'inspection',
      onResumed: present,
    })
    const cease = feed.listen((envelope, dropped) => {
      // Later, not while the feed calls its listeners.
      const isMissing = stream.send(envelope) && dropped > 0
      if (isMissing) queueMicrotask(present)
    })
    present()
    response.once('close', () => {
      readers -= 1
      cease()
    })
    return null
  }
}
