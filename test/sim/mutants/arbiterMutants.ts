/** Guards against an arbiter that refuses, and against records that are none. */
import type { Mutant } from './mutant.js'

export const arbiterMutants: readonly Mutant[] = [
  {
    name: 'rejection-settles-a-change',
    why:
      'A change that the arbiter refused may be stored yet: until the revision has moved, commits '
      + 'wait for both sets.',
    edits: [
      {
        file: 'actors/primary/assignmentWriter.js',
        find: 'onRejected: (reason) => member.known.rejected(reason),',
        replace: '',
      },
      {
        file: 'actors/primary/assignmentWriter.js',
        find:
          'if (!await this.settle(next))\n            return false;\n        lease.need(inSync);',
        replace: 'if (!await this.settle(next)) { const was = epoch.record.assignment.inSync; '
          + 'followers.adopt(was); epoch.send({ type: \'inSyncChanged\', inSync: was }); '
          + 'return false; } lease.need(inSync);',
      },
    ],
    scenarios: ['rejected-expansion-applied-late'],
    evidence: /^I5/,
  },
  {
    name: 'hand-over-to-an-arbiter-that-refuses',
    why: 'From the sending of its compare-and-set on, a handover cannot be taken back.',
    edits: [{
      file: 'actors/primary/handover.js',
      find: 'const isTaken = await records.touch(isPresent);',
      replace: 'const isTaken = true;',
    }],
    scenarios: ['handover-that-the-arbiter-refuses'],
    evidence: /ACK_TIMEOUT|ARBITER_REFUSED|I10/,
  },
  {
    name: 'write-over-a-newer-record',
    why: 'A record of a later version is somebody\'s epoch, not a loss.',
    edits: [{
      file: 'actors/arbiter/assignmentStore.js',
      find: 'if (!decoded.ok && decoded.isNewer) {',
      replace: 'if (false) {',
    }],
    scenarios: ['record-of-a-newer-node'],
    evidence: /it was written over|its lease goes on/,
  },
  {
    name: 'wait-for-a-record-that-cannot-be-read',
    why: 'One unreadable record must not end a space: it is lost, and its members remember it.',
    edits: [{
      file: 'actors/arbiter/assignmentStore.js',
      find: 'if (!remembered)\n                return { kind: \'unreadable\', reason, revision };',
      replace: 'return { kind: \'unreadable\', reason, revision };',
    }],
    scenarios: ['record-that-nobody-can-read'],
    evidence: /^I10/,
  },
  {
    name: 'remember-a-record-that-is-read-again-only',
    why: 'While the arbiter is away it is not: after a restart the node does not know its space.',
    edits: [{
      file: 'actors/node/spaces.js',
      find: 'this.context.records.memory.keep(name);',
      replace: '',
    }],
    scenarios: ['test:sim/cluster/arbiterFaults'],
    evidence: /by which the node knows that it holds the space/,
  },
]
