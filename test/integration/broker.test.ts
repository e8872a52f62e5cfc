/** The broker dies, stops, or a single link to it breaks. */
import * as assert from 'uvu/assert'
import { Link } from '../../runtime/cluster/faultProxy.js'
import type { NodeStatusReport } from '../../runtime/status/status.js'
import { assertAllTaken, audit } from '../support/audit.js'
import type { Cluster } from '../support/cluster.js'
import { note, scenario, suite, type Stage } from '../support/scenario.js'
import { lasting, notYet, waitFor } from '../support/wait.js'

const broker = suite('integration: broker and links')

scenario(broker, 'the broker is killed and started again', async (stage) => {
  const cluster = await stage.cluster()
  const https = await Promise.all(
    [...cluster.nodes.keys()].map(async (id) => (await cluster.report(id)).node.http),
  )
  const pids = [...cluster.nodes.values()].map((node) => node.pid)
  const old = await cluster.primary()
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  await cluster.broker.kill()
  // Without a bus, HTTP still answers, and says that the node is isolated and not ready.
  for (const http of https) {
    await waitFor(`${http}/status to say isolated, and /readyz 503`, async () => {
      const report = await (await fetch(`${http}/status`)).json() as NodeStatusReport
      const ready = await fetch(`${http}/readyz`)
      return report.node.state === 'isolated' && ready.status === 503
        || notYet(`state ${report.node.state}, /readyz ${ready.status}`)
    })
  }
  await cluster.broker.start()
  await cluster.primary({ above: old.epoch })
  await writer.taken(300)
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
  const now = [...cluster.nodes.values()].map((node) => node.pid)
  assert.equal(now, pids, 'the nodes returned by themselves')
  assert.ok([...cluster.nodes.values()].every((node) => node.isRunning), 'all of them live')
})

scenario(broker, 'the broker hangs for longer than a grant', async (stage) => {
  const cluster = await stage.cluster()
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  cluster.broker.pause()
  await lasting(3000)
  cluster.broker.resume()
  await writer.taken(300)
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

/** A cluster in which each node has a link of its own to the broker. */
async function linked(stage: Stage): Promise<{ cluster: Cluster; links: Map<string, Link> }> {
  const links = new Map<string, Link>()
  stage.onEnd(() => {
    for (const link of links.values()) link.close()
  })
  const cluster = await stage.cluster({
    urlOf: async (id, url) => {
      const link = await Link.open(url)
      links.set(id, link)
      return link.url
    },
  })
  return { cluster, links }
}

scenario(broker, 'the link of the primary is cut, then healed', async (stage) => {
  const { cluster, links } = await linked(stage)
  const old = await cluster.primary()
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  links.get(old.node)?.cut()
  const tookMs = await writer.takenAbove(old.epoch)
  note(`cut of the primary's link to the first positive answer elsewhere: ${tookMs.toFixed(0)} ms`)
  await writer.taken(200)
  links.get(old.node)?.heal()
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(broker, 'the link of the primary stalls: it answers nothing late', async (stage) => {
  const { cluster, links } = await linked(stage)
  const old = await cluster.primary()
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  links.get(old.node)?.stall()
  const tookMs = await writer.takenAbove(old.epoch)
  note(`stall of the primary's link to the first positive answer elsewhere: `
    + `${tookMs.toFixed(0)} ms`)
  await writer.taken(200)
  links.get(old.node)?.heal()
  await writer.taken(200)
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(broker, 'a broken link costs the replica its place, not the epoch', async (stage) => {
  const { cluster, links } = await linked(stage)
  const primary = await cluster.primary()
  const [victim, other] = cluster.others(primary.node)
  assert.ok(victim && other)
  const writer = await stage.writer(cluster)
  await writer.taken(200)
  links.get(victim.id)?.stall()
  await cluster.inSync([primary.node, other.id])
  await writer.taken(200)
  links.get(victim.id)?.heal()
  await cluster.inSync(3)
  await writer.taken(100)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
  assert.equal(await cluster.primary(), primary, 'the epoch is the same all along')
})

broker.run()
