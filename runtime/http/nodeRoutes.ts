/** The pages of one node. */
import type { NodeStatusReport } from '../status.js'
import type { Metrics } from './metrics.js'
import { json, text } from './server.js'
import type { Route } from './server.js'

/** States in which the process does what it should, if not always what one would like. */
const healthy = [
  'starting', 'owning', 'connecting', 'identifying', 'recovering', 'running', 'isolated',
  'draining',
]

/**
 * `/healthz`: the process works (restart it otherwise). `/readyz`: it takes part: it is connected,
 * and no space on it is blocked or damaged. Both name the reason when they answer 503.
 */
export function nodeRoutes(
  status: () => NodeStatusReport, metrics: Metrics,
): Readonly<Record<string, Route>> {
  return {
    '/healthz': () => {
      const { state } = status().node
      return healthy.includes(state) ? text(200, 'ok') : text(503, `node is ${state}`)
    },
    '/readyz': () => {
      const reasons = notReady(status())
      return reasons.length === 0 ? text(200, 'ready') : text(503, reasons.join('\n'))
    },
    '/metrics': async () => ({
      status: 200, type: metrics.contentType, body: await metrics.text(),
    }),
    '/status': () => json(200, status()),
  }
}

/** Why a node does not take part fully; empty when it does. */
export function notReady(report: NodeStatusReport): string[] {
  const reasons: string[] = []
  if (report.node.state !== 'running') reasons.push(`node is ${report.node.state}`)
  for (const member of report.spaces) {
    if (member.role === 'damaged') reasons.push(`space ${member.space}: damaged, ${member.reason}`)
    else if (member.blocked) reasons.push(`space ${member.space}: blocked, ${member.blocked}`)
  }
  return reasons
}
