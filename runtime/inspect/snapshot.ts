import type { Envelope, InspectionStreamEvent } from './schema.js'

export type ActorShown = Extract<InspectionStreamEvent, { type: 'actor' }>

interface NodeShown {
  incarnation: number
  readonly actors: Map<string, ActorShown>
}

/**
 * The present state of the cluster's actors, built from envelopes. Pure. Each change of an actor is
 * a new object.
 */
export class InspectionSnapshot {
  readonly nodes = new Map<string, NodeShown>()
  /** Definitions by chart, as JSON, the same for all nodes of one version. */
  readonly charts = new Map<string, string>()

  /** Returns actors that are gone, by the present state of their node. */
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

  /** Removes a node. Returns the actors that ran on it. */
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
