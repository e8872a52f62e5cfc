/** Guards of what primaries move without an order: for balance, and to replace a member. */
import type { Mutant } from './mutant.js'

const file = 'actors/primary/autoBalance.js'
const membersFile = 'actors/primary/memberBalance.js'
const scenarios = ['test:sim/cluster/autoBalance']

export const balanceMutants: readonly Mutant[] = [
  {
    name: 'balance-at-once',
    why: 'A node that comes and goes would take its primaries each time.',
    edits: [{ file, find: 'well.lasts(to, balanceAfterMs)', replace: 'well.lasts(to, 0)' }],
    scenarios,
    evidence: /and not before its time/,
  },
  {
    name: 'balance-whatever-is-wrong',
    why:
      'Without the arbiter or most nodes it may be this node that is wrong; a pause is an order.',
    edits: [
      { file, find: '|| !isUsual(member, assignment)', replace: '' },
      { file, find: '&& isUsual(member, record)', replace: '' },
    ],
    scenarios,
    evidence: /nothing is moved while the space is paused/,
  },
  {
    name: 'balance-during-a-change-of-members',
    why: 'One thing at a time: the members may be others in a moment.',
    edits: [
      { file, find: 'if (change) {', replace: 'if (false) {' },
      { file, find: '&& !record.change', replace: '' },
    ],
    scenarios,
    evidence: /a change of the members is under way/,
  },
  {
    name: 'balance-to-a-drained-member',
    why: 'It would be asked again and again, and the next heaviest would never have its turn.',
    edits: [{ file, find: '&& peers.isLiving(node) && peers.unfitOf(node) === null',
      replace: '&& peers.isLiving(node)' }],
    scenarios,
    evidence: /while it is drained, too/,
  },
  {
    name: 'balance-to-a-member-that-lags',
    why: 'Writes would wait until it has everything, or until the handover is given up.',
    edits: [{
      file,
      find: 'followers.lagMs(node) <= handoverPatienceMs(settings.grantMs) / lagShare',
      replace: 'true',
    }],
    scenarios,
    evidence: /the preferred member lags/,
  },
  {
    name: 'balance-without-asking-first',
    why: 'A member that hangs is heard for a while, and cannot write for longer.',
    edits: [{ file, find: 'const unfit = await unfitNow(member, to);',
      replace: 'const unfit = null;' }],
    scenarios,
    evidence: /cannot write/,
  },
  {
    name: 'balance-against-the-operator',
    why: 'A promotion that was ordered would be undone a minute later.',
    edits: [{ file, find: 'forced || promotedBy !== undefined', replace: 'false' }],
    scenarios,
    evidence: /an operator's choice is kept/,
  },
  {
    name: 'choice-outlives-its-epoch',
    why: 'What an operator ordered once would hold for ever.',
    edits: [{
      file: 'machines/protocol/assignments.js',
      find: 'const { start: _, promotedBy: __, ...rest } = record;\n    return {',
      replace: 'const { start: _, ...rest } = record; return {',
    }],
    scenarios,
    evidence: /an operator's choice is kept, until/,
  },
  {
    name: 'balance-all-primaries-at-once',
    why: 'All spaces of a node would hold their writes back at the same time.',
    edits: [{ file, find: '|| !balancing.take(space)', replace: '' }],
    scenarios,
    evidence: /one primary at a time/,
  },
  {
    name: 'time-goes-on-while-paused',
    why: 'The primary would move at the very moment at which an operator resumes the space.',
    edits: [{ file, find: 'this.well.clear();\n            return this.members.beginAnew',
      replace: 'return this.members.beginAnew' }],
    scenarios,
    evidence: /begins the time anew/,
  },
  {
    name: 'move-members-though-one-is-away',
    why: 'It may be back in a moment, and the space would have been copied for nothing.',
    edits: [{ file: membersFile, find: 'names.every((node) => nodes.includes(node))',
      replace: 'true' }],
    scenarios,
    evidence: /no member is moved while another one is away or drained/,
  },
  {
    name: 'move-a-member-at-once',
    why: 'A node that is started would get copies of spaces that it may not keep.',
    edits: [{ file: membersFile, find: 'nowMs - this.due.sinceMs >= doubled(balanceAfterMs, times)',
      replace: 'true' }],
    scenarios,
    evidence: /members are moved to where/,
  },
  {
    name: 'wait-for-a-learner-that-is-gone',
    why: 'No other change could begin, also not the replacement of a member that is gone.',
    edits: [{ file: membersFile, find: 'isGone ? this.isDue(`cancel ${add}`)',
      replace: 'isGone ? false' }],
    scenarios,
    evidence: /is taken back/,
  },
  {
    name: 'tell-of-a-gone-member-each-time',
    why: 'While its order is refused, operators would be told of the same member again and again.',
    edits: [{ file: 'actors/primary/selfHealing.js', find: 'if (this.told.has(gone))',
      replace: 'if (false)' }],
    scenarios: ['test:actors/primary/selfHealing'],
    evidence: /told once/,
  },
  {
    name: 'move-again-at-once',
    why: 'A node that never catches up would be given the same space every few minutes for good.',
    edits: [{ file: membersFile, find: 'what === this.failed.move ? this.failed.times : 0',
      replace: '0' }],
    scenarios,
    evidence: /ordered less and less often/,
  },
  {
    name: 'wait-for-a-learner-that-gets-no-further',
    why: 'While the change is under way the space is not balanced, and no member replaced.',
    edits: [{ file: membersFile, find: ': isStuck && this.orders.mayBegin', replace: ': false' }],
    scenarios,
    evidence: /gets no further is taken back/,
  },
  {
    name: 'replace-by-a-learner-that-gets-no-further',
    why: 'The space would be short of a copy for good, and another node could have it.',
    edits: [{ file: 'actors/primary/selfHealing.js',
      find: '&& this.options.learner.isStuckFor(replaceAfterMs)', replace: '&& false' }],
    scenarios: ['test:sim/cluster/selfHealing'],
    evidence: /gets no further is given up/,
  },
  {
    name: 'choose-the-one-again-that-got-no-further',
    why: 'It is the best spare node by its weight, and would be chosen each time.',
    edits: [{ file: 'actors/primary/selfHealing.js', find: 'if (isStuck)\n',
      replace: 'if (false)\n' }],
    scenarios: ['test:sim/cluster/selfHealing'],
    evidence: /gets no further is given up/,
  },
]
