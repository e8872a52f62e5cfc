import { isRecovery } from '../../machines/protocol/events.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { NodeContext } from './context.js'

const encoder = new TextEncoder()

/**
 * Sends an alert to the log, to the metrics, and to `engram.v1.alert.<space>`. `fields` are added
 * to those that every alert has, and do not replace them.
 */
export function sendAlert(
  { ports, wire, self }: NodeContext,
  space: string,
  kind: string,
  fields: object,
  message: string,
): void {
  ports.telemetry.count('alerts', 1, { space, kind })
  ports.logger[isRecovery(kind) ? 'info' : 'warn']({ space, kind, ...fields }, message)
  ports.events.note({ type: 'notice', space, kind, isAlert: true, message, detail: { ...fields } })
  const head = { kind, space, node: self.node, message, atMs: ports.clock.wallMs() }
  const alert = { ...head, ...fields, ...head }
  wire.publish(subjects.alert(space), encoder.encode(JSON.stringify(alert)))
}

/** Logs and keeps an event that needs no action; an alert is published and counted as well. */
export function sendNotice(
  { ports }: NodeContext,
  space: string,
  kind: string,
  fields: object,
  message: string,
): void {
  ports.logger.info({ space, kind, ...fields }, message)
  ports.events.note({ type: 'notice', space, kind, isAlert: false, message, detail: { ...fields } })
}
