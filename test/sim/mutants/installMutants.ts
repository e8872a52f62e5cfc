/** Guards of installs: nobody goes back below what others count on, nothing old is switched to. */
import type { Mutant } from './mutant.js'

export const installMutants: readonly Mutant[] = [
  {
    name: 'install-a-member-that-is-listed',
    why: 'A member in sync may be promoted, and commits count on it: it leaves the set first.',
    edits: [
      {
        file: 'actors/primary/followers.js',
        find: 'return this.isListedNow(request.node)',
        replace: 'return false',
      },
      { file: 'actors/install/intake.js', find: 'if (isListed)', replace: 'if (false)' },
    ],
    scenarios: ['install-of-a-listed-member'],
    evidence: /^I5: n3 is listed in sync in epoch \d+ and lacks/,
  },
  {
    name: 'install-any-checkpoint',
    why: 'A state that ends before the first entry that the primary keeps cannot be followed on '
      + 'from.',
    edits: [
      {
        file: 'actors/install/source.js',
        find: 'position.sequence >= minimum',
        replace: 'true',
      },
      {
        file: 'actors/install/pull.js',
        find: 'answer.position.sequence >= minimum',
        replace: 'true',
      },
      { file: 'actors/install/intake.js', find: 'if (sequence < minimum)', replace: 'if (false)' },
    ],
    scenarios: ['install-from-an-old-checkpoint'],
    evidence: /^I10: not within \d+ ms: n3 is in sync/,
  },
  {
    name: 'switch-in-another-session',
    why: 'What was loaded for one primary is older than what the member acknowledged to the next '
      + 'one, which did not answer that it has to be installed.',
    edits: [
      {
        file: 'actors/install/installation.js',
        find: 'this.session?.end();\n        this.session = null;',
        replace: '',
      },
      {
        file: 'actors/install/installation.js',
        find: 'if (!install)\n            this.discard();',
        replace: '',
      },
      {
        file: 'actors/install/installation.js',
        find: 'await session.ask();\n                if (session.isOver)',
        replace: '{ refusal: null, isAnswered: true };\n                if (session.isOver)',
      },
      {
        file: 'machines/replica.js',
        find: 'primaryLost: { target: \'.waiting\', actions: \'forgetEpoch\' },',
        replace: 'primaryLost: { target: \'.waiting\', actions: \'forgetEpoch\' },\n'
          + '        switchAllowed: { actions: perform(\'switch\') },',
      },
    ],
    scenarios: ['switch-after-another-answer'],
    evidence: /^I9 is violated .*: durable progress of a session went from \d+ to \d+/,
  },
  {
    name: 'join-with-a-record-that-is-not-durable',
    why: 'A power cut takes the record of the switch away, and with it all that was acknowledged.',
    edits: [{
      file: 'actors/install/replaceState.js',
      find: 'await commits.submit({ type: \'snapshotInstalled\', uuid, covers });',
      replace: 'await new Promise((written) => '
        + 'void commits.submit({ type: \'snapshotInstalled\', uuid, covers }, written));',
    }],
    scenarios: ['power-cut-in-the-switch'],
    evidence: /^I5: n3 is listed in sync in epoch \d+ and lacks/,
  },
  {
    name: 'tell-stores-by-their-positions',
    why: 'A store of the log that was replaced may have more entries than the new one.',
    edits: [{
      file: 'actors/member/rebuild.js',
      find: 'store.installs !== installs || ',
      replace: '',
    }],
    scenarios: ['kill-between-record-and-store'],
    evidence: /I15: it was installed once/,
  },
  {
    name: 'floor-of-the-log-before',
    why: 'How far the former log was committed says nothing of the one that takes its place.',
    edits: [{
      file: 'actors/install/replaceState.js',
      find: 'floors.forget(member.log);',
      replace: '',
    }],
    scenarios: ['floor-of-the-log-before'],
    evidence: /I15: it was installed once/,
  },
  {
    name: 'take-in-a-member-that-is-rebuilding',
    why: 'Listed in sync, it might be the only one left, and could not be promoted.',
    edits: [{
      file: 'actors/primary/inSyncPolicy.js',
      find: 'if (shipping.isRebuilding)',
      replace: 'if (false)',
    }],
    scenarios: ['test:sim/cluster/installs'],
    evidence: /a member whose store is being rebuilt is not listed in sync/,
  },
  {
    name: 'follow-with-a-damaged-log',
    why:
      'A log of which entries cannot be read is replaced as a whole, whatever a primary answers.',
    edits: [{
      file: 'actors/replica/joinRequest.js',
      find: 'answer.snapshotNeeded || damage !== null\n',
      replace: 'answer.snapshotNeeded\n',
    }, {
      file: 'actors/space/space.js',
      find: 'if (!primary || !this.context.peers.knowsInstalls(primary))',
      replace: 'if (!primary)',
    }],
    scenarios: ['test:sim/cluster/installs'],
    evidence: /a damaged member does not join a primary of an earlier release/,
  },
  {
    name: 'blame-the-log-that-has-replaced-it',
    why:
      'A read that began before an install is of the former log: it says nothing of the new one.',
    edits: [{
      file: 'runtime/journal/frameReader.js',
      find: 'this.options.logs.get(log.uuid) === log',
      replace: 'true',
    }],
    scenarios: ['test:runtime/journal/overtaken'],
    evidence: /^and not the one that has replaced it meanwhile/,
  },
]
