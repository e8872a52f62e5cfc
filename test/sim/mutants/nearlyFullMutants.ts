/** Guards of what goes, and is taken, before a disk is full, and of what readers keep meanwhile. */
import type { Mutant } from './mutant.js'

const checkpointer = 'actors/checkpoints/checkpointer.js'
const outlook = 'actors/checkpoints/outlook.js'
const retention = 'actors/checkpoints/retention.js'
const readers = 'actors/checkpoints/readers.js'
const due = 'machines/log/checkpointDue.js'
const nearlyFull = ['test:sim/cluster/nearlyFullDisks']
const unit = ['test:actors/checkpoints/retention']

export const nearlyFullMutants: readonly Mutant[] = [
  {
    name: 'wait-for-a-full-disk',
    why: 'Then a checkpoint only fits in place of one of its own size.',
    edits: [{ file: checkpointer, find: '(isRoomShort ? pinning : now)', replace: 'now' }],
    scenarios: nearlyFull,
    evidence: /^then one is taken while it fits, and another one: writes never stop/,
  },
  {
    name: 'hurry-a-checkpoint-that-does-not-fit',
    why: 'It fails, raises an alert, and the one that a full disk makes room for has to wait.',
    edits: [{
      file: outlook,
      find: 'return this.isShortOfRoom && this.fits(lastBytes);',
      replace: 'return this.isShortOfRoom;',
    }],
    scenarios: ['test:actors/checkpoints/outlook', ...nearlyFull],
    evidence: /a checkpoint is hurried while it fits|one that does not fit is not tried/,
  },
  {
    name: 'look-at-the-last-checkpoint-only',
    why: 'The state has grown since: when the next one is due, it does not fit any more.',
    edits: [{
      file: due,
      find: 'neededBytes(lastBytes) + 2 * newBytes + ',
      replace: 'neededBytes(lastBytes) + ',
    }],
    scenarios: ['test:machines/checkpointDue', ...nearlyFull],
    evidence: /room is short when the next two may not fit/,
  },
  {
    name: 'take-one-of-a-pair',
    why: 'What only one has stays in the journal, which fills the room that the next one needs.',
    edits: [{
      file: checkpointer,
      find: 'this.halfDone.add(member);',
      replace: ';',
    }],
    scenarios: nearlyFull,
    evidence: /the second one follows at once: then all of it may go/,
  },
  {
    name: 'write-checkpoints-all-the-time',
    why: 'A disk that others fill would be written to without end.',
    edits: [{ file: due, find: 'const shortRatio = 1;', replace: 'const shortRatio = 0;' }],
    scenarios: ['test:machines/checkpointDue', ...nearlyFull],
    evidence: /on a disk that is nearly full a pair is due after|levels off, and is not written to/,
  },
  {
    name: 'give-up-all-for-some-room',
    why: 'Members that were away, and readers, go back to what is kept.',
    edits: [{ file: retention, find: 'await this.options.outlook.look();', replace: '' }],
    scenarios: [...unit, ...nearlyFull],
    evidence: /no more goes than makes enough of it|what two have goes, and no more/,
  },
  {
    name: 'keep-for-readers-on-a-full-disk',
    why: 'A setting of one space would make the node read-only.',
    edits: [{
      file: retention,
      find: 'readers.length > 0 && !this.isPressed;',
      replace: 'readers.length > 0;',
    }],
    scenarios: unit,
    evidence: /the disk comes before readers/,
  },
  {
    name: 'take-checkpoints-for-what-readers-keep',
    why: 'They would let nothing go.',
    edits: [{
      file: retention,
      find: 'return isRetained ? new Set() : this.pinningOf(oldest);',
      replace: 'return this.pinningOf(oldest);',
    }],
    scenarios: unit,
    evidence: /a space keeps more for readers, and nobody has to act/,
  },
  {
    name: 'forget-at-a-start-what-readers-keep',
    why: 'The record may not be readable for long; what was given up does not come back.',
    edits: [{
      file: readers,
      find: ' ?? this.context.records.remembered(member.space)',
      replace: '',
    }],
    scenarios: unit,
    evidence: /at a start, what is remembered of the record counts/,
  },
  {
    name: 'pause-for-a-disk-that-has-become-full',
    why: 'A full disk gives a checkpoint more room than one beside writes gets; they wait for it.',
    edits: [{
      file: 'actors/checkpoints/failures.js',
      find: '!(failed.isBesideWrites && this.context.commits.lacksRoom)',
      replace: 'true',
    }],
    scenarios: ['test:sim/cluster/fullDisks'],
    evidence: /one that found no room beside writes does not delay the one of a full disk/,
  },
  {
    name: 'take-a-small-record-for-room',
    why: 'The next flush does not fit: the journal is full and healed several times a second.',
    edits: [{
      file: 'actors/log/groupCommit.js',
      find: 'if (isNoSpace(error)) {',
      replace: 'if (false) {',
    }],
    scenarios: ['test:actors/log/groupCommit'],
    evidence: /a small record that fits is no room for the flush that did not/,
  },
  {
    name: 'try-a-full-store-with-each-write',
    why: 'Each write to a full disk would be read, applied, and complained about at once.',
    edits: [{
      file: 'actors/log/applier.js',
      find: 'this.retry || this.running',
      replace: 'this.running',
    }],
    scenarios: ['test:actors/log/applier'],
    evidence: /a store that stays full is tried twice a second/,
  },
]
