/** Guards of changes of the members: one at a time, and who counts meanwhile. */
import type { Mutant } from './mutant.js'

const members = 'machines/protocol/members.js'
const assignments = 'machines/protocol/assignments.js'
const followers = 'actors/primary/followers.js'

export const memberMutants: readonly Mutant[] = [
  {
    name: 'take-a-learner-in-that-has-joined',
    why: 'To have joined is to have nothing yet; in sync it may be promoted.',
    edits: [{
      file: 'actors/primary/inSyncPolicy.js',
      find: 'return shipping.acked >= wanted',
      replace: 'return true',
    }],
    scenarios: ['learner-that-gets-nothing'],
    evidence: /^I5: n4 is listed in sync in epoch 1 and lacks/,
  },
  {
    name: 'commit-without-the-learner-that-comes-in',
    why: 'From when it is asked for, the learner may be listed in sync, and be promoted.',
    edits: [{
      file: 'actors/primary/inSyncSet.js',
      find: 'return unionOf(this.inSync, this.proposed);',
      replace: 'return new Set(this.inSync);',
    }],
    scenarios: ['learner-taken-in-and-no-answer'],
    evidence: /^I5: n4 is listed in sync in epoch 1 and lacks/,
  },
  {
    name: 'commit-without-the-one-that-leaves',
    why: 'Until the arbiter has taken it out, it may be promoted.',
    edits: [{
      file: 'actors/primary/assignmentWriter.js',
      find: 'followers.propose(next.inSync, next.settings.minInSync);',
      replace: 'followers.adopt(next.inSync);',
    }],
    scenarios: ['member-not-taken-out'],
    evidence: /^I5: n2 is listed in sync in epoch 1 and lacks/,
  },
  {
    name: 'count-the-one-that-leaves',
    why: 'From when it is asked for, it may be no member: what it has is no copy.',
    edits: [{
      file: 'actors/primary/assignmentWriter.js',
      find: 'followers.propose(next.inSync, next.settings.minInSync);',
      replace: '',
    }],
    scenarios: ['too-few-without-the-one-that-leaves'],
    evidence:
      /^I5: \d+ of epoch \d+ was answered as committed; durable on n1, n3, the space asks for 3/,
  },
  {
    name: 'take-a-member-out-at-once',
    why: 'What is written while one alone is in sync is lost with its disk.',
    edits: [{
      file: members,
      find: 'return others >= wanted',
      replace: 'return others >= 1',
    }],
    scenarios: ['member-leaves-when-others-are-in-sync'],
    evidence: /^I16: n2 is taken out, and one is left in sync/,
  },
  {
    name: 'take-a-member-out-before-the-other-is-in',
    why: 'A replacement has one member more for a while, never one less.',
    edits: [
      {
        file: members,
        find: 'return change?.add === undefined ? change?.remove ?? null : null;',
        replace: 'return change?.remove ?? null;',
      },
      {
        file: 'machines/primary.js',
        find: 'context.change?.add === undefined && context.change?.remove === params.node',
        replace: 'context.change?.remove === params.node',
      },
    ],
    scenarios: ['change-outlives-its-epoch'],
    evidence: /^I16: cancelled: the members n1, n2, n3 become n1, n2:/,
  },
  {
    name: 'primary-takes-itself-out',
    why: 'It would go on answering in an epoch whose record does not list it.',
    edits: [{
      file: followers,
      find: 'if (node !== null && node !== this.options.member.self) {',
      replace: 'if (node !== null) {',
    }],
    scenarios: ['primary-is-to-leave'],
    evidence: /^I16: the primary n1 is not in sync/,
  },
  {
    name: 'take-the-last-one-out',
    why: 'Nobody else has what is committed; nobody could be promoted.',
    edits: [
      {
        file: followers,
        find: 'if (node !== null && node !== this.options.member.self) {',
        replace: 'if (node !== null) {',
      },
      { file: members, find: 'return others >= wanted', replace: 'return true' },
    ],
    scenarios: ['last-one-in-sync-is-to-leave'],
    evidence: /^I16: nobody is in sync/,
  },
  {
    name: 'second-order-replaces-the-first',
    why: 'A learner that is half in, or a member half out, would be forgotten.',
    edits: [{ file: members, find: 'if (change) {', replace: 'if (false) {' }],
    scenarios: ['two-operators-at-once'],
    evidence: /^I16: add n4 becomes remove n2|^I16: remove n2 becomes add n4/,
  },
  {
    name: 'claim-without-the-change',
    why: 'The next primary goes on with what the record orders.',
    edits: [{
      file: assignments,
      find: 'const { start: _, promotedBy: __, ...rest } = record;\n    return {',
      replace: 'const { start: _, promotedBy: __, change: ___, ...rest } = record; return {',
    }],
    scenarios: ['change-outlives-its-epoch', 'learner-not-taken-in'],
    evidence: /^I16: cancelled/,
  },
  {
    name: 'claim-without-the-removed-nodes',
    why: 'The list is what tells a node that was taken out that its data may go.',
    edits: [{
      file: assignments,
      find: 'const { start: _, promotedBy: __, ...rest } = record;\n    return {',
      replace: 'const { start: _, promotedBy: __, removed: ___, ...rest } = record; return {',
    }],
    scenarios: ['member-taken-out-and-no-answer'],
    evidence: /^I16: removed nodes were n2, are /,
  },
  {
    name: 'handover-without-the-change',
    why: 'The next primary goes on with what the record orders.',
    edits: [{
      file: assignments,
      find: 'promotedBy: __, ...rest } = record;\n    const { kept }',
      replace: 'promotedBy: __, change: ___, ...rest } = record;\n    const { kept }',
    }],
    scenarios: ['change-outlives-its-epoch'],
    evidence: /^I16: cancelled/,
  },
  {
    name: 'change-of-the-set-without-the-change',
    why: 'A member falls out of sync and comes back while a change is under way.',
    edits: [{
      file: members,
      find: 'if (learner === null || disk === undefined)\n        return record;',
      replace: 'if (learner === null || disk === undefined) {\n'
        + '        const { change: _, ...others } = record; return others; }',
    }],
    scenarios: ['change-outlives-its-epoch'],
    evidence: /^I16: cancelled/,
  },
  {
    name: 'list-a-learner-without-making-it-a-member',
    why: 'What the record lists in sync is a part of its members.',
    edits: [{
      file: members,
      find: 'members: [...members, { node: learner, disk }],',
      replace: 'members,',
    }],
    scenarios: ['learner-not-taken-in'],
    evidence: /^I16: cancelled without an order, no change/,
  },
  {
    name: 'follow-on-after-a-removal',
    why: 'It would get all that is written for good, and be taken for one that has caught up.',
    edits: [{ file: followers, find: 'if (isHolder(assignment, node))', replace: 'if (true)' }],
    scenarios: ['removed-node-goes-on'],
    evidence: /^I16: n2 has a session, and is no member/,
  },
  {
    name: 'removed-node-is-not-told',
    why: 'It would take itself for a follower, and call what it has fresh.',
    edits: [{ file: followers, find: 'this.dismissed.add(node);', replace: '' }],
    scenarios: ['test:sim/cluster/staleness'],
    evidence: /hears of no record does not call its state fresh/,
  },
  {
    name: 'removed-node-is-told-once',
    why: 'What is sent once may be lost.',
    edits: [{ file: followers, find: 'this.dismissed.tick();', replace: '' }],
    scenarios: ['test:sim/cluster/staleness'],
    evidence: /has not heard that its session is over does not call its state fresh/,
  },
  {
    name: 'removed-node-is-a-candidate',
    why: 'It lacks what was committed since it was taken out.',
    edits: [
      {
        file: 'machines/promotion.js',
        find: 'context.forced ? isOfMembers(context) : isListed(context)',
        replace: 'true',
      },
    ],
    scenarios: ['member-taken-out-and-no-answer'],
    evidence: /^I5: n2 takes epoch 2, in sync were n1, n3/,
  },
  {
    name: 'force-a-learner',
    why: 'A learner may lack anything, and the record does not list it.',
    edits: [
      {
        file: 'machines/promotion.js',
        find: 'context.forced ? isOfMembers(context) : isListed(context)',
        replace: 'context.forced || isListed(context)',
      },
      {
        file: 'actors/node/promoteCommands.js',
        find: 'if (to !== null && !members.some((m) => m.node === to)) {',
        replace: 'if (false) {',
      },
    ],
    scenarios: ['learner-alone'],
    evidence: /^I16: n4 is in sync and no member/,
  },
  {
    name: 'learner-stands-for-itself',
    why: 'What holds the space is no candidate for that.',
    edits: [
      {
        file: 'machines/promotion.js',
        find: 'context.forced ? isOfMembers(context) : isListed(context)',
        replace: 'true',
      },
      {
        file: 'actors/space/space.js',
        find: '!isMember(assignment, member.self)',
        replace: 'false',
      },
    ],
    scenarios: ['learner-alone'],
    evidence: /^I5: n4 takes epoch 2, in sync were n1, n2, n3/,
  },
  {
    name: 'list-a-newcomer-with-its-former-disk',
    why: 'What it has acknowledged is on the disk that it joined with.',
    edits: [{
      file: followers,
      find: 'const disk = isMember ? null : this.followers.get(node)?.shipping.disk;',
      replace: 'const disk = isMember || this.listedDisks.has(node) ? null\n'
        + '                : this.followers.get(node)?.shipping.disk;',
    }],
    scenarios: ['learner-with-another-disk'],
    evidence: /^I4: n4 is listed with a disk that it does not have/,
  },
  {
    name: 'remove-data-that-no-record-names',
    why: 'A record that does not name the node says nothing: it may be an old one.',
    edits: [
      {
        file: 'actors/node/dropping.js',
        find: 'removedAt(assignment, self.node) !== null',
        replace: 'true',
      },
      {
        file: 'actors/space/departure.js',
        find: 'const at = record ? removedAt(record.assignment, self) : null;',
        replace: 'const at = record ? \'2020-01-01T00:00:00Z\' : null;',
      },
      {
        file: 'actors/primary/joinAnswers.js',
        find: 'removedAt(record, request.node) !== null',
        replace: 'true',
      },
    ],
    scenarios: ['test:sim/cluster/removedNodes'],
    evidence: /does not name/,
  },
  {
    name: 'remove-data-by-the-word-of-another-epoch',
    why: 'A later primary, forced, may lack what the one that confirmed it had.',
    edits: [{
      file: 'actors/node/dropping.js',
      find: 'assignment.epoch === confirmedIn',
      replace: 'true',
    }],
    scenarios: ['test:sim/cluster/removedNodes'],
    evidence: /what was confirmed in one epoch does not go in a later one/,
  },
  {
    name: 'remove-data-while-the-primary-is-alone',
    why: 'The removed node may have the only other copy of what is safe.',
    edits: [{
      file: 'actors/primary/followers.js',
      find: 'this.options.inSync.isUnderReplicated ? 0 : member.log.safeSequence',
      replace: 'member.log.safeSequence',
    }],
    scenarios: ['test:sim/cluster/removedNodes'],
    evidence: /while the primary is alone in sync nothing goes/,
  },
  {
    name: 'take-out-the-second-copy',
    why: 'What is safe would be on one disk.',
    edits: [{
      file: 'machines/protocol/members.js',
      find: 'remaining < 2 || !certain.has(node) ? 1 : 2',
      replace: '1',
    }],
    scenarios: ['test:sim/cluster/memberChanges'],
    evidence: /a member in sync stays while it is the second copy/,
  },
  {
    name: 'take-back-half-a-change',
    why: 'The member that was to leave would stay, with its successor, and the settings follow.',
    edits: [{
      file: 'actors/primary/recordCommands.js',
      find: 'only && !isSameChange(only, present.change)',
      replace: 'false',
    }],
    scenarios: ['test:sim/cluster/selfHealing'],
    evidence: /a change of which half is done is not taken back/,
  },
  {
    name: 'remove-data-without-a-look-at-the-primary',
    why: 'What the primary lacks is nowhere else: it is salvaged, and uploaded first.',
    edits: [
      {
        file: 'actors/space/departure.js',
        find: 'const isReady = this.isSalvaged && this.isUploaded;',
        replace: 'const isReady = true;',
      },
      {
        file: 'actors/space/departure.js',
        find: 'if (isReady && this.confirmedIn === record.assignment.epoch)',
        replace: 'if (isReady)',
      },
    ],
    scenarios: ['test:sim/cluster/removedNodes'],
    evidence: /what only it has is uploaded first/,
  },
  {
    name: 'remove-data-by-an-old-answer',
    why: 'The primary of then, and what it had, may be gone since.',
    edits: [{
      file: 'actors/space/departure.js',
      find: 'if (isReady && this.confirmedIn === record.assignment.epoch)',
      replace: 'if (isReady)',
    }],
    scenarios: ['test:sim/cluster/removedNodes'],
    evidence: /all is kept while there is no primary/,
  },
  {
    name: 'remove-data-though-added-again',
    why: 'The learner goes on with its old log: what it acknowledges has to be there.',
    edits: [{
      file: 'actors/node/dropping.js',
      find: '!isHolder(assignment, self.node) && assignment.epoch === confirmedIn',
      replace: 'assignment.epoch === confirmedIn',
    }],
    scenarios: ['test:sim/cluster/removedNodes'],
    evidence: /does not say whether its data may go/,
  },
  {
    name: 'hold-what-is-about-to-be-removed',
    why: 'A member whose data goes while it runs has acknowledged what its disk does not have.',
    edits: [{
      file: 'actors/node/spaces.js',
      find: 'const isEnding = this.leaving.has(name) || this.dropping.isBusy(uuid);',
      replace: 'const isEnding = false;',
    }],
    scenarios: ['test:sim/cluster/removedNodes'],
    evidence: /does not say whether its data may go/,
  },
  {
    name: 'removal-waits-for-two-where-one-remains',
    why: 'The only member could never be replaced.',
    edits: [{ file: members, find: 'remaining < 2 || !certain.has(node) ? 1 : 2',
      replace: '!certain.has(node) ? 1 : 2' }],
    scenarios: ['test:sim/cluster/memberChanges'],
    evidence: /the only member is replaced/,
  },
  {
    name: 'any-node-answers-reads',
    why: 'A learner may have nothing, and a removed node gets nothing any more.',
    edits: [{
      file: 'actors/space/anyReads.js',
      find: '&& (record === undefined || isMember(record, member.self));',
      replace: ';',
    }],
    scenarios: ['test:sim/cluster/memberChanges'],
    evidence: /answers no reads/,
  },
]
