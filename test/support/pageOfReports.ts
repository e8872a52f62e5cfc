/** A page of a cluster whose nodes are reports of a test, which may change them. Needs Chromium. */
import type { Browser } from 'playwright-core'
import { startHttpServer } from '../../runtime/http/server.js'
import { PageHub } from '../../runtime/page/server/hub.js'
import { pageRoutes } from '../../runtime/page/server/routes.js'
import type { MemberStatus, NodeStatusReport } from '../../runtime/status/status.js'
import { startBrowser } from './browser.js'
import type { Stage } from './scenario.js'

export interface ShownReports {
  readonly browser: Browser
  readonly base: string
  change(over: Partial<MemberStatus>): void
}

/** `reports`: those of all nodes, with what a test has changed last; `first` until then. */
export async function showReports(
  stage: Stage,
  first: Partial<MemberStatus>,
  reports: (over: Partial<MemberStatus>) => NodeStatusReport[],
): Promise<ShownReports> {
  let over = first
  const hub = new PageHub({
    start: {
      source: 'up',
      node: null,
      playground: false,
      payloads: false,
      thresholds: { lagAlertMs: 5_000, lagAlertBytes: 100_000_000 },
      times: { heartbeatMs: 100, grantMs: 2_000 },
    },
    link: (feed) => {
      feed.onReports(reports(over))
      const timer = setInterval(() => feed.onReports(reports(over)), 200)
      return { stop: () => Promise.resolve(clearInterval(timer)) }
    },
  })
  const server = await startHttpServer({
    address: '127.0.0.1:0',
    ...pageRoutes({
      hub,
      perform: () => Promise.resolve({ ok: false, message: '' }),
      payloads: false,
      routes: {},
    }),
  })
  stage.onEnd(async () => {
    await hub.close()
    await server.close()
  })
  const browser = await startBrowser(stage)
  return { browser, base: server.url, change: (next) => {
    over = next
  } }
}
