/** `engram node forget`: what it says of the answers. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runHere } from '../../support/cli.js'
import { ResponderKit } from '../../support/responderKit.js'

const test = suite('engram node forget')
const kit = new ResponderKit(test)
const forget = (...args: string[]) => runHere(['node', 'forget', ...args], kit.surroundings)

test('it says who has forgotten the node, and asks for that as somebody', async () => {
  kit.node.onAdmin = () => ({ ok: true, forgottenBy: ['n1', 'n2'], missed: [],
    message: 'n3 is forgotten by n1, n2' })
  const { code, out } = await forget('n3')
  assert.equal([code, out], [0, 'n3 is forgotten by n1, n2\n'])
  const { type, node, by } = kit.node.admins.at(-1) as Record<string, string>
  assert.equal([type, node], ['forgetNode', 'n3'])
  assert.ok(by)
  const json = await forget('n3', '--json')
  assert.equal((JSON.parse(json.out) as { forgottenBy: string[] }).forgottenBy, ['n1', 'n2'])
})

test('nodes that did not do it are named, and the exit code says so', async () => {
  kit.node.onAdmin = () => ({ ok: true, forgottenBy: ['n1'],
    missed: [{ node: 'n2', reason: 'n2 does not answer' }], message: 'n3 is forgotten by n1' })
  const { code, err } = await forget('n3')
  assert.is(code, 1)
  assert.match(err, 'n2 may still list it: n2 does not answer')
  assert.match(err, 'Run engram node forget n3 again')
})

const remedies = {
  alive: ['n3 is alive', 'engram drain n3 --evacuate --stop'],
  holder: ['n3 is a member of 1 space: demo', '--replace n3=NEW'],
}
for (const [reason, [message = '', remedy = '']] of Object.entries(remedies)) {
  test(`refused (${reason}): what to do instead`, async () => {
    kit.node.onAdmin = () => ({ ok: false, code: 'INVALID_OPERATION', message, retryable: false,
      reason })
    const { code, err } = await forget('n3')
    assert.is(code, 1)
    assert.match(err, message)
    assert.match(err, remedy)
  })
}

test('a name that no node has is refused before anything is sent', async () => {
  const from = kit.node.admins.length
  const { code, err } = await forget('a.b')
  assert.is(code, 2)
  assert.match(err, 'invalid node name')
  assert.is(kit.node.admins.length, from)
})

test.run()
