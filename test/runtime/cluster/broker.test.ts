/** The broker of `engram up`: whose credentials go where, and that it is started again once. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../../../runtime/cluster/broker.js'
import type { ClusterOptions } from '../../../runtime/cluster/clusterOptions.js'
import { NodeProcess } from '../../../runtime/cluster/nodeProcess.js'
import { flagWords } from '../../../runtime/config/natsSettings.js'
import { loadSettings } from '../../../runtime/config/sources.js'

const test = suite('broker of a cluster')
const data = mkdtempSync(join(tmpdir(), 'engram-broker-'))
mkdirSync(join(data, 'logs'))
test.after(() => rmSync(data, { recursive: true, force: true }))

const options = (nats: ClusterOptions['nats']): ClusterOptions => ({
  nodes: ['n1'],
  data,
  nats,
  natsPort: 0,
  stepOver: true,
  auth: false,
  restart: false,
  chaos: false,
  config: undefined,
  env: {},
  show: () => {},
  isInterrupted: () => false,
})

test('on a NATS server that runs already, nodes are nodes, and `up` is an operator', async () => {
  const natsAuth = join(data, 'nats.env')
  writeFileSync(natsAuth, 'ENGRAM_NODE_PASSWORD=of-nodes\nENGRAM_OPERATOR_PASSWORD=of-operators\n')
  const flags = {
    nats: 'tls://127.0.0.1:1',
    natsAuth,
    natsCa: '/my ca.pem',
    natsTlsFirst: true,
  }
  const broker = await startBroker(options({
    operator: loadSettings(flags, {}, 'operator').nats,
    node: loadSettings(flags, {}, 'node').nats,
    flags: flagWords(flags),
  }))
  assert.equal([broker.nats.user, broker.nats.password], ['operator', 'of-operators'])
  assert.equal([broker.env['ENGRAM_NATS_USER'], broker.env['ENGRAM_NATS_PASSWORD']], ['node',
    'of-nodes'])
  const { command } = new NodeProcess({
    id: 'n1',
    data: join(data, 'n1'),
    log: '',
    url: broker.url,
    env: {},
    config: undefined,
    natsFlags: broker.flags,
  })
  assert.is(command, `npx engram node --id n1 --nats tls://127.0.0.1:1 --data ${join(data, 'n1')} `
    + `--nats-auth ${natsAuth} --nats-ca '/my ca.pem' --nats-tls-first`)
})

test('two that want it started again get it started again once', async () => {
  const broker = await startBroker(options(null))
  const how: string[] = []
  void broker.exited?.then((why) => how.push(why))
  const before = broker.pid
  await Promise.all([broker.bounce(0), broker.bounce(0)])
  assert.is.not(broker.pid, before)
  assert.equal(how, [])
  const log = readFileSync(broker.logFile!, 'utf8')
  assert.is(log.match(/Starting nats-server/g)?.length, 2)
  const stopping = broker.bounce(0)
  await broker.stop()
  await stopping
  const { pid } = broker
  assert.throws(() => process.kill(pid!, 0), /ESRCH/)
  await broker.bounce(0)
  assert.is(broker.pid, pid)
})

test.run()
