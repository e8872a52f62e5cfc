import type { NodeEffect } from '../../machines/node.js'
import type { NodeEventState } from '../../machines/protocol/events.js'
import type { NodePorts } from '../ports/node.js'

/** Recorded events, by the effect of the chart that they come with. */
const nodeEvents: Readonly<Partial<Record<NodeEffect['type'], NodeEventState>>> = {
  startSpaces: 'running',
  isolate: 'isolated',
  rejoin: 'reconnected',
  drain: 'draining',
  stop: 'stopped',
  exit: 'failed',
}

/** Records the effects that matter in the history of this node. `life`: its version and number. */
export function noteEffect(events: NodePorts['events'], effect: NodeEffect, life: string): void {
  const state = nodeEvents[effect.type]
  if (state === undefined || (effect.type === 'exit' && effect.code === 0)) return
  const reason = 'reason' in effect ? effect.reason : life
  events.note({ type: 'node', state, reason })
}
