/** Guards of reconciliation: each write of a fork is taken once, is judged, and is reported. */
import type { Mutant } from './mutant.js'

const once: readonly Mutant[] = [
  {
    name: 'reconcile-whatever-its-key',
    why:
      'A client that does not say where its write was logged first has sent it again by its key.',
    edits: [{
      file: 'actors/forks/intake.js',
      find: 'ingest.knownKey(writeId)',
      replace: 'undefined',
    }],
    scenarios: ['fork-sent-again-by-its-client'],
    evidence: /^I7: what had come by its key came again/,
  },
  {
    name: 'reconcile-whatever-its-origin',
    why: 'A salvage is offered again by whoever died over it: what has come is known by where it '
      + 'was logged first.',
    edits: [{
      file: 'actors/forks/intake.js',
      find: 'if (place)',
      replace: 'if (false)',
    }, {
      file: 'actors/forks/intake.js',
      find: 'return this.standing(group);',
      replace: 'return null;',
    }],
    scenarios: ['death-before-the-salvage-is-removed', 'failover-between-two-slices'],
    evidence: /^I7: \(1, \d+\) was reconciled 2 times/,
  },
  {
    name: 'take-again-what-its-salvage-has-brought',
    why: 'A client that sends a write again without its key says where it was logged first.',
    edits: [{
      file: 'actors/forks/reconciler.js',
      find: 'if (missing.length === 0) {',
      replace: `missing.splice(
        0, missing.length, ...writes);
        if (false) {`,
    }],
    scenarios: ['fork-sent-again-by-its-client'],
    evidence: /^I7: d took effect twice/,
  },
  {
    name: 'take-again-what-still-stands',
    why: 'Below the root of a history, what is there is the only trace of a write.',
    edits: [{
      file: 'actors/forks/reconciler.js',
      find: 'if (!own || own.at === sequence)',
      replace: 'if (true) return undefined; if (!own || own.at === sequence)',
    }],
    scenarios: ['test:sim/cluster/histories'],
    evidence: /^a write that still stands is known below the root/,
  },
  {
    name: 'take-a-request-in-part',
    why: 'A request is in a log as a whole: others of its writes may have been replaced since.',
    edits: [{
      file: 'actors/forks/intake.js',
      find: 'places.length === 0',
      replace: 'places.length < group.length',
    }],
    scenarios: ['test:sim/cluster/histories'],
    evidence: /^with a write that stands, the whole request is known/,
  },
  {
    name: 'merge-below-the-root-whatever-came-later',
    why: 'The log may have the write already, below an older one that was applied again.',
    edits: [{
      file: 'actors/forks/reconciler.js',
      find: 'tells || related !== \'before\' ? related : \'concurrent\'',
      replace: 'related',
    }],
    scenarios: ['test:sim/cluster/histories'],
    evidence: /^below the root, it does not replace what came before it/,
  },
  {
    name: 'forget-origins',
    why: 'A write is recognized by its origin, also when it is brought once more.',
    edits: [{
      file: 'machines/forks/forkReports.js',
      find: 'forks.putOrigin(at, next);',
      replace: '',
    }],
    scenarios: ['death-before-the-salvage-is-removed'],
    evidence: /^forks: \(1, \d+\) is merged, and is said to be lost/,
  },
]

const salvages: readonly Mutant[] = [
  {
    name: 'release-a-salvage-before-the-commit',
    why: 'An entry that only the primary has may be lost with it: the file is the other copy.',
    edits: [{
      file: 'actors/forks/uploader.js',
      find: 'if (!isHere && !this.options.isSafe(awaited))',
      replace: 'if (false)',
    }],
    scenarios: ['failover-before-the-salvage-is-committed'],
    evidence: /^I6: the salvage is gone, and nothing of it is committed/,
  },
  {
    name: 'taken-with-the-first-slice',
    why: 'A salvage is taken when all of it is in the log: then its report may be closed.',
    edits: [{
      file: 'actors/forks/intake.js',
      find: 'if (slice.isLast && !work.hasFailed) {',
      replace: 'if (!work.hasFailed) {',
    }],
    scenarios: ['death-between-two-slices'],
    evidence: /^forks: the report is reconciled, with \d+ of 300/,
  },
  {
    name: 'say-nothing-of-what-cannot-be-read',
    why: 'A damaged file holds writes all the same: somebody has to look at it.',
    edits: [{
      file: 'actors/forks/salvageCatalog.js',
      find: 'isComplete: this.unusable.size === 0',
      replace: 'isComplete: true',
    }],
    scenarios: ['damaged-salvage'],
    evidence: /^forks: the report is lost .*and a salvage cannot be read/,
  },
  {
    name: 'close-a-report-while-a-salvage-waits',
    why: 'A closed report says that nothing more can come.',
    edits: [{
      file: 'actors/forks/forkTracker.js',
      find: 'salvages.some(({ state }) => state === \'waiting\') ? null : salvages',
      replace: 'salvages',
    }],
    scenarios: ['salvage-that-waits-for-a-command'],
    evidence: /^forks: a report is closed and a salvage waits/,
  },
]

const judgement: readonly Mutant[] = [
  {
    name: 'all-that-stands-there-is-in-the-past',
    why: 'A write made meanwhile did not know of the fork: it is not simply overwritten.',
    edits: [{
      file: 'machines/forks/merge.js',
      find: 'return holds(version, write, starts) ? \'after\' : \'concurrent\';',
      replace: 'return \'before\';',
    }],
    scenarios: ['concurrent-writes'],
    evidence: /^forks: the rule decides/,
  },
  {
    name: 'nothing-comes-later-in-the-same-fork',
    why:
      'A fork may be reconciled out of order: what it overwrote itself is no rival of the present value.',
    edits: [{
      file: 'machines/forks/merge.js',
      find: 'return holds(version, write, starts) ? \'after\' : \'concurrent\';',
      replace: 'return \'concurrent\';',
    }],
    scenarios: ['superseded-in-its-own-fork'],
    evidence: /^forks: what came later in the same fork stays/,
  },
  {
    name: 'only-its-own-epochs-are-in-its-past',
    why: 'A write that was reconciled before is in the past of all that was written upon it.',
    edits: [{
      file: 'machines/forks/merge.js',
      find: 'version.at <= copied || ',
      replace: '',
    }],
    scenarios: ['fork-upon-reconciled-writes'],
    evidence: /^forks: what a write was based on is in its past/,
  },
  {
    name: 'epochs-begin-where-the-one-before-ends',
    why: 'An epoch may begin below the end of an earlier one: what is beyond is not in its log.',
    edits: [{
      file: 'machines/log/lineage.js',
      find: 'return at !== undefined && at.epoch === entry.epoch && entry.sequence <= at.sequence;',
      replace: 'return at !== undefined && at.epoch === entry.epoch;',
    }],
    scenarios: ['overtaken-epoch'],
    evidence: /^forks: what stood in the log of a write is in its past, and nothing else/,
  },
  {
    name: 'judge-by-what-is-durable',
    why: 'A write on its way to the disk comes before the reconciled write in the log.',
    edits: [{
      file: 'actors/forks/reconciler.js',
      find: 'return pending.overlay().view(member.overlay.view(member.store));',
      replace: 'return member.overlay.view(member.store);',
    }],
    scenarios: ['conflict-with-what-is-being-written'],
    evidence: /^forks: what is being written counts as standing there/,
  },
  {
    name: 'log-what-is-sent-again-as-new',
    why: 'It is as old as it was: others have written since, and were answered.',
    edits: [{
      file: 'actors/primary/ingest.js',
      find: 'if (!origin || origin.epoch === epoch.number)',
      replace: 'if (true)',
    }],
    scenarios: ['sent-again-over-a-newer-write'],
    evidence: /^forks: a, sent again, took the place of a newer write/,
  },
  {
    name: 'displace-silently',
    why: 'The write that loses was answered positively: it is kept until somebody decides.',
    edits: [{
      file: 'machines/forks/merge.js',
      find: 'return { ...merged(incoming.operation), displaces };',
      replace: 'return merged(incoming.operation);',
    }],
    scenarios: ['concurrent-writes'],
    evidence: /^forks: whoever lost is in the quarantine/,
  },
]

const reports: readonly Mutant[] = [
  {
    name: 'open-no-report',
    why: 'Without a report nobody looks for what an epoch may have left behind.',
    edits: [{
      file: 'actors/promotion/epochStart.js',
      find: '...(forks.length > 0 && { forks }),',
      replace: '',
    }],
    scenarios: ['fork-reconciled'],
    evidence: /^I10: not within \d+ ms: another is primary, and the report is open/,
  },
  {
    name: 'list-the-last-epoch-only',
    why: 'The first entry of the epoch, which has the report, may be lost itself.',
    edits: [{
      file: 'machines/protocol/assignments.js',
      find: 'const ended = [...record.ended ?? []];',
      replace: 'const ended = [];',
    }],
    scenarios: ['report-over-two-failovers'],
    evidence: /^forks: each epoch that ended has a report/,
  },
  {
    name: 'forget-ended-epochs-before-the-commit',
    why: 'A report counts when it is committed, not when the epoch that opens it is.',
    edits: [{
      file: 'machines/protocol/assignments.js',
      find: 'return ended ? { ...next, ended: withoutHandedOver(ended, holds) } : next;',
      replace: 'return { ...next, ended: [] };',
    }],
    scenarios: ['report-over-two-failovers'],
    evidence: /^forks: each epoch that ended has a report/,
  },
  {
    name: 'report-on-ones-own-log',
    why: 'A primary that goes on with the log that it had left nothing behind.',
    edits: [{
      file: 'actors/promotion/epochStart.js',
      find: 'if (reported.has(epoch) || isWhole)',
      replace: 'if (reported.has(epoch))',
    }],
    scenarios: ['handover-leaves-no-report'],
    evidence: /^forks: who goes on with its own log left nothing behind/,
  },
  {
    name: 'any-disk-will-do',
    why: 'A node that comes back with an empty disk has nothing to bring: that is a loss.',
    edits: [{
      file: 'actors/forks/lostWrites.js',
      find: 'if (report.disk !== disk || gone.length > 0)',
      replace: 'if (gone.length > 0)',
    }],
    scenarios: ['fork-lost-with-its-disk'],
    evidence: /^forks: what is nowhere is counted as lost/,
  },
]

const clients: readonly Mutant[] = [
  {
    name: 'let-newer-writes-overtake',
    why: 'A later write of the client must not be overwritten by one that it sends again.',
    edits: [{
      file: 'runtime/client/spaceOutbox.js',
      find: 'if (kept.isBehind)\n            writes.hold(space);\n        else\n'
        + '            writes.release(space);',
      replace: 'writes.release(space);',
    }],
    scenarios: ['test:runtime/client/outbox'],
    evidence: /newer write/,
  },
  {
    name: 'send-again-without-its-origin',
    why: 'Only with it is the write known when its salvage comes, or judged when it came before.',
    edits: [{
      file: 'runtime/client/spaceOutbox.js',
      find: '[\'Engram-Origin\', `${origin.epoch}/${origin.sequence}`],',
      replace: '',
    }],
    scenarios: ['test:runtime/client/outbox'],
    evidence: /with its origin/,
  },
  {
    name: 'release-by-a-sequence-of-another-epoch',
    why: 'Sequences mean something within one log only.',
    edits: [{
      file: 'runtime/client/keptWrites.js',
      find: 'safe(epoch, safeSequence) {\n        if (epoch !== this.epoch)',
      replace: 'safe(epoch, safeSequence) {\n        if (false)',
    }],
    scenarios: ['test:runtime/client/keptWrites'],
    evidence: /a safe sequence, an announcement of an epoch that is over/,
  },
  {
    name: 'forget-keys-by-the-clock-of-the-member',
    why: 'Members apply the same entries at different times, and have to forget the same keys.',
    edits: [{
      file: 'runtime/store/spaceKeys.js',
      find: 'const oldest = time.now - retention.ms;',
      replace: 'const oldest = Date.now() - retention.ms;',
    }],
    scenarios: ['test:contract/store'],
    evidence: /keys are forgotten by the timestamps of entries, and by count/,
  },
]

/** What a member gave up before an epoch was forced without it. */
const givenUp: readonly Mutant[] = [
  {
    name: 'take-a-salvage-for-the-whole-fork',
    why: 'What the member had given up before is in no salvage: nobody would miss it.',
    edits: [{
      file: 'actors/replica/salvaging.js',
      find: 'spans.at(-1).last === base;',
      replace: 'false;',
    }],
    scenarios: ['forced-epoch-after-retention'],
    evidence: /I6: \d+ writes are nowhere; the report says 0 and reconciled/,
  },
  {
    name: 'close-a-report-without-what-is-missing',
    why: 'All that was found is in the log, but not all was found.',
    edits: [{
      file: 'actors/forks/lostWrites.js',
      find: 'if (count > 0)',
      replace: 'if (false)',
    }],
    scenarios: ['forced-epoch-after-retention'],
    evidence: /I6: \d+ writes are nowhere; the report says 0 and reconciled/,
  },
  {
    name: 'keep-no-checkpoint-of-what-is-missing',
    why: 'The install makes it stop to count, and it is removed: it is the last trace of them.',
    edits: [{
      file: 'actors/replica/salvaging.js',
      find: 'checkpoint ? ports.checkpoints.pathOf(checkpoint) : undefined',
      replace: 'undefined',
    }],
    scenarios: ['forced-epoch-after-retention'],
    evidence: /n1 keeps/,
  },
  {
    name: 'name-a-salvage-without-its-first-entry',
    why: 'Saved again after more was given up, it would take the place of one that has more.',
    edits: [{
      file: 'runtime/journal/salvage.js',
      find: 'missing ? `.from-${missing.begins}` : \'\'',
      replace: '\'\'',
    }],
    scenarios: ['test:contract/journal'],
    evidence: /keeps salvages that say which entries are missing/,
  },
]

export const forkMutants: readonly Mutant[] = [
  ...once,
  ...salvages,
  ...judgement,
  ...reports,
  ...clients,
  ...givenUp,
]
