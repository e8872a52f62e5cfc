import type { NodeId, Position } from '../../machines/base/ids.js'
import type { Member } from '../member/member.js'
import { CheckpointDamagedError } from '../ports/checkpoints.js'
import type { Checkpoints, Part, SectionManifest, StoredSection } from '../ports/checkpoints.js'
import type { Stage } from '../ports/store.js'
import { pause } from '../structures/pause.js'
import { type DiskWait, untilTaken } from '../structures/untilTaken.js'

const otherLoadPauseMs = 500
/** A load gives way when the event loop is late by so much: a tenth of the time is its then. */
const loopDelayMsMax = 3
const restFactor = 9
const restMsMax = 50

export interface LoadOptions extends Omit<DiskWait, 'clock'> {
  readonly member: Member
}

/** A checkpoint of another member, as far as it is here and loaded. */
export class Staged {
  readonly id: string
  readonly position: Position
  readonly totalBytes: number
  private part: Part | null = null
  private from: NodeId
  private begun: { readonly atMs: number; readonly bytes: number } | null = null
  private stage: Stage | null = null
  private manifest: SectionManifest | null = null
  private section: StoredSection | null = null
  private overtakenReason: string | null = null

  constructor(
    source: NodeId,
    opened: { readonly id: string; readonly position: Position; readonly bytes: number },
  ) {
    this.from = source
    this.id = opened.id
    this.position = opened.position
    this.totalBytes = opened.bytes
  }

  /** Member that it comes from. */
  get source(): NodeId {
    return this.from
  }

  /** The same file at another member. */
  offeredBy(source: NodeId): void {
    this.from = source
  }

  /** Begins to receive it, or goes on. */
  async receive(checkpoints: Checkpoints, uuid: string, nowMs: number): Promise<Part> {
    const { id, totalBytes } = this
    this.part ??= await checkpoints.receive({ uuid, id, totalBytes })
    this.begun = { atMs: nowMs, bytes: this.part.bytes }
    return this.part
  }

  /** Rate since it was begun, or gone on with; with the time after it was complete. */
  bytesPerSecond(nowMs: number): number {
    const { begun } = this
    if (!begun || nowMs <= begun.atMs) return 0
    return Math.round((this.doneBytes - begun.bytes) * 1000 / (nowMs - begun.atMs))
  }

  get doneBytes(): number {
    return this.section ? this.totalBytes : this.part?.bytes ?? 0
  }

  get records(): number {
    return this.stage?.records ?? 0
  }

  /** All of the file is here. */
  get isComplete(): boolean {
    return this.section !== null || this.part?.bytes === this.totalBytes
  }

  /** Whether it is of use for a primary that keeps what follows on that position. */
  isFrom(minimum: number): boolean {
    return !this.isOvertaken && this.position.sequence >= minimum
  }

  /** The primary has given up what follows on it. */
  get isOvertaken(): boolean {
    return this.overtakenReason !== null
  }

  get overtakenBy(): string {
    return this.overtakenReason ?? ''
  }

  overtake(reason: string): void {
    this.overtakenReason ??= reason
  }

  /** Loaded wholly, and checked: digest and counts are those of the manifest. */
  get loaded(): { readonly stage: Stage; readonly manifest: SectionManifest } | null {
    const { stage, manifest } = this
    return stage && manifest && { stage, manifest }
  }

  /** The file, durable; nothing names it yet. */
  get file(): StoredSection | null {
    return this.section
  }

  /**
   * Loads the file beside the present state. Rejects with CheckpointDamagedError,
   * CheckpointVersionError, RecordsDamagedError: it is of no use.
   */
  async load({ member, isOver, onHindered }: LoadOptions): Promise<void> {
    if (this.loaded) return
    const { clock, store } = member.context.ports
    // A load after a power cut has the same place in the store.
    while (member.rebuild.isLoading && !isOver()) await pause(clock, otherLoadPauseMs)
    const reader = await this.part!.open()
    let stage: Stage | null = null
    try {
      const { manifest } = reader
      this.check(manifest, member.uuid)
      stage = store.stage(member.uuid, manifest.state)
      this.stage = stage
      for await (const records of reader.records()) {
        const begunMs = clock.monotonicMs()
        const put = stage.put.bind(stage, records)
        await untilTaken(put, { clock, isOver, onHindered })
        if (isOver()) return
        await rest(member, clock.monotonicMs() - begunMs)
      }
      await stage.check()
      this.manifest = manifest
    } finally {
      if (!this.manifest) {
        this.stage = null
        stage?.discard()
      }
      await reader.close()
    }
  }

  private check({ uuid, state: { position } }: SectionManifest, wanted: string): void {
    const { epoch, sequence } = this.position
    if (uuid === wanted && position.epoch === epoch && position.sequence === sequence) return
    throw new CheckpointDamagedError(this.id, 'it is not the state that was announced')
  }

  /** Makes it a checkpoint file, durable when it resolves. */
  async finish(): Promise<void> {
    this.section ??= await this.part!.finish()
    this.part = null
  }

  /** Gives up file and load. */
  async drop(checkpoints: Checkpoints): Promise<void> {
    const { part, section } = this.released()
    await part?.discard()
    if (section) await checkpoints.remove(section.file)
  }

  /** Gives up the load. The file stays as it is, and a later install goes on with a part. */
  async close(): Promise<void> {
    await this.released().part?.close()
  }

  private released(): { readonly part: Part | null; readonly section: StoredSection | null } {
    this.stage?.discard()
    this.stage = null
    const { part, section } = this
    this.part = null
    return { part, section }
  }
}

/** Leaves the event loop to what else this node does: for long if it is late with that. */
async function rest({ context: { peers, ports: { clock } } }: Member,
  workedMs: number): Promise<void>
{
  if (peers.loopDelayMs > loopDelayMsMax) {
    return await pause(clock, Math.min(restMsMax, Math.ceil(workedMs * restFactor)))
  }
  await new Promise<void>((resolve) => clock.nextTurn(resolve))
}
