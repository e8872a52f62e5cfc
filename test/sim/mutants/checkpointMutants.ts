/** Guards of checkpoint files: that they hold what was read, and that spaces may share them. */
import type { Mutant } from './mutant.js'

export const checkpointMutants: readonly Mutant[] = [
  {
    name: 'count-a-file-that-was-not-read-back',
    why: 'A checkpoint is the reason to give up entries: what the disk gives back is looked at.',
    edits: [{
      file: 'runtime/checkpoint/checkpoints.js',
      find: 'await reader.readBack(pace);',
      replace: '',
    }],
    scenarios: ['test:runtime/checkpoint/faults'],
    evidence: /what is read back otherwise than it was written is removed/,
  },
  {
    name: 'compute-checksums-when-a-block-is-written',
    why: 'What changes in memory after the hashes were computed would have a good checksum.',
    edits: [{
      file: 'runtime/checkpoint/writer.js',
      find: 'const { bytes: payloadBytes, crc: payloadCrc, pieces } = payload;',
      replace: 'const { bytes: payloadBytes, crc: payloadCrc, pieces } = '
        + 'new Payload(...payload.pieces);',
    }],
    scenarios: ['test:runtime/checkpoint/faults'],
    evidence: /what changes in memory between its hash and its write is found/,
  },
  {
    name: 'leave-half-a-section-in-a-file',
    why: 'The others in the file would not be where its footer says.',
    edits: [{
      file: 'runtime/checkpoint/writer.js',
      find: 'await this.rewind(at, block);',
      replace: '',
    }],
    scenarios: ['test:runtime/checkpoint/shared'],
    evidence: /a space whose image is closed leaves the others as they are/,
  },
  {
    name: 'take-a-bad-section-for-a-bad-file',
    why: 'One flipped bit would take the checkpoints of hundreds of spaces.',
    edits: [{
      file: 'runtime/checkpoint/checkpoints.js',
      find: 'file.stored.sections.filter((section) => section.uuid !== uuid)',
      replace: '[]',
    }],
    scenarios: ['test:runtime/checkpoint/shared'],
    evidence: /a flipped bit in one section: the others stay/,
  },
  {
    name: 'remove-a-file-that-others-need',
    why: 'A space that has newer checkpoints leaves a file in which those of others still count.',
    edits: [{
      file: 'actors/checkpoints/formerFiles.js',
      find: 'if (named.has(file))',
      replace: 'if (false)',
    }],
    scenarios: ['test:sim/cluster/sharedCheckpoints'],
    evidence: /one goes on alone: what is left of shared files is written anew/,
  },
  {
    name: 'drop-a-file-that-others-need',
    why: 'A space that is dropped takes nothing of others with it.',
    edits: [{
      file: 'actors/node/dropping.js',
      find: 'sections.every((section) => section.uuid === uuid)',
      replace: 'sections.some((section) => section.uuid === uuid)',
    }],
    scenarios: ['test:sim/cluster/sharedCheckpoints'],
    evidence: /a space is dropped: its file stays for the others/,
  },
  {
    name: 'keep-files-for-the-little-that-counts',
    why: 'An idle space would keep 64 MiB of others, and each idle space another file.',
    edits: [{
      file: 'actors/checkpoints/checkpointer.js',
      find: 'this.sparse = shared.sparse();',
      replace: '',
    }],
    scenarios: ['test:sim/cluster/sharedCheckpoints'],
    evidence: /one goes on alone: what is left of shared files is written anew/,
  },
  {
    name: 'name-a-space-that-is-no-longer-there',
    why: 'The file was written of a log that was dropped or replaced since: nothing of it counts.',
    edits: [{
      file: 'actors/checkpoints/enterCoverage.js',
      find: 'all.filter(isSame)',
      replace: 'all',
    }],
    scenarios: ['test:sim/cluster/sharedCheckpoints'],
    evidence: /dropped before the file is named: the others count/,
  },
  {
    name: 'image-at-an-end-that-the-overlay-does-not-know',
    why: 'While much is written and memory is short, there would be no checkpoint, ever.',
    edits: [{
      file: 'actors/log/applier.js',
      find: 'this.imaged ? await this.endOfFrame(from, upTo) : upTo',
      replace: 'upTo',
    }],
    scenarios: ['test:actors/log/applier'],
    evidence: /only the journal has the frames, and the overlay has entries/,
  },
  {
    name: 'image-within-a-frame',
    why: 'A log could not go on from there: frames are followed whole.',
    edits: [{
      file: 'actors/log/applier.js',
      find: 'this.frameEnd = frame.last;',
      replace: 'this.frameEnd = frame.last - 1;',
    }],
    scenarios: ['test:actors/log/applier'],
    evidence: /only the journal has the frames/,
  },
]
