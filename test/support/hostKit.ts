/** Shared by the tests of the actor host. */
import { BusClosedError } from '../../actors/ports/bus.js'
import type { BusConnection, BusMessage } from '../../actors/ports/bus.js'
import type { Logger } from '../../actors/ports/system.js'
import { createActorHost } from '../../runtime/host/index.js'
import type { ActorHostOptions, ActorHostRuntime, DeadLetter, HostEvent,
  InspectionSource } from '../../runtime/host/index.js'
import { VirtualClock } from '../fakes/virtualClock.js'

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: object
}

export function recordingLogger(): Logger & { lines: LogLine[] } {
  const lines: LogLine[] = []
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export interface Kit {
  readonly host: ActorHostRuntime
  readonly clock: VirtualClock
  readonly logger: ReturnType<typeof recordingLogger>
  readonly escalations: Error[]
  readonly letters: DeadLetter[]
}

export function kit(options: Partial<ActorHostOptions> = {}): Kit {
  const clock = (options.clock as VirtualClock | undefined) ?? new VirtualClock()
  const logger = recordingLogger()
  const escalations: Error[] = []
  const letters: DeadLetter[] = []
  const host = createActorHost({
    node: 'n1',
    clock,
    logger,
    onEscalation: (error) => escalations.push(error),
    ...options,
  })
  host.onDeadLetter((letter) => letters.push(letter))
  return { host, clock, logger, escalations, letters }
}

/** Host events of the inspection stream, as text: `a engram.restart`. */
export function hostEvents(host: ActorHostRuntime): string[] {
  const seen: string[] = []
  host.inspect((event: { type: string } | HostEvent, source: InspectionSource) => {
    if (event.type.startsWith('engram.')) seen.push(`${source.actor} ${event.type}`)
  })
  return seen
}

/**
 * Delivers at once, within one process; `lose` swallows the next messages, `onUnheard` runs the
 * answer to one that nobody gets.
 */
export class Wire {
  lose = 0
  onUnheard: (run: () => void) => void = (run) => run()
  readonly published: { subject: string; data: Uint8Array }[] = []
  private readonly handlers = new Set<{ subject: string; run: (message: BusMessage) => void }>()

  connect(maxPayload = 1_048_576): BusConnection & { drop(): void } {
    let isClosed = false
    const onClosed = new Set<(reason: string) => void>()
    const closed = new Promise<string>((resolve) => onClosed.add(resolve))
    const drop = (): void => {
      isClosed = true
      for (const resolve of onClosed) resolve('dropped')
    }
    const subscribe: BusConnection['subscribe'] = (subject, run) => {
      const entry = { subject, run }
      this.handlers.add(entry)
      return { unsubscribe: () => void this.handlers.delete(entry) }
    }
    return {
      serverId: 'S1',
      inboxPrefix: '_INBOX',
      maxPayload,
      bufferedBytes: 0,
      get isClosed() {
        return isClosed
      },
      closed,
      publish: (subject, data, options) => {
        if (isClosed) throw new BusClosedError()
        this.publish(subject, data, options?.reply)
      },
      publishSide: (subject, data) => this.publish(subject, data),
      subscribe,
      subscribeSide: subscribe,
      request: () => Promise.reject(new Error('not needed here')),
      flush: () => Promise.resolve(),
      close: () => Promise.resolve(drop()),
      drop,
    }
  }

  publish(subject: string, data: Uint8Array, reply?: string): void {
    this.published.push({ subject, data })
    if (this.lose > 0) {
      this.lose -= 1
      return
    }
    const isHeard = this.deliver({
      subject,
      data,
      reply,
      header: () => undefined,
      headerNames: () => [],
    })
    if (isHeard || reply === undefined) return
    this.onUnheard(() =>
      this.deliver({
        subject: reply,
        data: new Uint8Array(0),
        reply: undefined,
        header: () => '503',
        headerNames: () => [],
      })
    )
  }

  private deliver(message: BusMessage): boolean {
    const to = [...this.handlers]
      .filter(({ subject }) => message.subject.startsWith(subject.slice(0, -1)))
    for (const { run } of to) run(message)
    return to.length > 0
  }
}
