/** Guards of the lease and of evidence: without them two primaries may answer at one time. */
import type { Mutant } from './mutant.js'

export const leaseMutants: readonly Mutant[] = [
  {
    name: 'serve-on-an-expired-grant',
    why: 'A grant ends by the clock of its holder, whatever the holder was doing meanwhile.',
    edits: [{
      file: 'actors/membership/lease.js',
      find: 'if (this.clock.monotonicMs() < this.untilMonotonicMs',
      replace: 'if (this.untilMonotonicMs > -Infinity || this.clock.monotonicMs() < 0',
    }],
    scenarios: ['pause-beyond-grants'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'answer-without-a-lease-check',
    why: 'The lease is checked when a write is taken and when its answer is sent: the process may '
      + 'have been stopped in between.',
    edits: [{
      file: 'actors/primary/writeAnswers.js',
      find: 'if (this.isOver || !epoch.lease.valid()) {',
      replace: 'if (false) {',
    }],
    scenarios: ['pause-while-flushing'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'renewed-grant-heals-a-lapse',
    why: 'A lapse is final: between it and the renewal another may have become primary.',
    edits: [
      {
        file: 'actors/membership/lease.js',
        find: 'this.lapse(this.missingReason());',
        replace: '',
      },
      {
        file: 'actors/membership/lease.js',
        find: 'if (this.grants.grantStretch(node) !== stretch)',
        replace: 'if (false)',
      },
      {
        file: 'actors/primary/primary.js',
        find: 'return epoch.lapsed(\'the lease has lapsed\');',
        replace: 'return;',
      },
    ],
    scenarios: ['renewed-grant'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'closed-connection-keeps-the-epoch',
    why: 'Others may take a 503 as proof that the epoch is over, so it ends with its connection, '
      + 'and nothing that it took is answered over the next one.',
    edits: [
      { file: 'actors/space/space.js', find: 'this.primary?.deposed(reason);', replace: '' },
      {
        file: 'actors/space/space.js',
        find: 'this.member.own.stepDown(reason);\n'
          + '        this.actor?.send({ type: \'busLost\', reason });',
        replace: '',
      },
    ],
    scenarios: ['write-outlives-its-connection'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'evidence-counts-for-later-connections',
    why: 'A node that reconnected and won again is another epoch, which an old 503 does not end.',
    edits: [{
      file: 'machines/election/vacancy.js',
      find: 'evidence.goneLife && compareLives(evidence.goneLife, primary) >= 0',
      replace: 'evidence.goneLife',
    }],
    scenarios: ['evidence-of-an-earlier-connection'],
    evidence: /^I2: n1 answers positively in epoch 2/,
  },
  {
    name: 'take-over-without-a-margin',
    why: 'The holder counts by its own clock, which may run ten per cent slow.',
    edits: [{
      file: 'actors/membership/heartbeats.js',
      find: 'grantMs * grantMargin',
      replace: 'grantMs',
    }],
    scenarios: ['slow-clock'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'skip-the-wait-for-the-grant',
    why: 'Being suspected is no proof: a primary that is cut off goes on until its grants run out.',
    edits: [{
      file: 'actors/membership/heartbeats.js',
      find: 'return this.grants.expired(peer, this.now(), grantMs * grantMargin);',
      replace:
        'return this.grants.expired(peer, this.now(), this.options.settings.heartbeatMs * 3);',
    }],
    scenarios: ['cut-off-primary'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'claim-right-after-a-restart',
    why: 'An earlier start of mine may have granted just before it died: that promise binds me.',
    edits: [{
      file: 'machines/election/grants.js',
      find: 'this.receipts.get(peer)?.at ?? this.startedAt',
      replace: 'this.receipts.get(peer)?.at ?? { wallMs: -1e9, monotonicMs: -1e9 }',
    }],
    scenarios: ['restarted-granter'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
  {
    name: 'grant-for-another-life',
    why: 'Heartbeats are numbered anew with each start: the granter has heard an earlier one of '
      + 'that number, and counts from there.',
    edits: [{
      file: 'machines/election/grants.js',
      find: 'if (incarnation !== self.incarnation || connection !== self.connection) {',
      replace: 'if (false) {',
    }],
    scenarios: ['grant-for-another-life'],
    evidence: /^I2: n1 answers positively in epoch 2/,
  },
  {
    name: 'trust-503-from-another-server',
    why: 'A server that has lost the others gets no subscriptions from them: its 503 says nothing '
      + 'about their clients.',
    edits: [{
      file: 'machines/election/failureDetectorSetup.js',
      find: 'return !isHeardOnConnection || server === null || server !== ownServer;',
      replace: 'return false;',
    }],
    scenarios: ['other-server'],
    evidence: /^I2: n1 answers positively in epoch 1/,
  },
]
