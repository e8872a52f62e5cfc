/** All that serves a page: its files, the stream, the orders. */
import type { Config } from '../../config/options.js'
import type { HttpServerOptions, Route } from '../../http/server.js'
import type { StartFrame } from '../protocol.js'
import { builtPage, pageFiles } from './files.js'
import type { PageHub } from './hub.js'
import { commandsRoute } from './commands.js'
import type { CommandsOptions } from './commands.js'

export interface PageOptions {
  readonly hub: PageHub
  readonly perform: CommandsOptions['perform']
  readonly payloads: boolean
  /** What else the server has. */
  readonly routes: Readonly<Record<string, Route>>
  /** Of the built page. */
  readonly directory?: string
}

/** Of a configuration: what a page draws as limits. */
export function limitsOf(config: Config): Pick<StartFrame, 'thresholds' | 'times'> {
  const { lagAlertMs, lagAlertBytes, heartbeatMs, grantMs } = config
  return { thresholds: { lagAlertMs, lagAlertBytes }, times: { heartbeatMs, grantMs } }
}

/** For `startHttpServer`. */
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
