import { formerlyOf } from '../../machines/protocol/assignments.js'
import { placeSpace } from '../../machines/protocol/spacePlacement.js'
import type { Assignment, SpaceSettings } from '../../machines/protocol/messages.js'
import { isSameSettings, showSettings } from '../../machines/protocol/spaceSettings.js'
import type { RecordRead } from '../arbiter/assignmentStore.js'
import type { NodeContext } from '../member/context.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { Answer } from '../ports/adminApi.js'
import { announceChange, settleChange } from './recordChange.js'

/** Attempts; another's compare-and-set may come first, and usually settles the matter. */
const attemptsMax = 10

/**
 * Writes the record of a new space, unless there is one with the same settings. `isDue` returns
 * false once the operator has waited long enough. Rejects with AdminRefusal, in the arbiter's own
 * words if the arbiter refuses, and with ArbiterUnavailableError.
 */
export async function createSpace(
  context: NodeContext,
  space: string,
  settings: SpaceSettings,
  isDue: () => boolean,
): Promise<Answer> {
  const { records, ports, self } = context
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const read = await records.read(space)
    const known = knownOf(space, read)
    if (known && known.assignment.state !== 'dropped') {
      return sameSettings(known.assignment, settings)
    }
    const formerly = formerlyOf(known?.assignment ?? null)
    const members = membersFor(context, space, settings)
    const assignment: Assignment = {
      version: 1,
      space,
      uuid: ports.random.uuid(),
      epoch: known?.assignment.epoch ?? 0,
      state: 'vacant',
      primary: null,
      members,
      inSync: members.map((m) => m.node),
      settings,
      forced: false,
      ...(formerly.length > 0 && { formerly }),
      nonce: ports.random.uuid(),
      writer: self.node,
    }
    const settled = await settleChange(context, assignment, known?.revision ?? 0, isDue,
      'the new space')
    if (settled === null) continue
    announceChange(context, settled, 'the space was created')
    return { ok: true, created: true, message: `on ${assignment.inSync.join(', ')}` }
  }
  throw new AdminRefusal('INTERNAL', 'the arbiter did not confirm the new space', true)
}

/** The answer if the space may exist already: it is not created again. */
function knownOf(space: string, read: RecordRead) {
  switch (read.kind) {
    case 'present':
      return read.record
    case 'absent':
      return null
    case 'lost':
      if (read.remembered.assignment.state === 'dropped') return read.remembered
      throw new AdminRefusal('INVALID_OPERATION', `the record of ${space} is being written anew: `
        + read.reason, true)
    case 'unreadable':
      throw new AdminRefusal('INVALID_OPERATION', `${read.reason}. If the space exists, one of its `
        + 'members writes it anew; if it never did, remove the record: '
        + `nats kv del engram space.${space}`)
    case 'newer':
      throw new AdminRefusal('INVALID_OPERATION', read.reason)
  }
}

function membersFor(
  { self, peers }: NodeContext,
  space: string,
  { replicas }: SpaceSettings,
): Assignment['members'] {
  const living = peers.living()
  const fit = living.filter((node) => peers.unfitOf(node) === null)
  if (fit.length < replicas + 1) {
    const unfit = living.flatMap((node) => peers.unfitOf(node) ?? [])
    throw new AdminRefusal('NOT_ENOUGH_IN_SYNC', `${replicas + 1} nodes are `
      + `needed, ${fit.length} are alive${unfit.length > 0 ? ' and fit' : ''}: ${fit.join(', ')}`
      + unfit.map((reason) => `; ${reason}`).join(''), true)
  }
  const zoneOf = (node: string) => peers.zoneOf(node)
  return placeSpace(space, fit, replicas + 1, zoneOf).map((node) => {
    const disk = node === self.node ? self.disk : peers.diskOf(node)
    if (!disk) throw new AdminRefusal('INTERNAL', `the disk of ${node} is not known yet`, true)
    return { node, disk }
  })
}

function sameSettings(known: Assignment, asked: SpaceSettings): Answer {
  if (isSameSettings(known.settings, asked)) {
    return { ok: true, created: false, epoch: known.epoch, primary: known.primary?.node ?? null }
  }
  throw new AdminRefusal('INVALID_OPERATION',
    `the space ${known.space} exists with other settings: ${showSettings(known.settings)}`, false,
    'otherSettings')
}
