/** Guards of dropped spaces: nothing is acknowledged any more, and only what was dropped goes. */
import type { Mutant } from './mutant.js'

/** Both places at which a member judges whether its space was dropped. */
const judging = (instead: (record: string) => string): Mutant['edits'] => [
  {
    file: 'actors/node/spaces.js',
    find: 'const isDropped = saysDropped(assignment, uuid);',
    replace: `const isDropped = saysDropped(assignment, uuid) || ${instead('assignment')};`,
  },
  {
    file: 'actors/node/dropping.js',
    find: 'if (saysDropped(assignment, uuid))',
    replace: `if (saysDropped(assignment, uuid) || ${instead('assignment')})`,
  },
]

export const droppingMutants: readonly Mutant[] = [
  {
    name: 'acknowledge-while-the-tombstone-is-sent',
    why: 'The arbiter may have it already: what is acknowledged now is removed a moment later.',
    edits: [{
      file: 'actors/primary/primary.js',
      find: 'this.epoch.giveAway();\n        this.ingest.end(\'NOT_PRIMARY\', reason);',
      replace: '',
    }],
    scenarios: ['drop-under-load'],
    evidence: /answered positively after the tombstone/,
  },
  {
    name: 'drop-by-absence',
    why: 'The record of another space does not say that this one was dropped: its own may be lost.',
    edits: judging((record) => `${record}.uuid !== uuid`),
    scenarios: ['bucket-wiped-then-created'],
    evidence: /I6: n\d gave up data/,
  },
  {
    name: 'drop-by-the-tombstone-of-another-space',
    why: 'A tombstone ends the space of its uuid, not whatever had the name.',
    edits: judging((record) => `${record}.state === 'dropped'`),
    scenarios: ['bucket-wiped-then-dropped'],
    evidence: /I6: n\d gave up data/,
  },
  {
    name: 'drop-without-reading',
    why: 'The record is read by the member itself, right before its data goes.',
    edits: [{
      file: 'actors/node/dropping.js',
      find: 'const read = await records.read(space);',
      replace: 'return \'which was dropped\'; const read = await records.read(space);',
    }],
    scenarios: ['tombstone-that-the-arbiter-loses'],
    evidence: /I6: n3 gave up data/,
  },
  {
    name: 'drop-of-the-former-name-only',
    why: 'A name may be used and dropped again while a member is away: all of them are listed.',
    edits: [{
      file: 'machines/protocol/assignments.js',
      find: 'return [...formerly, ...(state === \'dropped\' ? [uuid] : [])].slice(-formerlyMax);',
      replace: 'return state === \'dropped\' ? [uuid] : formerly.slice(-1);',
    }],
    scenarios: ['name-used-again'],
    evidence: /n3 still has a log/,
  },
  {
    name: 'forget-a-drop-at-a-crash',
    why: 'The record in the journal decides: a start continues with what is left.',
    edits: [{
      file: 'actors/node/dropping.js',
      find: 'of journal.dropped()) {',
      replace: 'of []) {',
    }],
    scenarios: ['crash-between-any-two-steps-of-a-drop'],
    evidence: /n3 still has/,
  },
  {
    name: 'give-up-the-record-of-a-drop',
    why: 'While something is left, a later start has to know that it may be removed.',
    edits: [{
      file: 'runtime/journal/restated.js',
      find: '...logs.endedIn(segment)',
      replace: '...[]',
    }],
    scenarios: ['test:sim/cluster/dropping'],
    evidence: /^what cannot be removed is tried again/,
  },
  {
    name: 'remember-a-dropped-space-as-it-was',
    why: 'A start without the arbiter begins it again, once the journal has forgotten the drop.',
    edits: [{
      file: 'actors/arbiter/rememberedAssignments.js',
      find: '!(kept || this.options.isHeld(space))',
      replace: '!this.options.isHeld(space)',
    }],
    scenarios: ['test:sim/cluster/dropping'],
    evidence: /away when the space was dropped remembers it/,
  },
]
