import { stackOf } from '../../machines/base/thrown.js'
import type { NodeContext } from '../member/context.js'

/** Called for a bug: the space's actor fails, and supervision decides what comes next. */
export function failByDefect({ ports }: NodeContext, space: string, error: unknown): void {
  const { host, logger } = ports
  const reason = stackOf(error)
  logger.error({ space, error: reason }, 'a defect: the space is restarted')
  host.kill(`space.${space}`, reason)
}
