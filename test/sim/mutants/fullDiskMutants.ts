/** Guards of what is given up, and held back, for a checkpoint on a full disk. */
import type { Mutant } from './mutant.js'

const room = 'actors/checkpoints/room.js'
const unit = ['test:actors/checkpoints/room']
const scenario = ['full-disk-that-only-a-checkpoint-frees']
const cluster = ['test:sim/cluster/fullDisks']

export const fullDiskMutants: readonly Mutant[] = [
  {
    name: 'wait-for-writes-on-a-full-disk',
    why: 'Nothing is written any more that would make the checkpoint due.',
    edits: [{
      file: 'actors/checkpoints/checkpointer.js',
      find: 'commits.lacksRoom ? Infinity : ',
      replace: '',
    }],
    scenarios: cluster,
    evidence: /^the journal takes nothing, and a checkpoint would let go/,
  },
  {
    name: 'cover-what-one-checkpoint-has',
    why: 'If that one rots, nothing has the entries that the journal gives up by it.',
    edits: [{
      file: room,
      find: '{ ...before, kept: [stays] }',
      replace: '{ ...before, kept: [stays], covered: stays.position, history: '
        + '{ root: { epoch: 0, sequence: 0 }, history: '
        + '[{ epoch: stays.position.epoch, last: stays.position.sequence }] } }',
    }],
    scenarios: scenario,
    evidence: /^n3 ended .*1 checkpoint\(s\) that cover more than before/,
  },
  {
    name: 'let-one-checkpoint-cover-more',
    why: 'Asserted where the record is written, too: what it covers may be given up.',
    edits: [{
      file: 'runtime/journal/recordChecks.js',
      find: 'if (reason || covers.kept.length > 1 || ',
      replace: 'if (true || ',
    }],
    scenarios: ['test:runtime/journal/coverage'],
    evidence: /^refuses, before it writes, what does not fit/,
  },
  {
    name: 'trust-the-checkpoint-that-stays',
    why: 'The older one may be the only one that can be read.',
    edits: [{ file: room, find: 'await checkpoints.verify(section, pace);', replace: '' }],
    scenarios: unit,
    evidence: /the newer one is damaged: it goes, and the older one stays/,
  },
  {
    name: 'give-up-a-checkpoint-that-a-later-version-reads',
    why: 'It is not damaged: only this program cannot read it.',
    edits: [{
      file: room,
      find: 'if (fault?.code !== \'CHECKPOINT_DAMAGED\')',
      replace: 'if (!fault)',
    }],
    scenarios: unit,
    evidence: /or by this version, lets nothing go/,
  },
  {
    name: 'give-up-a-checkpoint-for-too-little',
    why: 'Without enough room for the next one, one is left for nothing.',
    edits: [{
      file: room,
      find: 'await this.freeBytes() + this.bytesOf(one) >= needed;',
      replace: 'true;',
    }],
    scenarios: unit,
    evidence: /^nothing goes for too little/,
  },
  {
    name: 'give-up-a-checkpoint-that-has-others',
    why: 'The file stays for the other space: no room is made.',
    edits: [{ file: room, find: 'return users.length > 1', replace: 'return false' }],
    scenarios: unit,
    evidence: /^nothing goes for too little, .* or with others in it/,
  },
  {
    name: 'give-up-a-checkpoint-that-frees-no-segment',
    why: 'Two are there so that one may rot; a checkpoint that nobody waits for can wait.',
    edits: [{ file: room, find: ' || !pinning().has(uuid))', replace: ')' }],
    scenarios: cluster,
    evidence: /nothing is kept for want of a checkpoint: both stay/,
  },
  {
    name: 'give-up-a-checkpoint-although-there-is-room',
    why: 'Reading the other one takes a while, and an operator may have made room meanwhile.',
    edits: [{ file: room, find: '|| await this.freeBytes() >= needed ||', replace: '||' }],
    scenarios: cluster,
    evidence: /^there is room again while the other one is read: both stay/,
  },
  {
    name: 'remove-a-checkpoint-before-its-record',
    why: 'A record that is not written leaves both named, and one of them is gone.',
    edits: [{
      file: room,
      find: 'await enterCoverage(this.options,',
      replace: 'await ports.checkpoints.remove(goes.file);\n        '
        + 'await enterCoverage(this.options,',
    }],
    scenarios: unit,
    evidence: /a record that is not written lets nothing go/,
  },
  {
    name: 'heal-while-a-checkpoint-is-written',
    why: 'Writes would take the room that was made for it.',
    edits: [{ file: room, find: 'return !this.isTaken && ', replace: 'return ' }],
    scenarios: unit,
    evidence: /^a journal that takes nothing waits for it/,
  },
  {
    name: 'let-writes-have-the-room-after-a-start',
    why: 'One checkpoint is left, and the next one just fits: after the writes it would not.',
    edits: [{ file: room, find: 'if (sizes.length === 0)', replace: 'if (true)' }],
    scenarios: cluster,
    evidence: /one stays, nothing goes for it/,
  },
  {
    name: 'let-replicas-have-the-room-of-a-checkpoint',
    why: 'A replica takes what fits even on a full disk, since it acknowledges only what is there.',
    edits: [{
      file: 'actors/replica/replica.js',
      find: ' || context.commits.isHeld)',
      replace: ')',
    }],
    scenarios: [...scenario, ...cluster],
    evidence: /^I10: not within 20000 ms: it gives up segments|one stays, nothing goes for it/,
  },
  {
    name: 'leave-nothing-for-a-start',
    why: 'A start on a full disk writes before it can report that the disk is full.',
    edits: [{
      file: room,
      find: 'const leastBytes = this.isTaken ? this.leastBytes : spareBytes;',
      replace: 'const leastBytes = this.isTaken ? 0 : spareBytes;',
    }],
    scenarios: unit,
    evidence: /and the reserve is used, down to half/,
  },
  {
    name: 'remove-the-file-of-an-install',
    why: 'It is there before the record that names it.',
    edits: [{
      file: 'actors/checkpoints/unusedFiles.js',
      find: 'installing().get(uuid) === false',
      replace: 'true',
    }],
    scenarios: unit,
    evidence: /^files and parts that nobody needs go first, those of an install do not/,
  },
  {
    name: 'remove-a-part-that-is-received',
    why: 'The install that writes to it would begin anew for each try of a checkpoint.',
    edits: [{
      file: 'actors/checkpoints/unusedFiles.js',
      find: 'if (installing().get(uuid) !== true)',
      replace: 'if (true)',
    }],
    scenarios: unit,
    evidence: /^files and parts that nobody needs go first, those of an install do not/,
  },
  {
    name: 'remove-files-whose-names-were-lost',
    why: 'A journal that lost records may have lost the name of a file that counts.',
    edits: [{
      file: 'actors/checkpoints/unusedFiles.js',
      find: 'if (journal.recovery.damaged.length > 0)',
      replace: 'if (false)',
    }],
    scenarios: unit,
    evidence: /^a journal that lost records may have lost the names of files/,
  },
]
