/** Writes frames of the page, as a server would. */
import type { InspectionStreamEvent, StateValue } from '../../runtime/inspect/schema.js'
import type { Frame } from '../../runtime/page/protocol.js'

type ActorEvent = Extract<InspectionStreamEvent, { type: 'actor' }>

export class PageFrames {
  readonly frames: Frame[] = []
  private readonly numbers = new Map<string, number>()

  start(atMs: number): void {
    this.frames.push({
      kind: 'start',
      atMs,
      format: 1,
      version: '0.0.0',
      source: 'up',
      node: null,
      playground: false,
      payloads: false,
      thresholds: { lagAlertMs: 5_000, lagAlertBytes: 100_000_000 },
      times: { heartbeatMs: 100, grantMs: 2_000 },
    })
  }

  present(atMs: number, node: string, events: readonly ActorEvent[], part = 1, parts = 1): void {
    this.push(atMs, node, events, { number: this.numbers.get(node) ?? 0, present: { part, parts } })
  }

  events(
    atMs: number,
    node: string,
    events: readonly InspectionStreamEvent[],
    head: { number?: number; dropped?: number; stream?: string } = {},
  ): void {
    const number = head.number ?? (this.numbers.get(node) ?? 0) + 1
    this.push(atMs, node, events, { ...head, number, present: null })
  }

  private push(
    atMs: number,
    node: string,
    events: readonly InspectionStreamEvent[],
    head: {
      number: number
      dropped?: number
      stream?: string
      present: { part: number; parts: number } | null
    },
  ): void {
    this.numbers.set(node, head.number)
    this.frames.push({
      kind: 'inspection',
      atMs,
      envelope: {
        version: 1,
        node,
        incarnation: 1,
        stream: '1.1',
        dropped: 0,
        ...head,
        events: [...events],
      },
    })
  }

  actor(actor: string, state: StateValue): ActorEvent {
    return {
      type: 'actor',
      actor,
      atMs: 0,
      parent: null,
      chart: 'chart',
      status: 'active',
      state,
      reason: null,
      summary: {},
    }
  }

  transition(
    atMs: number,
    actor: string,
    from: StateValue | null,
    state: StateValue,
    event: string,
    reason: string | null = null,
    summary: Record<string, unknown> = {},
  ): InspectionStreamEvent {
    return {
      type: 'transition',
      actor,
      atMs,
      from,
      event,
      status: 'active',
      state,
      reason,
      summary,
    }
  }
}
