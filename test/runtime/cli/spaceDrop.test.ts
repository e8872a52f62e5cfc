/** `engram space drop` without `--yes`: what would go. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { previewFrom, showPreview } from '../../../runtime/cli/spaceDrop.js'
import type { ClusterMember, ClusterSpace } from '../../../runtime/status/status.js'

const test = suite('engram space drop')

const member = (node: string, over: Partial<ClusterMember> = {}): ClusterMember => ({
  node,
  role: 'replica',
  state: 'streaming',
  epoch: 3,
  inSync: true,
  durableSequence: 1204,
  appliedSequence: 1204,
  lagBytes: 0,
  lagMs: 0,
  digest: '',
  salvages: 0,
  reason: '',
  ...over,
})

const demo: ClusterSpace = {
  id: 'demo',
  uuid: 'u1',
  epoch: 3,
  primary: 'n1',
  inSync: ['n1', 'n2'],
  minInSync: 2,
  rf: 3,
  ack: 'durable',
  endSequence: 1204,
  commitSequence: 1204,
  safeSequence: 1204,
  lossWindow: { entries: 0, bytes: 0, ms: 0 },
  maxLoss: null,
  throttled: false,
  blocked: null,
  lastPromotionMs: null,
  members: [member('n1', { role: 'primary' }), member('n2', { salvages: 2 }),
    member('n3', { role: 'unknown', state: 'unreachable' })],
}

test('members, entries, quarantine and salvages', () => {
  const preview = previewFrom({ ...demo, forks: { open: 1, quarantined: 3, waiting: 9 } })
  assert.equal(preview, {
    space: 'demo',
    uuid: 'u1',
    members: ['n1', 'n2', 'n3'],
    away: ['n3'],
    entries: 1204,
    quarantined: 3,
    salvages: { n2: 2 },
  })
  assert.equal(showPreview(preview).split('\n'), [
    'demo would be dropped, with everything in it:',
    '  members     n1 n2 n3; away, so later: n3',
    '  entries     1,204',
    '  quarantine  3 writes',
    '  salvages    2 on n2: writes that are in no log yet',
  ])
})

test('nothing unusual in it, and nobody who knows what is in it', () => {
  const plain = showPreview(previewFrom({ ...demo, members: [member('n1')] }))
  assert.match(plain, /members {5}n1\n/)
  assert.match(plain, /quarantine {2}empty\n {2}salvages {4}none$/)
  const unknown = { ...previewFrom(demo), entries: null }
  assert.match(showPreview(unknown), /No member answers: what it holds is not known$/)
})

test.run()
