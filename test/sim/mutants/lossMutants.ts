/** Guards of the loss window. */
import type { Mutant } from './mutant.js'

export const lossMutants: readonly Mutant[] = [
  {
    name: 'answer-beyond-max-loss',
    why: 'A space that says how much may be lost has to be believed.',
    edits: [{
      file: 'actors/primary/writeAnswers.js',
      find: 'if (waiting.last > this.bound.limit()) {',
      replace: 'if (false) {',
    }],
    scenarios: ['loss-window-full'],
    evidence: /8 of 8 are answered while no replica has any of them/,
  },
  {
    name: 'count-from-the-commit-sequence',
    why: 'An entry that one member alone has committed is not safe: its disk may be lost.',
    edits: [{
      file: 'machines/log/commit.js',
      find: 'if (isUnderReplicated(inSyncCount, replicationFactor))',
      replace: 'if (false)',
    }],
    scenarios: ['alone-and-waiting'],
    evidence: /^I5|5 of 5 are answered while one member is in sync/,
  },
  {
    name: 'take-writes-while-under-replicated',
    why: 'The space rather refuses writes than have them on one disk alone.',
    edits: [{
      file: 'actors/primary/ingest.js',
      find: 'if (replies.bound.refuses) {',
      replace: 'if (false) {',
    }],
    scenarios: ['alone-and-refused'],
    evidence: /a write is taken while one member is in sync/,
  },
]
