/** The HTTP routes of one node. */
import type { NodeStatusReport } from '../status/status.js'
import { shared, Slices } from '../system/slices.js'
import type { Metrics, StatusSource } from './metrics.js'
import { readiness, readinessPage } from './readiness.js'
import { text } from './server.js'
import type { Route } from './server.js'

/** States in which the process works properly, even if the node does not serve everything. */
const healthy = [
  'starting',
  'owning',
  'connecting',
  'identifying',
  'recovering',
  'running',
  'isolated',
  'draining',
]

/** State of the node's chart, known even if its spaces are not. */
export interface NodeState {
  readonly state: string
  /** The state with its parts and its reason. */
  readonly reason: string
}

/**
 * `/healthz`: the process works (restart it otherwise); shows the state of the node's chart.
 * `/readyz`: the node has joined and is in sync in all its spaces; else 503, with what is missing.
 * `/readyz?verbose` shows every space.
 */
export function nodeRoutes(
  status: StatusSource,
  metrics: Pick<Metrics, 'contentType' | 'bytes'>,
  node: () => NodeState,
): Readonly<Record<string, Route>> {
  const statusBytes = shared(async () => await encoded(await status()), 0)
  return {
    '/healthz': () => {
      const { state, reason } = node()
      const isHealthy = healthy.includes(state)
      return text(isHealthy ? 200 : 503, `${isHealthy ? 'ok' : 'ended'}\n${reason}`)
    },
    '/readyz': async ({ url }) => {
      const checks = readiness(await status())
      const isReady = checks.every(({ missing }) => missing === null)
      const isVerbose = new URL(url ?? '/', 'http://node').searchParams.has('verbose')
      return text(isReady ? 200 : 503, readinessPage(checks, isVerbose))
    },
    '/metrics': async () => ({
      status: 200,
      type: metrics.contentType,
      body: await metrics.bytes(),
    }),
    '/status': async () => ({
      status: 200,
      type: 'application/json',
      body: await statusBytes(),
    }),
  }
}

/** As JSON, in slices. */
async function encoded({ spaces, ...rest }: NodeStatusReport): Promise<Uint8Array> {
  const slices = new Slices()
  const parts: Buffer[] = [Buffer.from(`${JSON.stringify(rest).slice(0, -1)},"spaces":[`)]
  for (const [index, member] of spaces.entries()) {
    parts.push(Buffer.from((index === 0 ? '' : ',') + JSON.stringify(member)))
    if (slices.isOver) await slices.next()
  }
  return Buffer.concat([...parts, Buffer.from(']}\n')])
}
