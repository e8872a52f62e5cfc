/**
 * A stage for a scenario: whole nodes in virtual time (SimCluster) with faults by message and by
 * call of the arbiter, a judge who watches, and a transcript.
 */
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { SpaceActor } from '../../../actors/space/space.js'
import type { Position } from '../../../machines/base/ids.js'
import type { SpaceSettings } from '../../../machines/protocol/messages.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import type { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { SimCluster } from '../../support/simCluster.js'
import type { Answer, SimObserver, SimOptions } from '../../support/simCluster.js'
import { HinderedBucket } from './hinderedBucket.js'
import { Judge, Violation } from './judge.js'
import { Network } from './network.js'
import type { Kind } from './network.js'
import type { Transcript } from './transcript.js'

export interface StageOptions extends Omit<SimOptions, 'bucket' | 'observer' | 'settings'> {
  /** Members besides the primary; default 2. */
  readonly replicas?: number
  readonly minInSync?: number
  /** Other settings of the space. */
  readonly settings?: Partial<SpaceSettings>
  /** The member that is primary first; the others are members too. Default n1. */
  readonly primary?: string
}

const control = controlCodec()

/** Steps of virtual time between two looks at the judge, ms. */
const stepMs = 5

export class Stage {
  readonly space = 'teams'
  readonly network: Network
  readonly judge: Judge
  /** Nodes of which it is expected that they end by themselves. */
  readonly mayEnd = new Set<string>()

  private constructor(
    readonly cluster: SimCluster,
    readonly arbiter: HinderedBucket,
    private readonly transcript: Transcript,
  ) {
    this.network = new Network(cluster)
    this.judge = new Judge(cluster.nodes, this.space)
    this.network.onPublished = (from, kind, { subject, data }) => {
      this.transcript.published(from, kind, subject, data)
      this.noteAnswer(from, kind, data)
      if (kind === 'ack') this.noteAck(data)
    }
    arbiter.onDecided = (decided) => {
      this.transcript.decided(decided)
      if (decided.outcome.kind === 'applied' && decided.next.space === this.space) {
        this.judge.onRecord(decided.next)
      }
    }
  }

  /** A space whose members all are in sync, with a few committed entries, and whose primary is `primary`. */
  static async set(options: StageOptions, transcript: Transcript): Promise<Stage> {
    const { replicas = 2, minInSync, settings = {}, primary = 'n1', ...rest } = options
    let cluster: SimCluster | null = null
    const arbiter = new HinderedBucket(
      (connection) => cluster?.owners.get(connection)?.name ?? '?',
      (ms) => new Promise((resolve) => void cluster!.clock.setTimeout(resolve, ms)),
    )
    const observer: SimObserver = {
      logged: (node, level, message, fields) => {
        if (level !== 'debug') transcript.logged(node.id, fields, message)
      },
    }
    cluster = await SimCluster.start({ ...rest, bucket: arbiter.bucket, observer })
    transcript.begin(cluster.clock)
    const stage = new Stage(cluster, arbiter, transcript)
    await cluster.createSpace({ replicas, ...(minInSync ? { minInSync } : {}), ...settings })
    await stage.until('all are in sync', () =>
      stage.inSync.length === replicas + 1
      && stage.record.state === 'open')
    if (stage.primary !== primary) await stage.handOver(primary)
    await stage.writes(5, 'committed')
    await stage.until('all have applied it',
      () =>
        stage.members.every((id) =>
          stage.at(id).member.store.applied.sequence >= stage.end(primary).sequence
        ))
    return stage
  }

  /** Lets time pass; throws what the judge has found. */
  async run(ms: number): Promise<void> {
    const { clock } = this.cluster
    const endMs = clock.monotonicMs() + ms
    while (clock.monotonicMs() < endMs) {
      await this.cluster.run(Math.min(stepMs, endMs - clock.monotonicMs()))
      this.judge.assertNone()
      this.assertNoneEnded()
    }
  }

  /** A node that ends by itself has found a defect, unless the scenario has broken its disk. */
  private assertNoneEnded(): void {
    for (const { id, exitCode, log } of this.cluster.nodes.values()) {
      if (exitCode === null || this.mayEnd.has(id)) continue
      const last = log.findLast(({ level }) => level === 'error')
      throw new Error(`${id} ended with code ${exitCode}: ${last?.message} `
        + JSON.stringify(last?.fields))
    }
  }

  async until(what: string, isSo: () => boolean, maxMs = 10_000): Promise<number> {
    const { clock } = this.cluster
    const begunMs = clock.monotonicMs()
    while (!isSo()) {
      if (clock.monotonicMs() - begunMs > maxMs) {
        throw new Violation('I10', `not within ${maxMs} ms: ${what}\n${this.cluster.describe()}`)
      }
      await this.run(1)
    }
    this.judge.assertNone()
    return clock.monotonicMs() - begunMs
  }

  get record() {
    const record = this.cluster.record(this.space)
    if (!record) throw new Error(`the arbiter has no record of ${this.space}`)
    return record
  }

  get inSync(): readonly string[] {
    return this.record.inSync
  }

  /** Whom the record names. */
  get primary(): string {
    return this.record.primary?.node ?? 'nobody'
  }

  get members(): readonly string[] {
    return this.record.members.map(({ node }) => node)
  }

  at(node: string): SpaceActor {
    return this.cluster.node(node).space(this.space)
  }

  end(node: string): Position {
    return this.at(node).member.log.end
  }

  durable(node: string): Position {
    return this.at(node).member.log.durable
  }

  /** The record names the node as primary of that epoch or a later one, which is open. */
  isPrimary(node: string, epoch = 1): boolean {
    const { state } = this.record
    return this.primary === node && state === 'open' && this.record.epoch >= epoch
  }

  follows(node: string, primary: string): boolean {
    const member = this.cluster.node(node).life?.actor.spaces.get(this.space)?.member
    return member !== undefined && member.following.isFollowing
      && member.known.record?.assignment.primary?.node === primary
  }

  /** For the transcript: what the scenario does, and why. */
  say(sentence: string): void {
    this.transcript.said(sentence)
  }

  kill(node: string): void {
    this.say(`${node} is killed (kill -9)`)
    this.judge.look(node)
    this.cluster.node(node).kill()
  }

  powerCut(...nodes: string[]): void {
    this.say(`the power of ${nodes.join(', ')} fails`)
    for (const node of nodes) {
      this.judge.look(node)
      this.cluster.node(node).powerCut()
    }
  }

  start(...nodes: string[]): void {
    this.say(`${nodes.join(', ')} ${nodes.length > 1 ? 'start' : 'starts'} again`)
    for (const node of nodes) this.cluster.node(node).start()
  }

  pause(node: string): void {
    this.say(`${node} is paused: its process runs no instruction, its connection stays open`)
    this.judge.look(node)
    this.cluster.node(node).freeze()
  }

  resume(node: string): void {
    this.say(`${node} goes on`)
    this.cluster.node(node).thaw()
  }

  replaceDisk(node: string): void {
    this.say(`${node} gets another, empty disk`)
    this.judge.lose(node)
    this.cluster.node(node).replaceDisk()
  }

  /** A backup of the node's directory is put in its place. */
  restore(node: string, copy: MemoryFileSystem): void {
    this.say(`the directory of ${node} is restored from a copy`)
    this.judge.lose(node)
    this.cluster.node(node).restoreDirectory(copy)
  }

  /** The node's store is gone, as after a power cut; its journal is there. */
  loseStore(...nodes: string[]): void {
    this.say(`the stores of ${nodes.join(', ')} are thrown away`)
    for (const node of nodes) this.cluster.node(node).loseGraphs()
  }

  /** The node's wall clock is set forward. */
  setForward(node: string, ms: number): void {
    this.say(`the wall clock of ${node} is set forward by ${ms} ms`)
    this.cluster.node(node).life!.clock.jumpWall(ms)
  }

  /** The broker closes the node's connection, and the node sees it at once. */
  closeConnection(node: string): void {
    this.say(`the broker closes the connection of ${node}`)
    const { life } = this.cluster.node(node)
    this.cluster.broker.kill(life!.connection!, 'the broker closed it')
  }

  async handOver(to: string): Promise<void> {
    const answer = await this.cluster.command(this.cluster.running[0]!.id, {
      type: 'promote',
      space: this.space,
      to,
    })
    if (answer['ok'] !== true) throw new Error(`no handover: ${JSON.stringify(answer)}`)
    await this.until(`${to} is primary`, () =>
      this.isPrimary(to)
      && this.inSync.length === this.members.length && this.at(to).serves)
  }

  /** Sends a write, and lets nobody wait for its answer. */
  send(ack = 'durable', headers: Record<string, string> = {}): Promise<Answer | null> {
    return this.cluster.send({ 'Engram-Ack': ack, ...headers }, 1, this.space)
  }

  /** Writes that must succeed. */
  async writes(count: number, ack = 'durable'): Promise<WriteAnswer[]> {
    const answers = await this.cluster.writes(count, ack)
    this.judge.assertNone()
    return answers
  }

  /** Sends a write every `everyMs` for `forMs`; nothing is expected of the answers. */
  async writeOn(forMs: number, everyMs = 20, ack = 'durable'): Promise<void> {
    for (let passedMs = 0; passedMs < forMs; passedMs += everyMs) {
      void this.send(ack)
      await this.run(everyMs)
    }
  }

  /** All faults end; then the space serves, everyone is level, and the audit passes. */
  async balance(): Promise<void> {
    await this.calm()
    await this.cluster.check()
    this.judge.assertNone()
  }

  /** All faults end, all nodes run; then the space serves, and everyone is in sync. */
  async calm(): Promise<void> {
    this.say('all faults end')
    this.network.faults = () => undefined
    this.network.nobodyHears = () => false
    this.arbiter.hindrances = () => undefined
    this.network.release()
    const down = [...this.cluster.nodes.values()].filter((node) => !node.life)
    if (down.length > 0) this.start(...down.map(({ id }) => id))
    for (const [node] of this.cluster.nodes) {
      if (this.cluster.node(node).life?.clock.isFrozen) this.resume(node)
    }
    await this.run(1000)
    await this.until('somebody serves', () => this.cluster.primary() !== null, 5000)
    await this.until('all are in sync', () =>
      this.inSync.length === this.members.length
      && this.cluster.primary() !== null)
    await this.writes(3, 'committed')
    this.judge.assertNone()
  }

  private noteAck(data: Uint8Array): void {
    const decoded = control.ackMessage(data)
    if (decoded.ok && decoded.value.kind === 'ack') this.judge.onAck(decoded.value)
  }

  private noteAnswer(from: string, kind: Kind, data: Uint8Array): void {
    if (kind !== 'answer' || from === 'client' || data[0] !== 0x7b) return
    const answer = JSON.parse(Buffer.from(data).toString()) as Partial<WriteAnswer>
    if (answer.ok !== true || answer.ack === undefined || answer.space !== this.space) return
    this.judge.onAnswer(from, answer as WriteAnswer, this.cluster.clock.monotonicMs())
  }
}
