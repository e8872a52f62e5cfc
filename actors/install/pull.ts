import type { NodeId } from '../../machines/base/ids.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { CheckpointAnswer,
  CheckpointRequest } from '../../machines/protocol/installMessages.js'
import { chunkBytesMax } from '../../machines/protocol/installMessages.js'
import { checkpointVersion } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { Member } from '../member/member.js'
import { isUnanswered, RequestTimeoutError } from '../ports/bus.js'
import type { Part } from '../ports/checkpoints.js'
import { type DiskWait, untilTaken } from '../structures/untilTaken.js'

/** Chunks that are asked for at a time. */
const inFlightMax = 2
const openTimeoutMs = 1000
/** A source may be slow on purpose. */
const chunkTimeoutMs = 10_000
const triesMax = 3
/** A message has room for a chunk and its head. */
const chunkHeadBytes = 1024

/** The source does not give the checkpoint (any more): another one may. */
export class SourceLostError extends Error {
  readonly code = 'SOURCE_LOST'
}

export async function askSource(
  { context: { wire, ports }, space }: Member,
  source: NodeId,
  request: CheckpointRequest,
  timeoutMs: number,
): Promise<CheckpointAnswer> {
  try {
    const subject = subjects.checkpoint(space, source)
    const { data } = await wire.request(subject, ports.control.encode(request), { timeoutMs })
    const decoded = ports.control.checkpointAnswer(data)
    // What was garbled on the way is asked for again.
    if (!decoded.ok) throw new Error(`${source} sent ${decoded.reason}`)
    return decoded.value
  } catch (error) {
    if (isUnanswered(error) && !(error instanceof RequestTimeoutError)) {
      throw new SourceLostError(`${source} does not answer: ${messageOf(error)}`)
    }
    throw error
  }
}

/** `id`: of a part that is there. */
export async function openAt(
  member: Member,
  source: NodeId,
  minimum: number,
  id: string | null,
): Promise<CheckpointAnswer & { kind: 'opened' } | string> {
  const { self: node } = member
  try {
    const answer = await askSource(member, source, { kind: 'open', version: 1, uuid: member.uuid,
      node, minimum, formats: checkpointVersion, id }, openTimeoutMs)
    if (answer.kind === 'opened') {
      return answer.position.sequence >= minimum
        ? answer
        : `${source} has a checkpoint as of ${answer.position.sequence} only`
    }
    return `${source}: ${'reason' in answer ? answer.reason : answer.kind}`
  } catch (error) {
    return messageOf(error)
  }
}

export interface PullOptions extends Omit<DiskWait, 'clock'> {
  readonly member: Member
  readonly source: NodeId
  readonly part: Part
  /** Resolves when it is over for good. */
  readonly ended: Promise<void>
}

/**
 * Gets the rest of a checkpoint file. The next chunk is asked for when one is written, so the disk
 * here sets the pace. Rejects with SourceLostError, or when the part can never be written.
 */
export async function pull(
  { member, source, part, isOver, ended, onHindered }: PullOptions,
): Promise<void> {
  const { clock } = member.context.ports
  const bytes = Math.min(chunkBytesMax, member.context.wire.maxPayload - chunkHeadBytes)
  const inFlight: Promise<Uint8Array>[] = []
  let asked = part.bytes
  const ask = (): void => {
    if (asked >= part.totalBytes) return
    const chunk = chunkAt(member, source, part.id, asked, Math.min(bytes, part.totalBytes - asked))
    // Looked at when its turn comes.
    chunk.catch(() => undefined)
    inFlight.push(chunk)
    asked += bytes
  }
  for (let count = 0; count < inFlightMax; count += 1) ask()
  for (let next = inFlight.shift(); next && !isOver(); next = inFlight.shift()) {
    const chunk = await Promise.race([next, ended])
    if (chunk) await untilTaken(() => part.append(chunk), { clock, isOver, onHindered })
    ask()
  }
}

async function chunkAt(
  member: Member,
  source: NodeId,
  id: string,
  offset: number,
  bytes: number,
): Promise<Uint8Array> {
  const request = { kind: 'chunk', node: member.self, id, offset, bytes } as const
  for (let tries = 1;; tries += 1) {
    try {
      const answer = await askSource(member, source, request, chunkTimeoutMs)
      if (answer.kind !== 'chunk') {
        throw new SourceLostError(
          `${source} does not send it any more: ${
            'reason' in answer ? answer.reason : answer.kind
          }`,
        )
      }
      if (answer.id === id && answer.offset === offset && answer.data.length === bytes) {
        // A view of the receive buffer.
        return Uint8Array.from(answer.data)
      }
      throw new SourceLostError(`${source} sent another chunk than it was asked for`)
    } catch (error) {
      if (tries === triesMax || error instanceof SourceLostError) {
        throw error instanceof SourceLostError ? error : new SourceLostError(messageOf(error))
      }
    }
  }
}
