/** Guards of acks, sessions and the in-sync set: what is committed stays. */
import type { Mutant } from './mutant.js'

export const commitMutants: readonly Mutant[] = [
  {
    name: 'acknowledge-before-fdatasync',
    why: 'A record in the page cache only is gone when the power fails.',
    edits: [
      {
        file: 'actors/log/groupCommit.js',
        find: 'item.written?.();',
        replace: 'item.written?.(), item.durable?.();',
      },
      {
        file: 'actors/log/groupCommit.js',
        find: 'for (const item of items)\n            item.durable?.();',
        replace: '',
      },
    ],
    scenarios: ['power-cut-after-an-answer'],
    evidence: /^lost: w\d+, answered/,
  },
  {
    name: 'sync-without-fdatasync',
    why: 'The same, one layer below: the sync of the journal is the one place where it is made.',
    edits: [{
      file: 'runtime/journal/fileJournal.js',
      find: 'return this.#alone(() => this.#datasync());',
      replace: 'return this.#alone(async () => undefined);',
    }],
    scenarios: ['power-cut-after-an-answer'],
    evidence: /^I10: .*somebody serves[^]*damaged/,
  },
  {
    name: 'replica-acknowledges-what-it-received',
    why: 'The commit counts a member for what it would still have after a power cut.',
    edits: [{
      file: 'actors/replica/replica.js',
      find: 'written: () => this.member.log.noteWritten(frame),',
      replace: 'written: () => { this.member.log.noteWritten(frame); this.acks.ack(); },',
    }, {
      file: 'actors/replica/acknowledger.js',
      find: 'durableSequence: log.durable.sequence,',
      replace: 'durableSequence: log.written.sequence,',
    }],
    scenarios: ['primary-lost-after-a-commit'],
    evidence: /^I5: \d+ of epoch 1 was answered as committed; durable on n1,/,
  },
  {
    name: 'commit-without-an-in-sync-member',
    why: 'A member that has not acknowledged in this epoch may lack anything, and may be promoted.',
    edits: [{
      file: 'machines/log/commit.js',
      find: 'acks.get(node) ?? 0',
      replace: 'acks.get(node) ?? least',
    }],
    scenarios: ['unjoined-member'],
    evidence: /^I5: \d+ of epoch \d was answered as committed; durable on n\d,/,
  },
  {
    name: 'commit-before-the-shrink-is-confirmed',
    why: 'Until the arbiter has taken a member off the list it can be promoted.',
    edits: [{
      file: 'actors/primary/inSyncSet.js',
      find: 'return unionOf(this.inSync, this.proposed);',
      replace: 'return new Set(this.proposed ?? this.inSync);',
    }],
    scenarios: ['unsure-shrink'],
    evidence: /^I5: n3 is listed in sync in epoch 1 and lacks/,
  },
  {
    name: 'unchanged-record-settles-a-change',
    why: 'The request to take a member in may be applied later: until then commits wait for it.',
    edits: [
      {
        file: 'actors/arbiter/assignmentStore.js',
        find: 'if (outcome.kind === \'refused\') {',
        replace: 'if (true) {',
      },
      {
        file: 'actors/arbiter/assignmentStore.js',
        find: 'if (revisionOf(read) === revision)\n                    return null;',
        replace: 'if (revisionOf(read) === revision) return { kind: \'refused\', current };',
      },
      {
        file: 'actors/arbiter/assignmentStore.js',
        find: 'if (found && !(current && madeOf && isSameButPaused(current.assignment, madeOf))) {',
        replace: 'if (found) {',
      },
      {
        file: 'actors/primary/assignmentWriter.js',
        find:
          'if (settlement.kind === \'refused\')\n            epoch.refused(settlement.current);',
        replace: 'if (settlement.current?.revision === epoch.record.revision) {'
          + 'const { inSync } = epoch.record.assignment; this.options.followers.adopt(inSync);'
          + 'epoch.lease.need(inSync); epoch.send({ type: \'inSyncChanged\', inSync });'
          + '} else if (settlement.kind === \'refused\') epoch.refused(settlement.current);',
      },
    ],
    scenarios: ['set-change-applied-late'],
    evidence: /^I5: n3 is listed in sync in epoch 1 and lacks/,
  },
  {
    name: 'lease-without-the-newcomer',
    why:
      'A member that is taken in may be a candidate from the instant at which the change is applied, '
      + 'which the primary learns later.',
    edits: [{
      file: 'actors/primary/assignmentWriter.js',
      find: 'lease.need(this.options.inSync.union());',
      replace: '',
    }],
    scenarios: ['newcomer-promoted-early'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'expand-without-the-barrier',
    why: 'A new primary may know a lower commit sequence than its predecessor had answered; all '
      + 'of that is below its epoch-start entry.',
    edits: [{
      file: 'actors/primary/inSyncPolicy.js',
      find: 'Math.max(log.commitSequence, this.epochStart)',
      replace: 'log.commitSequence',
    }],
    scenarios: ['newcomer-below-the-epoch-start'],
    evidence: /^I5: n3 is listed in sync in epoch 2 and lacks/,
  },
  {
    name: 'any-answer-to-a-join',
    why: 'Session and common point belong to the join that was asked; those of another epoch let '
      + 'a fork pass for the log.',
    edits: [
      {
        file: 'machines/replica.js',
        find: 'isAnswerToLastJoin: ({ context }, params) => params.number === context.joins,',
        replace: 'isAnswerToLastJoin: () => true,',
      },
      {
        file: 'machines/replica.js',
        find: 'params.number === context.joins && params.isFork',
        replace: 'params.isFork',
      },
      {
        file: 'machines/replica.js',
        find: 'params.number === context.joins && params.snapshotNeeded',
        replace: 'params.snapshotNeeded',
      },
    ],
    scenarios: ['join-answer-of-an-earlier-epoch'],
    evidence: /^I3: n3 acknowledges 9 to n2, as its entry of epoch 1; that of n2 is of epoch 3/,
  },
  {
    name: 'answer-committed-with-too-few-in-sync',
    why: 'A set that has shrunk to one commits at once: that is not what the writer asked for.',
    edits: [{
      file: 'actors/primary/writeAnswers.js',
      find: 'if (waiting.level === \'committed\' && this.tooFewInSync) {',
      replace: 'if (false) {',
    }],
    scenarios: ['set-shrinks-before-the-answer'],
    evidence: /^I5: \d+ of epoch 1 was answered as committed; durable on n1, the space asks for 2/,
  },
  {
    name: 'count-an-ack-of-an-earlier-session',
    why: 'A log that was durable in an earlier session may be truncated, or gone with its disk.',
    edits: [{
      file: 'actors/primary/replicaStream.js',
      find: 'ack.session !== this.session || ',
      replace: '',
    }],
    scenarios: ['late-ack'],
    evidence: /^I5: n3 is listed in sync in epoch 1 and lacks/,
  },
  {
    name: 'count-by-the-record-before-only',
    why: 'The arbiter may have the record that asks for as many, and lists fewer in sync.',
    edits: [{
      file: 'actors/primary/inSyncSet.js',
      find: 'proposed.length < Math.min(minInSync, proposedMinInSync)',
      replace: 'false',
    }],
    scenarios: ['too-few-without-the-one-that-leaves'],
    evidence: /^I5: \d+ of epoch \d+ was answered as committed/,
  },
]
