/** Guards of who reads a log that no longer has its beginning. */
import type { Mutant } from './mutant.js'

export const goneMutants: readonly Mutant[] = [
  {
    name: 'answer-with-what-is-left-in-memory',
    why: 'The first entry that is kept is what the journal has: a reader goes on from there.',
    edits: [{
      file: 'actors/reads/readPages.js',
      find: 'if (from <= base)',
      replace: 'if (false)',
    }],
    scenarios: ['test:actors/reads/readPages'],
    evidence: /^a page that begins below the first retained entry/,
  },
  {
    name: 'take-a-removal-for-a-fault',
    why: 'Entries that were given up are missing by intent: nothing about the member is wrong.',
    edits: [{
      file: 'actors/reads/readPages.js',
      find: 'error instanceof EntriesGoneError',
      replace: 'false',
    }],
    scenarios: ['test:sim/cluster/goneEntries'],
    evidence: /^fates, repeated keys and the history/,
  },
  {
    name: 'take-what-is-gone-for-damage',
    why: 'A primary that gave up what a slow member lacks would leave its role for it.',
    edits: [{
      file: 'actors/member/member.js',
      find: 'error.code === \'JOURNAL_DAMAGED\'',
      replace: '/^(?:JOURNAL_DAMAGED|ENTRIES_GONE)$/.test(String(error.code))',
    }],
    scenarios: ['test:sim/cluster/goneEntries'],
    evidence: /^a stream whose next entry is gone/,
  },
  {
    name: 'end-the-session-that-begins-elsewhere',
    why: 'A read that began before a member joined again says nothing of its present session.',
    edits: [{
      file: 'actors/primary/replicaStream.js',
      find: 'if (isPresent || ',
      replace: 'if (true || ',
    }],
    scenarios: ['test:actors/primary/replicaStream'],
    evidence: /ends the session that needs it/,
  },
  {
    name: 'begin-an-epoch-by-frames-alone',
    why: 'A log without frames has its clock in a record; without it nobody could be promoted.',
    edits: [{
      file: 'actors/promotion/epochStart.js',
      find: 'if (covers && log.end.sequence === log.base',
      replace: 'if (false && log.end.sequence === log.base',
    }],
    scenarios: ['test:sim/cluster/goneEntries'],
    evidence: /^an epoch begins on a log of which no entry is kept/,
  },
  {
    name: 'cut-a-log-below-its-checkpoints',
    why: 'What is below may be in checkpoints only: such a record is a defect, and ends the node.',
    edits: [
      {
        file: 'actors/replica/joinRequest.js',
        find: 'log.root.sequence, log.covered.sequence)',
        replace: 'log.root.sequence)',
      },
      {
        file: 'actors/replica/joinRequest.js',
        find: 'context.ports.journal.log(uuid)?.covers.kept.at(-1)?.position.sequence ?? 0;',
        replace: '0;',
      },
      {
        file: 'actors/replica/replica.js',
        find: 'if (log.covered.sequence > common.sequence)',
        replace: 'if (false)',
      },
    ],
    scenarios: ['test:sim/cluster/goneEntries'],
    evidence: /^a log is not cut below/,
  },
  {
    name: 'sum-up-all-that-is-covered',
    why: 'Where the log of a member that was away has left this one, only the history tells.',
    edits: [{
      file: 'machines/log/retention.js',
      find: 'last <= covered) - spansMax',
      replace: 'last <= covered) - 1',
    }],
    scenarios: ['test:sim/cluster/histories'],
    evidence: /what was committed before a member was away is no fork/,
  },
]
