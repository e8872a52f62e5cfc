/** Dropped spaces with real processes: what goes, what is asked of it afterwards, who was away. */
import * as assert from 'uvu/assert'
import { cli, runCli, showCommand } from '../support/cli.js'
import { space } from '../support/cluster.js'
import { scenario, suite } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const dropping = suite('integration: dropping')

interface Status {
  readonly spaces: readonly { id: string; uuid: string }[]
}

scenario(dropping, 'dropped under load, with a member away; the name is used again',
  async (stage) => {
    const cluster = await stage.cluster()
    const args = ['--nats', cluster.broker.url]
    const status = async () =>
      JSON.parse((await runCli(['status', '--json', ...args])).stdout) as Status
    const writer = await stage.writer(cluster)
    await writer.taken(200)
    const { uuid } = (await status()).spaces.find(({ id }) => id === space)!
    const primary = await cluster.primary()
    const nodes = [...cluster.nodes.values()]
    const away = nodes.find(({ id }) => id !== primary.node)!
    await away.kill()

    const asked = await runCli(['space', 'drop', space, ...args])
    assert.is(asked.code, 2, showCommand(asked))
    assert.match(asked.stdout, /members {5}n1 n2 n3\b.*away, so later: n\d/)
    assert.match(asked.stderr, new RegExp(`engram space drop ${space} --yes`))
    const preview = JSON.parse(
      (await runCli(['space', 'drop', space, '--json', ...args])).stdout,
    ) as {
      dropped: boolean
      uuid: string
      entries: number
    }
    assert.equal([preview.dropped, preview.uuid], [false, uuid])
    assert.ok(preview.entries >= 200)
    assert.is((await status()).spaces.length, 1, 'it only said so')

    const dropped = await cli(['space', 'drop', space, '--yes', ...args])
    assert.match(dropped.stdout, /its members remove their data/)
    await writer.close()
    const remaining = nodes.filter((node) => node !== away)
    const said = (node: { id: string }) =>
      runCli(['events', '--json', '--last', '500', ...args]).then(({ stdout }) =>
        stdout.includes(`${node.id} has removed its data`) ? true : null
      )
    for (const node of remaining) await waitFor(`${node.id} to remove its data`, () => said(node))
    assert.is((await status()).spaces.length, 0)
    const list = await runCli(['space', 'list', '--json', ...args])
    assert.equal(JSON.parse(list.stdout), { spaces: [] })
    for (
      const command of [['write', space, '{"type":"StoreNode","node":{"id":"late"}}'], ['read',
        space, 'list'], ['pause', space], ['space', 'set', space, '--ack', 'memory']]
    ) {
      const refused = await runCli([...command, ...args])
      assert.is(refused.code, 1, showCommand(refused))
      assert.match(refused.stderr, /UNKNOWN_SPACE/, showCommand(refused))
    }
    assert.is((await runCli(['space', 'drop', space, '--yes', ...args])).code, 0,
      'it was so already')

    await cli(['space', 'create', space, '--replicas', '1', ...args])
    await cli(['write', space, '{"type":"StoreNode","node":{"id":"new"}}', ...args])
    await away.start()
    await waitFor(`${away.id} to remove what it had`, () => said(away))
    const found = await cli(['read', space, 'list', '--json', ...args])
    assert.match(found.stdout, /"new"/)
    assert.is(found.stdout.trim().split('\n').length, 1, found.stdout)
  })

dropping.run()
