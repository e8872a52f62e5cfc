import { pino } from 'pino'
import type { Logger } from '../actors/ports.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export interface LoggerOptions {
  readonly level: LogLevel
  /** In every line: the node, the command. */
  readonly fields?: Readonly<Record<string, unknown>>
}

/** JSON lines on stderr (stdout belongs to `--json`), written at once: the last ones count most. */
export function createLogger({ level, fields = {} }: LoggerOptions): Logger {
  const destination = pino.destination({ fd: 2, sync: true })
  const options = {
    level,
    base: { ...fields },
    // Errors come under `error` and under pino's own `err`, alone or as a cause.
    serializers: {
      error: pino.stdSerializers.errWithCause, cause: pino.stdSerializers.errWithCause,
    },
    timestamp: pino.stdTimeFunctions.isoTime,
  }
  return pino(options, destination)
}
