/** Guards of forgetting a node that is gone for good. */
import type { Mutant } from './mutant.js'

const file = 'actors/node/forgetNode.js'
const scenarios = ['test:sim/cluster/forgetting']

export const forgetMutants: readonly Mutant[] = [
  {
    name: 'forget-a-promise',
    why: 'A node that does not know of its own grant any more would not wait for its end.',
    edits: [{ file: 'actors/membership/heartbeats.js', find: '!this.isGrantExpired(node)',
      replace: 'false' }],
    scenarios,
    evidence: /no promise is forgotten/,
  },
  {
    name: 'forget-a-member',
    why: 'It counts for commits and quorums, so people have to see that it is away.',
    edits: [{ file, find: 'await checkRecords(context, node);', replace: '' }],
    scenarios,
    evidence: /while it is a member/,
  },
  {
    name: 'forget-a-learner',
    why: 'The change waits for it.',
    edits: [{ file, find: 'isHolder(assignment, node)',
      replace: 'assignment.members.some((one) => one.node === node)' }],
    scenarios,
    evidence: /while it is a learner/,
  },
  {
    name: 'forget-what-another-node-hears',
    why: 'It is not gone: the connection between two nodes is.',
    edits: [{ file, find: 'error instanceof AdminRefusal && error.reason === \'alive\'',
      replace: 'false' }],
    scenarios,
    evidence: /another node hears it/,
  },
]
