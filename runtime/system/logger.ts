import { pino } from 'pino'
import type { Logger } from '../../actors/ports/system.js'
import { LogSink } from './logSink.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export interface LogOptions {
  readonly level: LogLevel
  /** Fields of every line: the node, the command. */
  readonly fields?: Readonly<Record<string, unknown>>
}

export interface Log {
  readonly logger: Logger
  readonly sink: LogSink
}

/**
 * JSON lines on stderr (stdout belongs to `--json`), written in the background and dropped if they
 * cannot be written. Lines that still wait when this process ends are written then.
 */
export function openLog({ level, fields = {} }: LogOptions): Log {
  const options = {
    level,
    base: { ...fields },
    // Errors are under `error` and under pino's own `err`, alone or as a cause.
    serializers: {
      error: pino.stdSerializers.errWithCause,
      cause: pino.stdSerializers.errWithCause,
    },
    timestamp: pino.stdTimeFunctions.isoTime,
  }
  const warning = pino.levels.values['warn']
  // Named here as well, since Node makes the descriptor of a socket non-blocking.
  const sink = new LogSink({
    fd: process.stderr.fd,
    notice: (dropped) =>
      `${
        JSON.stringify({
          level: warning,
          time: new Date().toISOString(),
          ...fields,
          dropped,
          msg: `${dropped} log lines were dropped: they could not be written`,
        })
      }\n`,
  })
  process.once('exit', () => sink.flushNow())
  return { logger: pino(options, sink), sink }
}
