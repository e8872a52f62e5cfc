/** Guards of promotions and handovers: one winner of an epoch, and the right one. */
import type { Mutant } from './mutant.js'

export const promotionMutants: readonly Mutant[] = [
  {
    name: 'open-though-the-second-compare-and-set-is-refused',
    why: 'A claim may be answered late, when another one has won already: only the revision that '
      + 'it made decides whether it still holds.',
    edits: [{
      file: 'actors/promotion/promotion.js',
      find: 'const settlement = await records.settle(next, record.revision, '
        + '() => this.wanted() && !lease.lapsed, { madeOf: record.assignment, urgency });',
      replace: 'let settlement = await records.settle(next, record.revision, () => true);'
        + 'if (settlement.kind === \'refused\') settlement = { kind: \'applied\', record };',
    }],
    scenarios: ['late-open'],
    evidence: /^I2: n2 answers positively in epoch 2/,
  },
  {
    name: 'claim-at-a-revision-read-after-the-survey',
    why: 'The epoch and the survey belong to the record that was read before; at a newer revision '
      + 'the same epoch may be another\'s.',
    edits: [{
      file: 'actors/promotion/promotion.js',
      find: 'records.settle(next, record.revision, this.wanted, { urgency }), \'claimed\')',
      replace:
        'records.settle(next, (await this.readRecord()).record.revision, this.wanted, { urgency }), '
        + '\'claimed\')',
    }],
    scenarios: ['claim-overtaken'],
    evidence: /^I1: epoch 2 is held by n2 .* and by n3/,
  },
  {
    name: 'stand-though-not-in-sync',
    why: 'A member that fell out of the set lacks what was committed without it.',
    edits: [{
      file: 'machines/promotion.js',
      find: 'context.forced ? isOfMembers(context) : isListed(context)',
      replace: 'true',
    }],
    scenarios: ['last-one-out-of-sync'],
    evidence: /^I5: n3 takes epoch 2, in sync were n1, n2/,
  },
  {
    name: 'empty-disk-counts-as-in-sync',
    why: 'The in-sync set lists a node for what its disk holds; another disk holds nothing.',
    edits: [{
      file: 'machines/election/candidates.js',
      find: 'record.members.some((m) => m.node === node && m.disk === disk)',
      replace: 'record.members.some((m) => m.node === node)',
    }],
    scenarios: ['empty-disk'],
    evidence: /^I5: n1 takes epoch 2 with another disk/,
  },
  {
    name: 'choose-by-sequence-alone',
    why: 'A longer log of an older epoch lacks what the later epoch has answered.',
    edits: [{
      file: 'machines/election/candidates.js',
      find: 'const order = comparePositions(a.position, b.position);',
      replace: 'const order = a.position.sequence - b.position.sequence;',
    }],
    scenarios: ['longer-but-older'],
    evidence: /^I6: n1 is primary/,
  },
  {
    name: 'unchanged-record-settles-a-handover',
    why: 'A request whose answer was lost may still be applied: until the revision has moved it '
      + 'counts as in flight, and the old primary answers nothing.',
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
        file: 'actors/primary/handover.js',
        find: 'ingest.end(\'NOT_PRIMARY\', \'the space is being handed over\');',
        replace: '',
      },
      {
        file: 'actors/primary/handover.js',
        find: 'if (settlement.kind !== \'applied\') {',
        replace: 'if (settlement.kind !== \'applied\') { epoch.givenAway = false; '
          + 'this.target = null; this.options.gate.open(); return;',
      },
    ],
    scenarios: ['handover-applied-late'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'hand-over-to-one-that-is-behind',
    why: 'A planned handover promises to lose nothing, whatever the level of the answer was.',
    edits: [{
      file: 'actors/primary/handover.js',
      find: 'return followers.hasAll(to) ? null :',
      replace: 'return true ? null :',
    }],
    scenarios: ['handover-to-one-behind'],
    evidence: /^I6: \d+ is not in the log/,
  },
  {
    name: 'hand-over-to-one-that-is-not-heard',
    why: 'What a member acknowledged once says nothing of now: a handover to one that is paused '
      + 'or cut off leaves the space without a primary.',
    edits: [{
      file: 'actors/primary/handover.js',
      find: 'if (!member.context.peers.isHeard(to))',
      replace: 'if (false)',
    }],
    scenarios: ['handover-to-one-not-heard'],
    evidence: /the record names n2, which is paused/,
  },
  {
    name: 'later-epoch-in-a-message-is-no-news',
    why: 'Only the old primary announces a handover. A target that missed that would wait for a '
      + 'repeated ack, longer than a space may be without a primary.',
    edits: [{
      file: 'actors/space/memberRequests.js',
      find: 'if (message.epoch > member.known.epoch)',
      replace: 'if (false)',
    }],
    scenarios: ['handover-that-its-target-misses'],
    evidence: /^I10: not within 500 ms: n2 is primary/,
  },
  {
    name: 'target-hears-of-its-epoch-once',
    why: 'A primary that gets no answer to its last compare-and-set may not announce anything, and '
      + 'goes on holding writes: its target would learn of its epoch by chance.',
    edits: [{
      file: 'actors/primary/handover.js',
      find: 'if (this.to && this.givenEpoch !== null)',
      replace: 'if (false)',
    }],
    scenarios: ['handover-whose-answer-is-lost'],
    evidence: /^I10: not within 500 ms: n2 is primary/,
  },
  {
    name: 'own-only-for-an-earlier-life',
    why: 'An epoch can end while its node lives on; if nobody hears of it, that node alone can see '
      + 'that the space has no primary.',
    edits: [{
      file: 'machines/election/vacancy.js',
      find: 'return evidence.primaryEpoch === record.epoch ? null : \'own\';',
      replace: 'return compareLives(primary, evidence.life) < 0 ? \'own\' : null;',
    }],
    scenarios: ['epoch-ends-and-its-node-lives'],
    evidence: /^I10/,
  },
  {
    name: 'writes-held-for-one-that-was-not-asked',
    why: 'A target that hangs is heard for a while yet: writes would be held for it, for nothing.',
    edits: [{
      file: 'actors/node/promoteCommands.js',
      find: 'await this.askFirst(space, to);',
      replace: '',
    }],
    scenarios: ['handover-commanded-to-one-that-hangs'],
    evidence: /^I10: a write waited for \d+ ms/,
  },
  {
    name: 'handover-given-up-in-silence',
    why: 'The operator would wait for the time limit of the command, and not hear why.',
    edits: [{
      file: 'actors/node/promoteCommands.js',
      find: '|| role.handoverGaveUp !== null',
      replace: '',
    }],
    scenarios: ['handover-given-up'],
    evidence: /^I10: not within 1000 ms: the operator has an answer/,
  },
  {
    name: 'command-passed-on-to-one-that-hangs',
    why: 'The operator would wait for ten seconds, and the space has another primary after two.',
    edits: [{
      file: 'actors/node/adminCommands.js',
      find: 'await wire.request(subjects.ping(node),',
      replace: 'void (',
    }],
    scenarios: ['handover-commanded-of-one-that-hangs'],
    evidence: /^I10: not within 1200 ms: the operator has an answer/,
  },
  {
    name: 'command-passed-on-to-one-that-dies',
    why: 'The operator would wait for ten seconds, and the space has another primary at once.',
    edits: [{
      file: 'actors/node/adminCommands.js',
      find: 'if (peers.isProvenDead(node) || peers.isGrantExpired(node))',
      replace: 'if (false)',
    }],
    scenarios: ['handover-commanded-of-one-that-dies'],
    evidence: /^I10: not within 500 ms: the operator has an answer/,
  },
  {
    name: 'wait-for-a-giver-that-has-joined',
    why:
      'It forwarded what it held before the target had subscribed, or has none: the target would '
      + 'hold all writes until its patience is over.',
    edits: [{
      file: 'actors/primary/writeGate.js',
      find: 'if (this.mode === \'awaitingForwarded\' && node === this.from)',
      replace: 'if (false)',
    }],
    scenarios: ['handover-that-its-giver-has-ended'],
    evidence: /^I10: not within 250 ms: a write is taken/,
  },
  {
    name: 'wait-for-a-giver-that-hangs',
    why: 'It forwards nothing; the target would hold all writes until its patience is over.',
    edits: [{
      file: 'actors/primary/writeGate.js',
      find: ' || peers.isSuspect(this.from)',
      replace: '',
    }],
    scenarios: ['handover-whose-giver-hangs'],
    evidence: /^I10: not within 250 ms: a write is taken/,
  },
  {
    name: 'silence-is-no-reason-to-read-the-record',
    why: 'A primary that hangs may have given its epoch away: the target would learn of that when '
      + 'its grant has expired.',
    edits: [{
      file: 'actors/member/assignmentWatch.js',
      find: 'if (!isLed || isSilent)',
      replace: 'if (!isLed)',
    }],
    scenarios: ['handover-whose-giver-hangs'],
    evidence: /^I10: not within 600 ms: n2 is primary/,
  },
  {
    name: 'wait-for-a-dead-target',
    why: 'Nobody takes writes until the old primary has stopped to wait for an announcement.',
    edits: [{
      file: 'actors/primary/handover.js',
      find: 'if (this.to && this.timer && member.context.peers.isProvenDead(this.to))',
      replace: 'if (false)',
    }],
    scenarios: ['handover-whose-target-dies'],
    evidence: /^I10: not within 400 ms: another serves/,
  },
  {
    name: 'writes-forwarded-to-nobody',
    why: 'They are lost without a word, and their writers wait for their time limit.',
    edits: [{
      file: 'actors/primary/writeGate.js',
      find: '(error) => error instanceof NoRespondersError',
      replace: '() => false',
    }],
    scenarios: ['handover-whose-target-dies'],
    evidence: /^I10: not within 100 ms: the held write is refused/,
  },
]
