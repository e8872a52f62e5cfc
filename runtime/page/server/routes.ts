/** Routes of a page: its files, the stream, the commands. */
import type { Config } from '../../config/options.js'
import type { HttpServerOptions, Route } from '../../http/server.js'
import type { StartFrame } from '../protocol.js'
import { commandsRoute } from './commands.js'
import type { CommandsOptions } from './commands.js'
import { builtPage, pageFiles } from './files.js'
import type { PageHub } from './hub.js'

export interface PageOptions {
  readonly hub: PageHub
  readonly perform: CommandsOptions['perform']
  readonly payloads: boolean
  /** Other routes of the server. */
  readonly routes: Readonly<Record<string, Route>>
  /** Directory of the built page. */
  readonly directory?: string
}

/** Limits in a configuration that a page draws. */
export function limitsOf(config: Config): Pick<StartFrame, 'thresholds' | 'times'> {
  const { lagAlertMs, lagAlertBytes, heartbeatMs, grantMs } = config
  return { thresholds: { lagAlertMs, lagAlertBytes }, times: { heartbeatMs, grantMs } }
}

/** Routes for `startHttpServer`. */
export function pageRoutes(
  { hub, perform, payloads, routes, directory = builtPage }: PageOptions,
): Pick<HttpServerOptions, 'routes' | 'posts' | 'fallback'> {
  return {
    routes: { ...routes, '/api/stream': hub.route },
    posts: {
      '/api/orders': commandsRoute({ perform, payloads, onDone: (frame) => hub.send(frame) }),
    },
    fallback: pageFiles(directory, Object.keys(routes)),
  }
}
