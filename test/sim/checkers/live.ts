/** Checks while a run goes on: at each answer, each record, each step. */
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import { isMember } from '../../../machines/protocol/members.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import type { SimNode } from '../../support/simNode.js'
import { space } from '../plan.js'
import { BalanceChecks } from './balance.js'
import type { CheckedWorld } from './checkedWorld.js'
import { ClockChecks } from './clocks.js'
import { Entries } from './entries.js'
import { LogChecks } from './logs.js'
import { RecordChecks } from './record.js'
import { EpochChecks } from './epochs.js'
import { RemovalChecks } from './removals.js'
import { SalvageChecks } from './salvages.js'

const control = controlCodec()
const answerBegin = Buffer.from('{"ok":true,"space":')
const ackPrefix = subjects.ack(space, '').slice(0, -1)
const surveyPrefix = subjects.survey(space, '')
/** Defects of the product are logged, since a node goes on: each is a finding here. */
const defect = /InvariantViolation|is violated|TypeError|ReferenceError|RangeError|bug:/

export class LiveChecks {
  readonly logs: LogChecks
  readonly record: RecordChecks
  readonly epochs: EpochChecks
  readonly entries = new Entries()
  readonly clocks: ClockChecks
  readonly salvages: SalvageChecks
  readonly removals: RemovalChecks
  private readonly balance: BalanceChecks
  /** Counts of rare things: a checker that never sees its case proves nothing. */
  readonly coverage: Record<string, number> = {}

  constructor(private readonly world: CheckedWorld) {
    this.logs = new LogChecks(world)
    this.record = new RecordChecks(world)
    this.epochs = new EpochChecks(world)
    this.clocks = new ClockChecks(world)
    this.salvages = new SalvageChecks(world)
    this.removals = new RemovalChecks(world)
    this.balance = new BalanceChecks(world)
  }

  published(node: SimNode, subject: string, data: Uint8Array): void {
    if (!/^(?:_INBOX|_INBOX_node|engram\.v1)\./.test(subject)) {
      this.world.violate('answers', `${node.id} publishes to ${subject}`)
    }
    if (subject.startsWith('_INBOX.')) {
      if (!isPositive(data)) return
      const answer = JSON.parse(Buffer.from(data).toString()) as WriteAnswer
      this.epochs.answered(node, answer)
      this.logs.answered(node, answer)
      this.withinBound(node, answer)
      if (answer.ack === 'committed') this.record.committed(node, answer)
    } else if (subject.startsWith(ackPrefix)) {
      const decoded = control.ackMessage(data)
      if (decoded.ok && decoded.value.kind === 'ack') this.logs.acked(node, decoded.value)
    } else if (subject.startsWith(surveyPrefix)) {
      this.surveyed(node, subject.slice(surveyPrefix.length))
    }
  }

  /** I16: whether a learner, or a stranger, could do it says nothing about a promotion. */
  private surveyed(candidate: SimNode, node: string): void {
    const record = candidate.space(space).member.known.record?.assignment
    if (record && !isMember(record, node)) {
      this.world.violate('I16', `${candidate.id} surveys ${node}, which is no member`)
    }
  }

  /** Acknowledged writes that are not safe stay within `maxLoss`. */
  private withinBound(node: SimNode, { sequence }: WriteAnswer): void {
    const { member, primaryRole } = node.space(space)
    const { log } = member
    const { maxLoss, whenUnderReplicated } = this.world.plan
    if (sequence <= log.safeSequence || !primaryRole) return
    if (primaryRole['inSync'].isUnderReplicated) {
      if (whenUnderReplicated === 'accept') return
      if (!maxLoss && whenUnderReplicated === 'wait') {
        this.world.violate('maxLoss', `${node.id} answers ${sequence}, safe is `
          + `${log.safeSequence}, and it is alone in sync`)
      }
    }
    const nowMs = node.life!.clock.monotonicMs()
    const all = log.above(log.safeSequence, nowMs)
    const { entries = Infinity, bytes = Infinity, ms = Infinity } = maxLoss ?? {}
    const above = log.above(sequence, nowMs).bytes
    if (sequence - log.safeSequence > entries || all.bytes - above > bytes + 1 || all.ms > ms) {
      this.world.violate('maxLoss', `${node.id} answers ${sequence}, safe is ${log.safeSequence}: `
        + `${all.bytes - above} bytes, ${all.ms} ms, of ${JSON.stringify(maxLoss)}`)
    }
  }

  saw(what: string, times = 1): void {
    this.coverage[what] = (this.coverage[what] ?? 0) + times
  }

  afterStep(): void {
    this.epochs.afterStep()
    this.logs.afterStep()
  }

  logged(node: SimNode, level: string, message: string, fields: object): void {
    const rare = /^(promotion: the epoch is over: \w+|a torn flush|primary: handed over)/.exec(
      message,
    )
    if (rare) this.saw(rare[0])
    this.balance.logged(node, message)
    if (message === 'a write is reconciled') {
      this.clocks.reconciled(node, fields as Parameters<ClockChecks['reconciled']>[1])
    }
    if (level !== 'error' && level !== 'warn') return
    const text = `${message} ${
      JSON.stringify(fields,
        (_, value: unknown) => (value instanceof Error ? `${value.name}: ${value.message}` : value))
    }`
    if (defect.test(text)) this.world.violate('defect', `${node.id}: ${text}`)
  }
}

function isPositive(data: Uint8Array): boolean {
  return data.length > answerBegin.length
    && Buffer.from(data.buffer, data.byteOffset, answerBegin.length).equals(answerBegin)
}
