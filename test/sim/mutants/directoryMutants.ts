/** Guards of a start, and of members that have less than they should. */
import type { Mutant } from './mutant.js'

export const directoryMutants: readonly Mutant[] = [
  {
    name: 'trust-a-directory-of-the-past',
    why: 'A backup of a directory lacks what its disk acknowledged since.',
    edits: [{
      file: 'machines/protocol/dataDirectoryVerdict.js',
      find: 'if (recorded.incarnation > directory.incarnation) {',
      replace: 'if (false) {',
    }],
    scenarios: ['directory-of-the-past'],
    evidence: /^I5: n2 takes epoch|^I5: .* lacks \d+ of epoch|^I5: what the copy lacks is gone/,
  },
  {
    name: 'count-a-number-that-was-not-compared',
    why: 'A copy of the past that raises its number first passes at one of its next starts.',
    edits: [{
      file: 'actors/node/nodeRegistration.js',
      find: 'await this.options.boot.saveIdentity({ disk, incarnation, spoken });',
      replace: 'await this.options.boot.saveIdentity({ disk, incarnation: spoken, spoken });',
    }],
    scenarios: ['directory-of-the-past-without-arbiter'],
    evidence: /^I5: n2 takes epoch|^I5: .* lacks \d+ of epoch|^I5: what the copy lacks is gone/,
  },
  {
    name: 'count-a-start-that-the-arbiter-does-not-know',
    why: 'Its directory may be a copy of the past: in sync, it would be promoted.',
    edits: [{
      file: 'actors/membership/heartbeats.js',
      find: 'return this.detectors.saidBy(peer)?.registered ?? false;',
      replace: 'return true;',
    }],
    scenarios: ['directory-found-out-late'],
    evidence: /n2 is in sync, and unknown to the arbiter/,
  },
  {
    name: 'fall-back-behind-the-record',
    why: 'A record that was sent may be written: the directory must not be older than that.',
    edits: [{
      file: 'actors/node/nodeRegistration.js',
      find: 'if (this.verdict)',
      replace: 'if (false)',
    }],
    scenarios: ['directory-answer-lost'],
    evidence: /a genuine disk is taken for a copy/,
  },
  {
    name: 'keep-the-former-name-when-registered',
    why:
      'The arbiter knows the numbers that were sent to it: who goes by others is another member.',
    edits: [{
      file: 'actors/node/nodeRegistration.js',
      find: 'Object.assign(self, numbersOf(verdict));',
      replace: '',
    }],
    scenarios: ['directory-found-out-late-answer-lost'],
    evidence: /n2 counts with its former disk|not within \d+ ms/,
  },
  {
    name: 'start-beside-a-living-process',
    why: 'Two processes on one directory overwrite what the other acknowledged.',
    edits: [{
      file: 'actors/node/twins.js',
      find: 'throw livingTwin(self.node, decoded.ok ? decoded.value.incarnation : null);',
      replace: '',
    }],
    scenarios: ['two-processes-on-one-directory'],
    evidence: /^I12: a second process wrote to the directory/,
  },
  {
    name: 'speak-while-a-twin-may-live',
    why: 'A process that is stopped goes on within its lease, while the others succeed it.',
    edits: [{
      file: 'actors/node/twins.js',
      find: 'if (isSilent && outwait)',
      replace: 'if (false)',
    }],
    scenarios: ['twin-that-is-stopped'],
    evidence: /^I[123]: /,
  },
  {
    name: 'count-a-member-that-lost-entries',
    why: 'A member in sync may be all that is left: what it lacks is then gone.',
    edits: [{
      file: 'actors/primary/inSyncPolicy.js',
      find: 'if (has >= wanted)',
      replace: 'if (true)',
    }],
    scenarios: ['member-that-lost-entries'],
    evidence: /^I5: /,
  },
  {
    name: 'stand-with-less-than-is-committed',
    why: 'A write that is answered as committed is in the log of every later epoch.',
    edits: [{
      file: 'actors/member/fitness.js',
      find: 'if (this.lacking)',
      replace: 'if (false)',
    }, {
      file: 'actors/promotion/promotion.js',
      find: 'if (lacking && !forced)',
      replace: 'if (false)',
    }],
    scenarios: ['candidate-that-lost-entries'],
    evidence: /^I5: /,
  },
  {
    name: 'forget-how-far-it-was-committed',
    why:
      'A store that was thrown away would be built in the overlay, with the whole log in memory.',
    edits: [{
      file: 'actors/member/member.js',
      find: 'recovered?.floor ?? 0',
      replace: '0',
    }],
    scenarios: ['all-stores-lost'],
    evidence: /overlay holds \d+ entries|the store holds/,
  },
]
