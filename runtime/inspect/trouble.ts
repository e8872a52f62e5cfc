/** Kills, restarts, escalations and dead letters of the actor host, for the inspection stream. */
import type { HostEvent } from '../host/index.js'
import type { InspectionStreamEvent } from './schema.js'

type Trouble = Exclude<HostEvent, { type: 'engram.spawn' | 'engram.exit' }>

export function troubleEvent(event: Trouble, actor: string, atMs: number): InspectionStreamEvent {
  const head = { actor, atMs }
  switch (event.type) {
    case 'engram.kill':
      return { type: 'kill', ...head, reason: event.reason }
    case 'engram.restart': {
      const { attempt, delayMs, error } = event
      return { type: 'restart', ...head, attempt, delayMs, error: shortened(error) }
    }
    case 'engram.escalation':
      return { type: 'escalation', ...head, to: event.to, error: shortened(event.error) }
    case 'engram.deadLetter': {
      const { reason, detail, from, event: letter } = event.letter
      return {
        type: 'deadLetter',
        ...head,
        reason,
        detail: shortened(detail),
        from: from === null ? null : `${from.node}/${from.actor ?? ''}`,
        event: letter?.type ?? null,
      }
    }
  }
}

function shortened(text: string): string {
  return text.slice(0, 300)
}
