/** Guards of the data path: forks, gaps, failed writes, keys, stores. */
import type { Edit, Mutant } from './mutant.js'

const previousPosition: readonly Edit[] = [
  {
    file: 'actors/replica/replica.js',
    find: 'if (frame.first !== log.end.sequence + 1 || frame.previousEpoch !== log.end.epoch) {',
    replace: 'if (false) {',
  },
  {
    file: 'actors/log/spaceLog.js',
    find: 'if (frame.first !== this.end.sequence + 1 || '
      + 'frame.previousEpoch !== this.end.epoch) {',
    replace: 'if (false) {',
  },
  {
    file: 'runtime/journal/logState.js',
    find: 'if (frame.first !== end.sequence + 1 || frame.previousEpoch !== end.epoch) {',
    replace: 'if (false) {',
  },
]

export const dataMutants: readonly Mutant[] = [
  {
    name: 'count-on-from-the-log-alone',
    why: 'A fork has used the numbers that follow: they would mean two entries each.',
    edits: [{
      file: 'actors/promotion/epochStart.js',
      find: 'clockOfEpoch(await clockAtEnd(member), member.self, epoch)',
      replace:
        '{ component: member.self, clock: { [member.self]: 0, ...await clockAtEnd(member) } }',
    }],
    scenarios: ['seeds:8'],
    evidence: /^seed \d+: clock: number n\d \d+ of the vector clocks stands for/,
  },
  {
    name: 'forget-to-truncate',
    why: 'A member that keeps its fork acknowledges positions of which it has other entries.',
    edits: [{
      file: 'actors/replica/joinRequest.js',
      find: 'isFork: common.sequence < log.end.sequence,',
      replace: 'isFork: false,',
    }],
    scenarios: ['fork-and-rejoin'],
    evidence: /^I3: n1 acknowledges 10 to n2, as its entry of epoch 1/,
  },
  {
    name: 'truncate-without-a-salvage',
    why: 'A write that was answered as durable is in the log or in a salvage, never just gone.',
    edits: [{
      file: 'actors/replica/salvaging.js',
      find: 'const salvage = await ports.salvages.save(header, ',
      replace: 'const salvage = await (async () => \'none\')(header, ',
    }],
    scenarios: ['fork-and-rejoin'],
    evidence: /^lost: w\d+, answered/,
  },
  {
    name: 'uncommitted-entries-go-into-the-store',
    why: 'A fork is undone by dropping what is above the store; the store itself cannot go back.',
    edits: [{
      file: 'actors/log/applier.js',
      find: 'return Math.min(log.commitSequence, log.durable.sequence);',
      replace: 'return log.durable.sequence;',
    }],
    scenarios: ['fork-and-rejoin'],
    evidence: /I8 is violated .*the store holds 6, committed is 1/,
  },
  {
    name: 'take-a-frame-without-its-previous-position',
    why: 'Messages are lost: a frame that does not continue the log would leave a hole in it.',
    edits: previousPosition,
    scenarios: ['lost-frame'],
    evidence: /^n3 ended .*entry 8 does not continue 6/,
  },
  {
    name: 'take-frames-of-another-epoch',
    why: 'A frame that the old primary sent may come late; another epoch has another entry there.',
    edits: [{
      file: 'actors/replica/replica.js',
      find: 'if (!current || header.epoch !== current.epoch) {',
      replace: 'if (!current) {',
    }],
    scenarios: ['late-frame'],
    evidence: /^I3: n2 acknowledges 7 to n3, as its entry of epoch 1/,
  },
  {
    name: 'ship-before-writing',
    why: 'A write that fails must be as if it had never been: if replicas have it, its sequence '
      + 'is used twice.',
    edits: [
      {
        file: 'actors/primary/ingest.js',
        find: 'log.accept(frame, this.clock.monotonicMs());',
        replace: 'log.accept(frame, this.clock.monotonicMs()); options.replicas.written();',
      },
      {
        file: 'actors/primary/replicaStream.js',
        find: '&& this.sent < log.written.sequence) {',
        replace: '&& this.sent < log.end.sequence) {',
      },
      {
        file: 'actors/log/spaceLog.js',
        find: 'if (frame.last > this.written.sequence)',
        replace: 'if (false)',
      },
    ],
    scenarios: ['full-disk'],
    evidence: /^I3: log of n2/,
  },
  {
    name: 'go-on-after-a-failed-fdatasync',
    why: 'The kernel may drop the pages and report success the next time: nothing that was '
      + 'written since can be trusted.',
    edits: [{
      file: 'runtime/journal/fileJournal.js',
      find: 'throw this.#fail(\'cannot sync the journal\', error);',
      replace: 'void error;',
    }],
    scenarios: ['failed-sync'],
    evidence: /^lost: w\d+, answered/,
  },
  {
    name: 'lose-the-keys-in-a-restart',
    why: 'A client asks again with the same key because it does not know what became of its write.',
    edits: [{
      file: 'actors/promotion/epochStart.js',
      find: 'while (from <= log.end.sequence) {',
      replace: 'while (false) {',
    }],
    scenarios: ['retry-over-a-restart'],
    evidence: /^I7: a key took effect twice/,
  },
  {
    name: 'forget-the-keys-of-applied-entries',
    why: 'A key counts for as long as its entry is kept, not for as long as it is in memory.',
    edits: [{ file: 'actors/primary/ingest.js', find: ' ?? store.key(key)', replace: '' }],
    scenarios: ['late-retry'],
    evidence: /^I7: a key took effect twice/,
  },
  {
    name: 'keep-a-fork-in-the-overlay',
    why: 'The overlay is what goes into the store next: a fork in it would be applied.',
    edits: [{
      file: 'actors/replica/replica.js',
      find: 'overlay.dropAbove(common.sequence);',
      replace: '',
    }],
    scenarios: ['fork-without-restart'],
    evidence: /^I8: digest of n1/,
  },
  {
    name: 'leave-a-failed-write-in-the-file',
    why: 'Its writers get the answer that nothing was taken.',
    edits: [{
      file: 'runtime/journal/fileJournal.js',
      find: 'await this.#handle.truncate(this.#end);',
      replace: '',
    }],
    scenarios: ['failed-write'],
    evidence: /^I12: what was refused is back/,
  },
  {
    name: 'cut-at-a-bad-record-of-an-earlier-flush',
    why:
      'A record that a later flush marks as durable was acknowledged: cutting it off would lose it '
      + 'silently.',
    edits: [{
      file: 'runtime/journal/walk.js',
      find: 'return (item.header?.flush ?? this.#earliest) > this.#synced;',
      replace: 'return true;',
    }],
    scenarios: ['bit-flip-at-rest'],
    evidence: /^I12: what was acknowledged is cut off/,
  },
  {
    name: 'keep-later-records-of-a-torn-flush',
    why: 'They do not continue what is left before them: the log would have a hole.',
    edits: [{
      file: 'runtime/journal/walk.js',
      find: 'this.#torn = { segment: file.segment, offset: item.offset, reason: item.reason };',
      replace: 'this.#torn = { segment: file.segment, offset: item.offset, reason: item.reason }; '
        + 'continue;',
    }],
    scenarios: ['torn-flush'],
    evidence: /^I12: /,
  },
  {
    name: 'report-a-position-before-it-is-rewritten',
    why: 'Others commit on the strength of a position; after a power cut it would be lower.',
    edits: [{
      file: 'runtime/journal/journal.js',
      find: 'if (scan.torn || scan.lastSegmentBroken || last.size !== scan.durableEnd) {',
      replace: 'if (scan.torn || scan.lastSegmentBroken) {',
    }, {
      file: 'runtime/journal/walk.js',
      find: 'if (!restated)\n            this.#takeTail();',
      replace: 'this.#takeTail();',
    }],
    scenarios: ['page-cache'],
    evidence: /^I12: 2 was reported, 1 is left/,
  },
  {
    name: 'leave-records-of-checkpoints-behind',
    why: 'A log without frames is its last record: the space would pass for new.',
    edits: [{
      file: 'runtime/journal/fileJournal.js',
      find: 'if (records.length > 0) {\n            await this.#write(records);',
      replace: 'if (false) {\n            await this.#write(records);',
    }],
    scenarios: ['idle-space-over-a-turn-of-the-journal'],
    evidence: /^I14: an idle space passes for new/,
  },
  {
    name: 'remove-a-segment-before-it-is-durable-that-it-is-given-up',
    why: 'A power cut may keep the removal and lose the record of it.',
    edits: [{
      file: 'runtime/journal/fileJournal.js',
      find: 'await this.#put([retainedPart(segment + 1)]);\n        await this.#datasync();',
      replace: 'await this.#put([retainedPart(segment + 1)]);',
    }],
    scenarios: ['power-cut-after-a-removal'],
    evidence: /^I14: given up, and the journal does not say so/,
  },
  {
    name: 'give-up-what-the-newer-checkpoint-has',
    why: 'If that one rots, nothing has the entries between the two.',
    edits: [{
      file: 'machines/log/retention.js',
      find: 'return last <= covered.sequence',
      replace: 'return true',
    }],
    scenarios: ['entries-above-the-older-checkpoint'],
    evidence: /^I14: entries from 2 to \d+ are in one checkpoint only/,
  },
]
