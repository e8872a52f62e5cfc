/**
 * Instruments that the actors and the host use through the Telemetry port, with their text in
 * `/metrics`. All of them exist from the start, so that a rate over a counter sees its first event.
 * A test compares this list with the calls in the source.
 */

export interface Instrument {
  /** Its name in the Telemetry port: words in camelCase, the unit last. */
  readonly name: string
  readonly kind: 'counter' | 'distribution'
  readonly help: string
  readonly labels: readonly string[]
  /** Bounds of a distribution in its base unit; by default those of its unit. */
  readonly buckets?: readonly number[]
}

const counter = (name: string, help: string, labels: readonly string[] = []): Instrument => ({ name,
  kind: 'counter', help, labels })
const distribution = (name: string, help: string): Instrument => ({ name, kind: 'distribution',
  help, labels: [] })

/** Seconds: work that takes minutes beside all other. */
const minuteBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600]

export const instruments: readonly Instrument[] = [
  counter('writes', 'Entries that became durable on this node as the primary of their space.'),
  counter('writesDuplicates', 'Writes whose idempotency key had taken effect before.'),
  counter('writesRefused', 'Writes answered with an error, by its code.', ['code']),
  counter('reads', 'Queries answered, as the primary or as a replica.'),
  counter('repliesForbidden',
    'Requests with a reply subject that is no inbox: neither carried out nor answered.'),
  counter('answersTooLarge', 'Answers above max_payload; an error was sent instead.'),
  distribution('durableAckMs',
    'Time from accepting a write to its durable answer: the slowest write of each batch.'),
  counter('journalFlushes', 'Group commits: one write and one fdatasync each.'),
  counter('journalFlushedBytes', 'Bytes of frames that group commits made durable.'),
  distribution('journalFlushMs',
    'Time of a group commit: write, fdatasync, and the answers that waited for it.'),
  counter('journalWriteFailures', 'Group commits that the file system refused: a full disk.'),
  counter('checkpoints', 'Checkpoints that this node took, by result.', ['result']),
  { ...distribution('checkpointMs', 'Time to take a checkpoint, with reading it back.'),
    buckets: minuteBuckets },
  counter('segmentsGivenUp', 'Old segments of the journal that were removed.'),
  counter('installs', 'Installs of members of this node, by result: installed, or a checkpoint '
    + 'that was of no use.', ['result']),
  counter('alerts', 'Alerts sent on engram.v1.alert.<space>, by kind.', ['space', 'kind']),
  counter('inSyncChanges', 'Changes of the in-sync set by this primary.', ['space']),
  counter('promotions', 'Promotions that this member won.', ['space']),
  distribution('promotionMs', 'From the vacancy noticed to the first write accepted.'),
  counter('forks', 'Forks that this member truncated; each is kept in a salvage file.', ['space']),
  counter('reconciledWrites', 'Writes of forks that this primary settled, by outcome and source.', [
    'space',
    'outcome',
    'via',
  ]),
  counter('divergences',
    'Acks of a member whose digest differs from the primary\'s at the same sequence.', ['space']),
  counter('entriesLost', 'Joins of members in sync that lack what they had acknowledged, or what '
    + 'is committed.', ['space']),
  counter('gaps', 'Frames that did not continue the log of this member, and were requested.'),
  counter('rewinds', 'Streams sent again from an earlier sequence, by replica.', ['peer']),
  counter('spacesDropped', 'Spaces whose data this node removed, since an operator dropped them.'),
  counter('peersSuspected', 'Peers that fell silent for three heartbeats.'),
  counter('tilts', 'Stalls of the own event loop: judgement of peers was suspended.'),
  counter('badMessages', 'Messages of the protocol that could not be decoded, by kind.', ['kind']),
  counter('directoryNotices', 'Starts with an unusual data directory: empty, an old copy, another '
    + 'one, or without a record to compare it with.', ['kind']),
  counter('logLinesDropped', 'Log lines that could not be written: a full disk, a slow reader.'),
  counter('pageFramesSkipped', 'Frames omitted for viewers of the page that read too slowly.'),
  counter('engram_host_dead_letters_total', 'Events that no actor took, by reason.', ['reason']),
  counter('engram_host_restarts_total', 'Actors started again after they failed.'),
  counter('engram_host_escalations_total',
    'Failures that supervision cannot handle: the process ends.'),
  counter('engram_host_lost_messages_total', 'Events of remote actors that never arrived.'),
  counter('engram_host_unhandled_total',
    'Events that an actor ignored in the state it was in, by type.', ['type']),
]
