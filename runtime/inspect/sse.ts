/** `/events`: the inspection stream of a node as server-sent events, for pages of its own. */
import { EventStream, eventStreamHeaders, isSameOrigin, readersMax } from '../http/eventStream.js'
import type { EventStreamLimits } from '../http/eventStream.js'
import { text } from '../http/server.js'
import type { Route } from '../http/server.js'
import type { Feed } from './feed.js'

export interface EventsOptions extends EventStreamLimits {
  readonly readersMax?: number
}

/**
 * The route. A page of another origin is refused (403): a browser names it in the Origin header,
 * and the server has checked the Host header before, against DNS rebinding. Each event is
 * `inspection`, its data an envelope (schema.ts). A new reader, and one that was too slow, gets
 * the present state of all actors first.
 */
export function eventsRoute(feed: Feed, options: EventsOptions = {}): Route {
  let readers = 0
  return (request, response) => {
    if (!isSameOrigin(request)) return text(403, 'the event stream is for pages of this server')
    if (readers >= (options.readersMax ?? readersMax)) {
      return text(503, `${readers} readers are connected; close one`)
    }
    if (request.method === 'HEAD') {
      response.writeHead(200, eventStreamHeaders).end()
      return null
    }
    readers += 1
    const present = (): void => feed.presentTo((envelope) => stream.sendAll([envelope]))
    const stream = new EventStream(response, {
      ...options, event: 'inspection', onResumed: present,
    })
    const cease = feed.listen((envelope, dropped) => {
      // Not within the feed's own round of its listeners.
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
