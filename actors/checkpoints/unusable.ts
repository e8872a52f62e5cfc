import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import { faultOf } from '../ports/checkpoints.js'
import type { StoredSection } from '../ports/checkpoints.js'

/** Says that a checkpoint cannot be used. It does not count any more, and a new one is due. */
export function noteUnusable(
  context: NodeContext,
  section: StoredSection,
  error: unknown,
): void {
  const { space, file } = section
  const fault = faultOf(error)
  context.ports.checkpoints.noteUnusable(section, fault)
  const remedy = fault.code === 'CHECKPOINT_VERSION' ? '' : '; check the disk'
  sendAlert(context, space, 'checkpointUnusable', { file },
    `${fault.reason}. The next checkpoint takes its place${remedy}`)
}
