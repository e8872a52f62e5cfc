/** Shared by the scenarios of forks: writes that a primary alone has, and the reports on them. */
import * as assert from 'uvu/assert'
import type { FateValue, WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { MemoryEdge, MemoryNode, Operation } from '../../../machines/graph/graph.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import type { ForkReport, QuarantineItem } from '../../../machines/log/forkNotes.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { createFrameCodec } from '../../../runtime/codec/frames.js'
import { readSalvage } from '../../support/salvages.js'
import { lost } from './network.js'
import type { Message } from './network.js'
import type { Stage } from './stage.js'

export const store = (id: string, over: Partial<MemoryNode> = {}): Operation => ({
  type: 'StoreNode',
  node: { id, ...over },
})
export const activate = (nodeId: string, activation: number): Operation => ({
  type: 'UpdateActivation',
  nodeId,
  activation,
})
export const link = (source: string, target: string, weight: number): Operation => ({
  type: 'StoreEdge',
  edge: { source, target, kind: 'causal', weight },
})

export type Headers = Record<string, string>

/** The place of a write: each is in one of these. */
export type Place = 'present' | 'merged' | 'superseded' | 'quarantined' | 'resent' | 'salvaged'
  | 'nowhere'

/** The cluster's answer about a write that is there. */
const fates: Record<Place, readonly FateValue['fate'][]> = {
  present: ['safe', 'committed', 'durable', 'quarantined'],
  merged: ['safe', 'committed', 'durable', 'quarantined'],
  resent: ['safe', 'committed', 'durable', 'quarantined'],
  superseded: ['superseded'],
  quarantined: ['quarantined', 'superseded'],
  salvaged: ['salvaged', 'unknown'],
  nowhere: ['lost', 'unknown'],
}

const control = controlCodec()
const frames = createFrameCodec()

/** The header `Engram-Origin` of a write that is sent again. */
export const originOf = ({ epoch, sequence }: WriteAnswer): Headers => ({
  'Engram-Origin': `${epoch}/${sequence}`,
})
export const keyed = (key: string): Headers => ({ 'Nats-Msg-Id': key })

/** An offer or a slice of a member that brings a salvage home. */
export function isBringing(kind: 'offer' | 'slice', { kind: subject, data }: Message): boolean {
  if (subject !== 'ack') return false
  const decoded = control.ackMessage(data)
  return decoded.ok && decoded.value.kind === kind
}

export class Forks {
  /** Answers to the writes that an epoch left behind, one per operation. */
  readonly left: WriteAnswer[] = []

  constructor(readonly stage: Stage) {}

  async write(operation: Operation | readonly Operation[], headers: Headers = {}) {
    const { cluster, space } = this.stage
    const body = JSON.stringify(Array.isArray(operation) ? { operations: operation } : operation)
    const message = await cluster.wait(cluster.client.request(
      subjects.write(space),
      Buffer.from(body),
      { timeoutMs: 8000, headers },
    ))
    const answer = JSON.parse(Buffer.from(message.data).toString()) as WriteAnswer
    if (!answer.ok) throw new Error(`refused: ${JSON.stringify(answer)}`)
    this.stage.judge.assertNone()
    return answer
  }

  /** The primary answers these while nobody hears it. */
  async alone(operations: readonly Operation[], keys: readonly string[] = []) {
    const { stage } = this
    stage.say(`what ${stage.primary} sends to other nodes is lost; it answers `
      + `${operations.length} writes as durable`)
    stage.network.faults = lost(stage.primary, null)
    const answers = await Promise.all(operations.map((operation, index) => {
      const key = keys[index]
      return this.write(operation, key === undefined ? {} : keyed(key))
    }))
    this.left.push(...answers)
    return answers
  }

  /** Those writes are all that is lost with the primary, which is killed; returns who it was. */
  async leaveBehind(operations: readonly Operation[], keys: readonly string[] = []) {
    const { stage } = this
    const old = stage.primary
    const { epoch } = stage.record
    const answers = await this.alone(operations, keys)
    stage.kill(old)
    stage.network.faults = () => undefined
    await stage.until('another is primary, and the report is open', () => {
      const primary = stage.cluster.primary()
      return primary !== null && stage.isPrimary(primary.id, epoch + 1)
        && this.reports().some((report) => report.epoch === epoch)
    }, 5000)
    return { old, answers }
  }

  async command(node: string, command: object): Promise<Record<string, unknown>> {
    const { cluster, space } = this.stage
    return await cluster.command(node, { space, ...command })
  }

  async succeeds(node: string, command: object): Promise<void> {
    const answer = await this.command(node, command)
    assert.is(answer['ok'], true, JSON.stringify({ command, answer }))
  }

  /** The state of a member that uploads its salvages, or null. */
  uploadState(node: string): string | null {
    return this.stage.cluster.node(node).life?.actor.spaces.get(this.stage.space)
      ?.uploads.state ?? null
  }

  /** True if the node's `reconciliation` has ever entered the state. */
  hasBeen(node: string, state: string): boolean {
    return this.stage.cluster.node(node).log.some(({ fields, message }) =>
      message.startsWith('reconciliation') && (fields as { state?: string }).state === state
    )
  }

  reports(): readonly ForkReport[] {
    const { stage } = this
    return stage.cluster.primary()?.space(stage.space).member.store.reports() ?? []
  }

  report(epoch: number): ForkReport {
    const found = this.reports().find((report) => report.epoch === epoch)
    assert.ok(found, `no report on epoch ${epoch} was opened`)
    return found
  }

  async ask<T>(query: object): Promise<T> {
    const answer = await this.stage.cluster.read(query)
    assert.ok(answer.ok, JSON.stringify(answer))
    return answer.value as T
  }

  async node(nodeId: string): Promise<MemoryNode | null> {
    return await this.ask({ type: 'GetNode', nodeId })
  }

  async edge(source: string, target: string): Promise<MemoryEdge | undefined> {
    const edges = await this.ask<MemoryEdge[]>(
      { type: 'GetEdges', nodeId: source, direction: 'out' },
    )
    return edges.find((edge) => edge.target === target)
  }

  async fate({ epoch, sequence }: WriteAnswer): Promise<FateValue> {
    return await this.ask({ type: 'GetFate', epoch, sequence })
  }

  async quarantine(): Promise<QuarantineItem[]> {
    return await this.ask({ type: 'GetQuarantine', after: '', limit: 100 })
  }

  async salvages(node: string): Promise<string[]> {
    const { salvages } = this.stage.cluster.node(node).actor.context!.ports
    return (await salvages.list()).map(({ name }) => name)
  }

  alerts(kind: string): number {
    return [...this.stage.cluster.nodes.values()].flatMap(({ log }) => log)
      .filter(({ fields }) => (fields as { kind?: string }).kind === kind).length
  }

  /** Nothing is broken any more, and every report is closed. */
  async closed(): Promise<void> {
    await this.stage.calm()
    await this.stage.until('every report is closed', () =>
      this.reports().length > 0
      && this.reports().every(({ outcome }) => outcome !== null), 10_000)
    await this.level()
  }

  /** The members have one log, one graph, and the same fork reports (I3, I8). */
  async level(): Promise<void> {
    const { cluster, space } = this.stage
    await cluster.converged(space)
    const seen = new Map<string, string>()
    for (const { id } of cluster.running) {
      const { store } = this.stage.at(id).member
      const origins = this.left.map(({ epoch, sequence }) => store.origin(epoch, sequence))
      seen.set(id,
        JSON.stringify([await cluster.entries(id, space), store.digest, store.reports(), [
          ...store.quarantine(''),
        ], origins]))
    }
    assert.is(new Set(seen.values()).size, 1, `I8: ${[...seen.keys()].join()} differ`)
  }

  /** The places of the writes, by logs and files; each in one place, which is the one reported. */
  async places(writes: readonly WriteAnswer[] = this.left): Promise<Place[]> {
    const log = await this.stage.cluster.entries(this.stage.cluster.primary()!.id)
    const files = await this.inSalvages()
    const places = writes.map((write) => placeOf(write, log, files))
    for (const [index, write] of writes.entries()) {
      const { fate, reason } = await this.fate(write)
      const place = places[index]!
      assert.ok(fates[place].includes(fate), `forks: ${show(write)} is ${place}, and is said to `
        + `be ${fate}: ${reason}`)
    }
    return places
  }

  private async inSalvages(): Promise<Set<string>> {
    const found = new Set<string>()
    for (const { id } of this.stage.cluster.running) {
      const { salvages } = this.stage.cluster.node(id).actor.context!.ports
      for (const { name } of await salvages.list()) {
        for (const frame of await readSalvage(salvages, name).then((read) => read.frames,
          () => []))
        {
          for (const entry of frames.entries(frame)) found.add(show(entry))
        }
      }
    }
    return found
  }
}

interface Placed {
  readonly epoch: number
  readonly sequence: number
}

function placeOf(write: WriteAnswer, log: readonly LogEntry[], files: Set<string>): Place {
  const own = log[write.sequence - 1]
  const isPresent = own?.epoch === write.epoch
  const home = log.filter(({ reconciliation }) =>
    reconciliation !== undefined
    && reconciliation.via !== 'quarantine' && isSame(reconciliation.origin, write)
  )
  const isResent = log.some(({ operation }) =>
    operation.type === 'ForkNote'
    && operation.note === 'resent' && operation.writes.some((one) => isSame(one, write))
  )
  const times = home.length + Number(isPresent) + Number(isResent && home.length === 0)
  assert.ok(times <= 1, `I7: ${show(write)} was reconciled ${times} times, as `
    + home.map(({ sequence }) => sequence).join())
  if (isPresent) return 'present'
  const [entry] = home
  if (entry) return entry.reconciliation!.outcome
  if (isResent) return 'resent'
  return files.has(show(write)) ? 'salvaged' : 'nowhere'
}

function isSame(one: Placed, other: Placed): boolean {
  return one.epoch === other.epoch && one.sequence === other.sequence
}

function show({ epoch, sequence }: Placed): string {
  return `(${epoch}, ${sequence})`
}
