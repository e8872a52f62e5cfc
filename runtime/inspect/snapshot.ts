import type { Envelope, InspectionStreamEvent } from './schema.js'

export type ActorShown = Extract<InspectionStreamEvent, { type: 'actor' }>

interface NodeShown {
  incarnation: number
  /** A gap was seen, or nothing but gaps: parts of the present state are on their way. */
  readonly actors: Map<string, ActorShown>
}

/**
 * What is known of the cluster's actors: envelopes in, the present state out. Pure; each change
 * of an actor is a new object.
 */
export class InspectionSnapshot {
  readonly nodes = new Map<string, NodeShown>()
  /** Definitions by chart, as JSON. Nodes of one version have the same ones. */
  readonly charts = new Map<string, string>()

  /** Returns actors that the present state of a node shows to be gone. */
  apply(envelope: Envelope): ActorShown[] {
    const { node, incarnation, present } = envelope
    let shown = this.nodes.get(node)
    let gone: ActorShown[] = []
    if (shown === undefined || shown.incarnation !== incarnation || present?.part === 1) {
      gone = [...shown?.actors.values() ?? []]
      shown = { incarnation, actors: new Map() }
      this.nodes.set(node, shown)
    }
    for (const event of envelope.events) this.applyEvent(shown.actors, event)
    return gone
  }

  /** The node is gone; what ran there. */
  drop(node: string): ActorShown[] {
    const actors = [...this.nodes.get(node)?.actors.values() ?? []]
    this.nodes.delete(node)
    return actors
  }

  actor(node: string, actor: string): ActorShown | undefined {
    return this.nodes.get(node)?.actors.get(actor)
  }

  private applyEvent(actors: Map<string, ActorShown>, event: InspectionStreamEvent): void {
    switch (event.type) {
      case 'chart':
        this.charts.set(event.chart, event.definition)
        return
      case 'actor':
        actors.set(event.actor, event)
        return
      case 'transition':
      case 'progress': {
        const known = actors.get(event.actor)
        if (known === undefined) return
        const { atMs, status, state, reason, summary, timers } = event
        actors.set(event.actor, { ...known, atMs, status, state, reason, summary, timers })
        return
      }
      case 'exit':
        actors.delete(event.actor)
        return
      default:
    }
  }
}
