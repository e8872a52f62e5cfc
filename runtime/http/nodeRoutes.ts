/** The pages of one node. */
import { shared, Slices } from '../slices.js'
import type { NodeStatusReport } from '../status.js'
import type { Metrics, StatusSource } from './metrics.js'
import { text } from './server.js'
import type { Route } from './server.js'

/** States in which the process does what it should, if not always what one would like. */
const healthy = [
  'starting', 'owning', 'connecting', 'identifying', 'recovering', 'running', 'isolated',
  'draining',
]

/**
 * `/healthz`: the process works (restart it otherwise). `/readyz`: it takes part: it is connected,
 * and no space on it is blocked or damaged. Both name the reason when they answer 503.
 * @param state of the node, where that is known without its spaces
 */
export function nodeRoutes(
  status: StatusSource, metrics: Pick<Metrics, 'contentType' | 'bytes'>,
  state: () => string | Promise<string> = async () => (await status()).node.state,
): Readonly<Record<string, Route>> {
  const statusBytes = shared(async () => await encoded(await status()), 0)
  return {
    '/healthz': async () => {
      const is = await state()
      return healthy.includes(is) ? text(200, 'ok') : text(503, `node is ${is}`)
    },
    '/readyz': async () => {
      const reasons = notReady(await status())
      return reasons.length === 0 ? text(200, 'ready') : text(503, reasons.join('\n'))
    },
    '/metrics': async () => ({
      status: 200, type: metrics.contentType, body: await metrics.bytes(),
    }),
    '/status': async () => ({
      status: 200, type: 'application/json', body: await statusBytes(),
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
