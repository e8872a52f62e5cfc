/** Clock, randomness, logger, telemetry, recorder of events. */

import type { ClusterEvent } from '../../machines/protocol/events.js'

export type TimerHandle = object

export interface Clock {
  /** Wall clock, ms since 1970. May jump. */
  wallMs(): number
  /** Never goes back; stands still while the machine is suspended. Milliseconds, fractional. */
  monotonicMs(): number
  /** Processor time that this process has used, ms, of all its threads. */
  cpuMs(): number
  setTimeout(run: () => void, ms: number): TimerHandle
  clearTimeout(timer: TimerHandle): void
  /** Runs soon: after the timers that are due, and after sockets that are ready. */
  nextTurn(run: () => void): void
}

export interface Random {
  /** In [0, 1). */
  next(): number
  uuid(): string
}

export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Counters and distributions; called per batch, never per write. */
export interface Telemetry {
  count(name: string, by?: number, labels?: Record<string, string>): void
  observe(name: string, value: number, labels?: Record<string, string>): void
}

/** Keeps the latest notable events. Neither throws nor blocks. */
export interface EventRecorder {
  note(event: ClusterEvent): void
}
