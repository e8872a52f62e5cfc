/** Guards of maintenance: drain, pause, resume. */
import type { Mutant } from './mutant.js'

export const maintenanceMutants: readonly Mutant[] = [
  {
    name: 'claim-a-paused-space',
    why: 'A paused space waits for an operator, however sure its members are that it is vacant.',
    edits: [{
      file: 'machines/promotion.js',
      find: 'isHeld: ({ context }) => !context.forced && isListed(context) '
        + '&& context.hold !== null,',
      replace: 'isHeld: () => false,',
    }],
    scenarios: ['paused-failover'],
    evidence: /paused, and claimed all the same/,
  },
  {
    name: 'claim-upon-a-pause',
    why: 'A claimant has seen that the space is not paused: a pause since then refuses the claim.',
    edits: [{
      file: 'actors/promotion/promotion.js',
      find: 'await records.settle(next, record.revision, this.wanted, { urgency })',
      replace: 'await records.settle(next, record.revision, this.wanted, '
        + '{ madeOf: assignment })',
    }],
    scenarios: ['paused-between-reading-and-claiming'],
    evidence: /paused, and claimed all the same/,
  },
  {
    name: 'a-pause-that-ends-the-epoch',
    why: 'Operators write beside the primary: that is no other epoch.',
    edits: [{
      file: 'actors/arbiter/assignmentStore.js',
      find: 'if (found && !(current && madeOf && isSameButPaused(current.assignment, madeOf))) {',
      replace: 'if (found) {',
    }],
    scenarios: ['paused-beneath-a-change', 'paused-during-a-handover'],
    evidence: /the epoch goes on|^I10/,
  },
  {
    name: 'a-change-that-forgets-the-pause',
    why: 'An operator\'s command holds until an operator takes it back.',
    edits: [{
      file: 'actors/arbiter/assignmentStore.js',
      find: 'next = { ...next, paused: current.assignment.paused ?? null };',
      replace: '',
    }],
    scenarios: ['paused-beneath-a-change'],
    evidence: /and the pause is kept/,
  },
  {
    name: 'stand-by-for-a-drained-node',
    why: 'A node that must not be primary is no candidate that others wait for.',
    edits: [{
      file: 'actors/member/fitness.js',
      find: 'return this.member.context.duty.drained ?? this.fault;',
      replace: 'return this.fault;',
    }],
    scenarios: ['drained-candidate'],
    evidence: /n3 is primary/,
  },
  {
    name: 'refuse-for-good-what-another-may-have-taken',
    why: 'Once its epoch is given away, two nodes may have a write: that one refuses it decides '
      + 'nothing.',
    edits: [{
      file: 'actors/primary/writeGate.js',
      find: 'return this.mode === \'handingOver\' && !this.options.epoch.isGivenAway;',
      replace: 'return this.mode === \'handingOver\';',
    }],
    scenarios: ['test:sim/cluster/maintenance'],
    evidence: /once the epoch is given away two nodes may have a write/,
  },
]
