/** `engram node list`. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listedNodes, showNodes, stateOf } from '../../../runtime/cli/nodeList.js'
import type { SpaceListing } from '../../../runtime/client/operator.js'
import { mergeStatus } from '../../../runtime/status/mergeStatus.js'
import type { ClusterNode, NodeStatus } from '../../../runtime/status/status.js'
import { runHere } from '../../support/cli.js'
import { report } from '../../support/pageKit.js'

const test = suite('engram node list')

/** What the status of the cluster says of a node that reports `over`. */
function node(id: string, over: Partial<NodeStatus> = {}): ClusterNode {
  const { node, spaces } = report(id)
  const { nodes } = mergeStatus([{ format: 1, spaces,
    node: { ...node, version: '1.2.3', ...over } }])
  return nodes.find((one) => one.id === id)!
}

const record = (members: readonly string[], primary: string | null): SpaceListing =>
  ({ space: 'demo', members, primary }) as SpaceListing

const full = { segments: 1, bytes: 1, flush: 1, readOnly: true }

test('the state of a node, the one that matters most', () => {
  assert.is(stateOf(node('n1')), 'running')
  assert.is(stateOf(node('n1', { drained: true })), 'drained')
  assert.is(stateOf(node('n1', { drained: true, evacuates: true })), 'evacuating')
  assert.is(stateOf(node('n1', { journal: full })), 'full')
  assert.is(stateOf(node('n1', { journal: { ...full, readOnly: false } })), 'running')
  assert.is(stateOf(node('n1', { state: 'isolated', drained: true })), 'isolated')
  const silent = mergeStatus([report('n1')]).nodes.find(({ id }) => id === 'n2')!
  assert.is(stateOf(silent), 'away')
})

test('nodes that answer, and members that do not; peers of no space are left out', () => {
  const silent = mergeStatus([report('n1', { members: ['n1', 'n2', 'gone'] })]).nodes
  const nodes = [node('n10', { zone: 'b' }), node('n1', { zone: 'a' }), node('n3'),
    ...silent.filter(({ pid }) => pid === null)]
  const spaces = [record(['n1', 'n2', 'n10'], 'n1'), record(['n1', 'n2'], 'n2'),
    record(['n10'], null)]
  assert.equal(showNodes(listedNodes(nodes, { spaces })).split('\n'), [
    'NODE  ZONE  STATE    VERSION  SPACES  PRIMARIES',
    'n1    a     running    1.2.3       2          1',
    'n2    -     away           -       2          1',
    'n3    -     running    1.2.3       0          0',
    'n10   b     running    1.2.3       2          0',
  ])
})

test('it has options of its own, and engram node keeps its', async () => {
  const where = { cwd: '/', env: {} }
  const help = await runHere(['node', 'list', '--help'], where)
  assert.is(help.code, 0)
  assert.match(help.out, /engram node list \[options\]/)
  assert.not.match(help.out, '--zone')
  const unreachable = ['--nats', 'nats://127.0.0.1:1', '--json']
  const listed = await runHere(['node', 'list', ...unreachable], where)
  assert.is(listed.code, 1)
  assert.match(listed.err, /"code":"CONNECT".*nobody listens at 127\.0\.0\.1:1 /)
  const run = await runHere(['node', '--id', 'n1', ...unreachable], where)
  assert.is(run.code, 2)
  assert.match(run.err, 'a node needs a data directory')
})

test.run()
