/** Guards of what is answered, and where. */
import type { Mutant } from './mutant.js'

export const answerMutants: readonly Mutant[] = [
  {
    name: 'send-what-does-not-fit',
    why: 'The bus drops what is larger than the server takes, and whoever asked waits in vain.',
    edits: [{
      file: 'actors/messaging/answers.js',
      find: 'if (bytes.length <= maxPayload)',
      replace: 'if (true)',
    }],
    scenarios: ['answers-beyond-max-payload'],
    evidence: /answers: nobody answers .*n20 and more/,
  },
  {
    name: 'fill-pages-without-an-end',
    why: 'A list that fits no message is no answer, however politely that is said.',
    edits: [
      {
        file: 'actors/reads/readPages.js',
        find: '|| (list.count > 0 && list.bytes + this.slowBytes >= fullBytes)',
        replace: '',
      },
      {
        file: 'actors/reads/readPages.js',
        find: 'if (list.bytes <= fullBytes)',
        replace: 'if (true)',
      },
    ],
    scenarios: ['answers-beyond-max-payload'],
    evidence: /answers: .*(?:PAYLOAD_TOO_LARGE|each node is in a page|the answer takes)/,
  },
  {
    name: 'answer-reads-from-a-store-that-is-loaded',
    why: 'Until it has the state of a checkpoint, a store is empty: another member has the state.',
    edits: [{
      file: 'actors/space/anyReads.js',
      find: '&& !member.rebuild.isLoading',
      replace: '',
    }],
    scenarios: ['test:sim/cluster/checkpoints'],
    evidence: /^while its store is loaded a member is no candidate/,
  },
  {
    name: 'answer-wherever-the-asker-says',
    why: 'A writer may not change the arbiter\'s records; the node that answers it may.',
    edits: [{
      file: 'actors/messaging/answers.js',
      find: 'if (this.mayReply(reply, asking))',
      replace: 'if (true)',
    }],
    scenarios: ['answers-to-no-inbox'],
    evidence: /answers: something is published where no inbox is/,
  },
]
