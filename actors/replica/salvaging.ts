import type { Position } from '../../machines/base/ids.js'
import { framesAbove, namesOf } from '../forks/salvageSlices.js'
import { sendAlert } from '../member/alerts.js'
import type { Member } from '../member/member.js'

/** Writes the entries above `common` to a salvage, fsynced (I6). Returns its name. */
export async function salvageAbove(
  member: Member,
  common: Position,
  joinedEpoch: number,
): Promise<string> {
  const { ports, self } = member.context
  const { log, space, uuid } = member
  const salvage = await ports.salvages.save({
    space,
    uuid,
    node: self.node,
    common,
    end: log.end,
    joinedEpoch,
    savedAtMs: ports.clock.wallMs(),
  }, framesAbove(member, common.sequence))
  // Counted by name: after a crash between save and truncate the file exists already.
  await ports.salvages.names().then(
    (names) => member.salvages.counted(namesOf(names, space, uuid).length),
    () => member.salvages.added(),
  )
  return salvage
}

/** Reports that entries of this log were given up, and are kept in a salvage. */
export function alertFork(
  { context, space }: Member,
  salvage: string,
  common: Position,
  end: Position,
): void {
  const entries = end.sequence - common.sequence
  sendAlert(context, space, 'fork', { salvage, common, end, entries },
    `gave up a fork of ${entries} entries; it is kept in ${salvage}`)
  context.ports.telemetry.count('forks', 1, { space })
}
