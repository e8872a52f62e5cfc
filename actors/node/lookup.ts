import type { SpaceId } from '../../machines/base/ids.js'
import { stackOf } from '../../machines/base/thrown.js'
import { droppedText } from '../../machines/protocol/assignments.js'
import { nameFault, spaceOf } from '../../machines/protocol/subjects.js'
import type { NodeContext } from '../member/context.js'
import { errorAnswer } from '../messaging/answers.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { BusMessage } from '../ports/bus.js'
import type { ErrorAnswer } from '../ports/clientApi.js'

/** The space exists. This node need not hold it, and may not know its state. */
export interface LookupAnswer {
  readonly ok: true
  readonly space: SpaceId
}

/** Unknown names that are looked up at the arbiter at a time. */
const askedMax = 64
/** Limit of the requests that wait for the arbiter. */
const waitingMax = 4096

/**
 * Answers whether a space exists (`engram.v1.lookup.<space>`). Clients ask when NATS reports that
 * nobody takes their writes or reads, which happens during a failover, too. UNKNOWN_SPACE is sent
 * only after a linearizable read at the arbiter. A space that this node remembers is answered from
 * memory, so that the clients of a space without a primary do not load the arbiter, which its
 * promotion needs.
 */
export class Lookup {
  private readonly asked = new Map<SpaceId, Promise<LookupAnswer | ErrorAnswer>>()
  private waiting = 0

  constructor(private readonly context: NodeContext) {}

  onMessage(message: BusMessage): void {
    const { answers } = this.context
    const asker = answers.asker(message, 'reads')
    if (asker?.reply === undefined) return
    this.waiting += 1
    void this.answerOf(spaceOf(message.subject)).then((answer) => {
      this.waiting -= 1
      answers.answer({ ...asker, encoding: 'json' }, answer)
    })
  }

  private async answerOf(space: SpaceId): Promise<LookupAnswer | ErrorAnswer> {
    const fault = nameFault(space)
    if (fault) return errorAnswer('INVALID_OPERATION', `space: ${fault}`)
    const remembered = this.context.records.remembered(space)
    if (remembered && remembered.assignment.state !== 'dropped') return { ok: true, space }
    const underWay = this.asked.get(space)
    if (this.waiting > waitingMax || (!underWay && this.asked.size >= askedMax)) {
      return errorAnswer('OVERLOADED', 'too many names are being looked up; ask again later')
    }
    if (underWay) return await underWay
    const asking = this.ask(space).finally(() => this.asked.delete(space))
    this.asked.set(space, asking)
    return await asking
  }

  private async ask(space: SpaceId): Promise<LookupAnswer | ErrorAnswer> {
    try {
      const read = await this.context.records.read(space)
      // No node can say how it is, but it exists.
      if (read.kind === 'unreadable' || read.kind === 'newer') return { ok: true, space }
      const { assignment } = read.kind === 'present'
        ? read.record
        : read.kind === 'lost'
        ? read.remembered
        : { assignment: null }
      if (assignment && assignment.state !== 'dropped') return { ok: true, space }
      const why = assignment ? `: it ${droppedText(assignment)}` : ''
      return errorAnswer('UNKNOWN_SPACE', `there is no space ${space}${why}`)
    } catch (error) {
      if (!(error instanceof ArbiterUnavailableError)) {
        this.context.ports.logger.error({ space, error: stackOf(error) }, 'a lookup failed')
      }
      return errorAnswer('INTERNAL', `the arbiter cannot be asked: ${String(error)}`)
    }
  }
}
