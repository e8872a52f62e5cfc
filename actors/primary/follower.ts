import type { NodeId } from '../../machines/base/ids.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import { EntriesGoneError } from '../ports/journal.js'
import { FollowerCharts } from './followerCharts.js'
import { ReplicaStream } from './replicaStream.js'

/** A replica of one epoch: its stream, and the charts of it. */
export interface Follower {
  readonly shipping: ReplicaStream
  readonly charts: FollowerCharts
}

/** `onSilent`: nothing is heard any more of its install. */
export function followerOf(
  member: Member,
  epoch: number,
  peer: NodeId,
  onSilent: () => void,
): Follower {
  const { ports, settings, wire, budget } = member.context
  const { space, log } = member
  const shipping = new ReplicaStream({
    peer,
    epoch,
    log,
    frames: ports.frames,
    clock: ports.clock,
    windowBytes: settings.windowBytes,
    budget,
    send: (data) => wire.publish(subjects.wal(space, peer), data),
    onReadFailed: (error) => {
      if (error instanceof EntriesGoneError) {
        ports.logger.info({ space, peer }, `the stream ends: ${error.message}`)
      } else {
        ports.logger.error({ space, peer, error: String(error) }, 'the journal cannot be read')
      }
      shipping.stop()
      if (isDamage(error)) member.damaged(String(error))
      // The member joins again, and then the journal is read again, or it is installed.
      else member.sendSession(peer, epoch, 0)
    },
  })
  return { shipping, charts: new FollowerCharts({ member, epoch, peer, shipping, onSilent }) }
}
