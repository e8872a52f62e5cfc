/** Guards against wall clocks that jump. */
import type { Mutant } from './mutant.js'

export const clockMutants: readonly Mutant[] = [
  {
    name: 'timestamps-that-jump',
    why: 'Keys are forgotten by timestamps: a wall clock that jumps a day within an epoch must not '
      + 'take a day of keys along.',
    edits: [{
      file: 'actors/log/logClock.js',
      find: 'Math.floor(Math.min(wallMs, boundMs))',
      replace: 'Math.floor(wallMs)',
    }],
    scenarios: ['test:actors/log/logClock'],
    evidence: /a clock that is set forward is followed at double speed/,
  },
  {
    name: 'keys-that-age-with-the-clock-of-a-new-epoch',
    why: 'An epoch begins at the wall clock; when all clocks have jumped, that says nothing of how '
      + 'old a key is.',
    edits: [{
      file: 'machines/log/keyClock.js',
      find: 'Math.min(passed, epochAdvanceMaxMs)',
      replace: 'passed',
    }],
    scenarios: ['test:sim/cluster/clockJumps'],
    evidence: /keys of a minute ago are known/,
  },
  {
    name: 'patience-by-the-wall-clock',
    why:
      'A wall clock that is set back by an hour must not keep those waiting who wait for a level.',
    edits: [
      {
        file: 'actors/primary/writeAnswers.js',
        find: 'const limit = this.clock.monotonicMs() -',
        replace: 'const limit = this.clock.wallMs() -',
      },
      {
        file: 'actors/primary/ingest.js',
        find: 'request, this.clock.monotonicMs())',
        replace: 'request, this.clock.wallMs())',
      },
    ],
    scenarios: ['test:sim/cluster/clockJumps'],
    evidence: /a clock that goes back keeps nobody waiting/,
  },
]
