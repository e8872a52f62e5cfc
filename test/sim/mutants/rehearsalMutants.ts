/** What a rehearsal has to take into account: without it, something else happens than was told. */
import type { Mutant } from './mutant.js'

const scenarios = ['test:sim/cluster/rehearsal']
const evidence = /what was told happens/

export const rehearsalMutants: readonly Mutant[] = [
  {
    name: 'rehearse-without-the-hold',
    why: 'A paused space, or a drained node, waits for an operator.',
    edits: [{
      file: 'machines/rehearsal/candidate.js',
      find: 'const hold = holdOf(record.assignment, on, drainOf(this.member));',
      replace: 'const hold = null;',
    }],
    scenarios,
    evidence,
  },
  {
    name: 'rehearse-with-an-arbiter-that-always-answers',
    why: 'Who does not reach the arbiter cannot claim.',
    edits: [{
      file: 'machines/rehearsal/candidate.js',
      find: 'if (arbiter.kind === \'unreachable\') {',
      replace: 'if (false) {',
    }],
    scenarios,
    evidence,
  },
  {
    name: 'rehearse-a-proof-for-one-that-hangs',
    why: 'The connection of a process that hangs is open: only its lease ends.',
    edits: [{
      file: 'machines/rehearsal/outlook.js',
      find: '(peer === this.lost && this.failure === \'gone\')',
      replace: 'peer === this.lost',
    }],
    scenarios,
    evidence,
  },
  {
    name: 'rehearse-as-if-all-were-on-one-server',
    why: 'A 503 proves something on the server of the node only, or by a witness there.',
    edits: [{
      file: 'machines/rehearsal/outlook.js',
      find: 'return isIndirect({ server: other.server, ownServer: node.server, '
        + 'isHeardOnConnection });',
      replace: 'return false;',
    }],
    scenarios: ['test:machines/rehearsal'],
    evidence: /another NATS server/,
  },
  {
    name: 'rehearse-a-weakest-point-of-members-that-are-gone',
    why: 'Who does not answer now is no copy that counts after the next loss.',
    edits: [{
      file: 'machines/rehearsal/rehearse.js',
      find: 'node === primary || (members.has(node) && outlook.areConnected(on, node))',
      replace: 'true',
    }],
    scenarios,
    evidence,
  },
]
