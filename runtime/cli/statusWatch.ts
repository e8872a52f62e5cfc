/** engram status --watch: polls until Ctrl-C. */
import { setTimeout as delay } from 'node:timers/promises'
import type { WriteStream } from 'node:tty'
import type { EngramClient } from '../client/client.js'
import type { ClusterStatus } from '../status/status.js'
import type { Context } from './context.js'
import { Screen } from './screen.js'
import { alertEvent, changesBetween, eventsMax } from './statusEvents.js'
import type { WatchEvent } from './statusEvents.js'
import { plainLines, viewLines } from './statusView.js'

export interface WatchOptions {
  readonly json: boolean
  readonly intervalMs: number
  /** True if only some spaces are shown, so that alerts of others are left out. */
  readonly isChoice: boolean
}

/** Output of a poll: the screen of a terminal, lines, or JSON. */
interface Display {
  show(status: ClusterStatus, atMs: number): void
  event(event: WatchEvent): void
  close(): void
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Returns after a signal or the end of stdout's reader, with the terminal restored. */
export async function watchStatus(
  context: Context,
  client: EngramClient,
  choose: (status: ClusterStatus) => ClusterStatus,
  options: WatchOptions,
): Promise<void> {
  const out = context.io.stdout as WriteStream
  const stopped = new AbortController()
  const stop = (): void => stopped.abort()
  for (const signal of signals) process.on(signal, stop)
  // The reader of the pipe has ended, such as head or a failed jq.
  out.on('error', stop)
  const display = displayOf(context, client, options)
  let before: ClusterStatus | null = null
  const alerts = client.connection.subscribe('engram.v1.alert.*', {
    // Without permission for the subject there are no alerts. The rest works.
    callback: (error, message) => {
      const event = error ? null : alertEvent(message.subject, message.data, Date.now())
      const isShown = !options.isChoice || before?.spaces.some(({ id }) => id === event?.subject)
      if (event && isShown) display.event(event)
    },
  })
  try {
    while (!stopped.signal.aborted) {
      const status = choose(await client.status())
      const atMs = Date.now()
      if (before && status.nodes.length > 0) {
        for (const event of changesBetween(before, status, atMs)) display.event(event)
      }
      if (status.nodes.length > 0) before = status
      display.show(status, atMs)
      await delay(options.intervalMs, undefined, { signal: stopped.signal }).catch(() => {})
    }
  } finally {
    display.close()
    alerts.unsubscribe()
    for (const signal of signals) process.removeListener(signal, stop)
  }
}

function displayOf(context: Context, client: EngramClient, options: WatchOptions): Display {
  const out = context.io.stdout as WriteStream
  if (options.json) {
    return { show: (status) => context.printJson(status), event() {}, close() {} }
  }
  if (out.isTTY) return screenDisplay(context, client, options.intervalMs)
  return {
    show: (status, atMs) => {
      for (const line of plainLines(status, atMs)) context.print(line)
    },
    event: ({ atMs, subject, text }) =>
      context.print(`${new Date(atMs).toISOString()} ${subject} event: ${text}`),
    close() {},
  }
}

function screenDisplay(context: Context, client: EngramClient, intervalMs: number): Display {
  const { env } = context.io
  const screen = new Screen(context.io.stdout as WriteStream, {
    hasColours: !env['NO_COLOR'] && env['TERM'] !== 'dumb',
    redraw: () => draw(),
  })
  const events: WatchEvent[] = []
  let status: ClusterStatus | null = null
  let atMs = Date.now()
  let silentSinceMs: number | null = null
  const draw = (): void =>
    screen.draw(viewLines({
      status,
      atMs,
      silentSinceMs,
      server: client.connection.getServer(),
      intervalMs,
      events,
    }, screen.size))
  screen.open()
  draw()
  return {
    show(next, nowMs) {
      atMs = nowMs
      // The last status stays visible, marked as old.
      if (next.nodes.length === 0) silentSinceMs ??= nowMs
      else [status, silentSinceMs] = [next, null]
      draw()
    },
    event(event) {
      events.push(event)
      if (events.length > eventsMax) events.shift()
      draw()
    },
    close: () => screen.close(),
  }
}
