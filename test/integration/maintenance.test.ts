/** Maintenance with real processes: drained nodes, paused failover. */
import * as assert from 'uvu/assert'
import { assertAllTaken, assertNoErrors, audit } from '../support/audit.js'
import { cli, runCli, showCommand } from '../support/cli.js'
import { space } from '../support/cluster.js'
import { note, scenario, suite } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const maintenance = suite('integration: maintenance')

/** Long enough for any write that a handover holds back: a timeout would hide an error. */
const patient = { attemptTimeoutMs: 8000 } as const

interface Status {
  readonly nodes: readonly { id: string; state: string; drained: boolean }[]
  readonly spaces: readonly {
    id: string
    epoch: number
    primary: string | null
    blocked: string | null
    paused: { since: string; by: string } | null
  }[]
}

scenario(maintenance, 'drain, undrain, drain --stop, under load', async (stage) => {
  const cluster = await stage.cluster()
  const args = ['--nats', cluster.broker.url]
  const status = async () =>
    JSON.parse((await runCli(['status', '--json', ...args])).stdout) as Status
  const writer = await stage.writer(cluster, patient)
  await writer.taken(100)
  const first = await cluster.primary()
  await cli(['drain', first.node, ...args])
  const second = await cluster.primary({ above: first.epoch })
  assert.is.not(second.node, first.node)
  assert.equal((await status()).nodes.filter(({ drained }) => drained).map(({ id }) => id), [
    first.node,
  ])
  const shown = await runCli(['status', ...args])
  assert.match(shown.stdout, /running, drained/)
  const back = await runCli(['promote', space, '--to', first.node, ...args])
  assert.is(back.code, 1, showCommand(back))
  assert.match(back.stderr, /is drained since .* by /)
  await writer.taken(100)
  await cli(['undrain', first.node, ...args])
  await cluster.inSync(3)
  const { epoch } = await cluster.primary()
  await cli(['promote', space, '--to', first.node, ...args])
  await cluster.primary({ above: epoch, by: first.node })
  await cluster.inSync(3)
  const node = cluster.node(first.node)
  await cli(['drain', first.node, '--stop', ...args])
  await waitFor(`${first.node} to stop`, () => Promise.resolve(node.isRunning ? null : true))
  await cluster.primary({ above: epoch + 1 })
  await writer.taken(100)
  await node.start()
  const history = await writer.stop()
  assertNoErrors(history)
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(maintenance, 'paused: kill -9 and nobody follows; resumed: one does', async (stage) => {
  const cluster = await stage.cluster()
  const args = ['--nats', cluster.broker.url]
  const demo = async () =>
    (JSON.parse((await runCli(['status', '--json', ...args])).stdout) as Status)
      .spaces.find(({ id }) => id === space)!
  await cli(['pause', '--all', ...args])
  const { paused } = await demo()
  assert.match(paused?.since ?? '', /^20.*Z$/)
  assert.match(paused?.by ?? '', /@/)
  const primary = await cluster.primary()
  await cluster.node(primary.node).kill()
  const blocked = await waitFor('the space to say why it waits', async () => (await demo()).blocked)
  note(`blocked: ${blocked}`)
  assert.match(blocked, /held: paused since 20/)
  await new Promise((resolve) => setTimeout(resolve, 3000))
  const later = await demo()
  assert.is(later.epoch, primary.epoch, 'nobody takes over')
  assert.is(later.blocked, blocked)
  await cli(['resume', space, ...args])
  const next = await cluster.primary({ above: primary.epoch })
  assert.is.not(next.node, primary.node)
  assert.is((await demo()).paused, null)
  await cluster.node(primary.node).start()
  await cluster.inSync(3)
})

maintenance.run()
