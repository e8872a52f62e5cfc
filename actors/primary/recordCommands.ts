/** Operators' changes of a space's record, as the primary carries them out. */
import { isoTime } from '../../machines/election/pause.js'
import { signed, withPromoter, withSettings } from '../../machines/protocol/assignments.js'
import type { MemberChange } from '../../machines/protocol/memberChange.js'
import { cancelled, isSameChange, ordered, orderFault, showChange,
  type MemberOrder } from '../../machines/protocol/members.js'
import type { SpaceSettings } from '../../machines/protocol/messages.js'
import { isSameSettings } from '../../machines/protocol/spaceSettings.js'
import type { Member } from '../member/member.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { RecordCommand } from './assignmentWriter.js'

/** Returns the new settings, given the present ones when its turn comes. Throws AdminRefusal. */
export type SettingsChange = (present: SpaceSettings) => SpaceSettings

export function settingsCommand(member: Member, change: SettingsChange): RecordCommand {
  return {
    what: 'the settings',
    change: (present) => {
      const settings = change(present.settings)
      return isSameSettings(present.settings, settings)
        ? present
        : withSettings(present, settings, member.signature())
    },
    written: ({ settings }) => {
      member.alert('settingsChanged', { settings }, 'the settings of the space were changed')
      return 'the settings were changed'
    },
  }
}

/**
 * `order` null: cancels the change that is under way; `only`: if it is still that one, of which
 * more may have been done meanwhile.
 */
export function membersCommand(
  member: Member,
  order: MemberOrder | null,
  only?: MemberChange,
): RecordCommand {
  const { context } = member
  const at = (): string => isoTime(context.ports.clock.wallMs())
  return {
    what: 'the members',
    change: (present) => {
      if (order === null) {
        if (only && !isSameChange(only, present.change)) return present
        return present.change ? cancelled(present, at(), member.signature()) : present
      }
      const fault = orderFault(present, order, (node) => unfitLearner(member, node))
      if (fault !== null) throw new AdminRefusal('INVALID_OPERATION', fault)
      return ordered(present, order, at(), member.signature())
    },
    written: ({ change }) => {
      const text = change
        ? `${change.by} orders: ${showChange(change)}`
        : 'the change of the members was cancelled'
      const kind = change ? 'memberChangeOrdered' : 'memberChangeCancelled'
      member.alert(kind, { ...change }, text)
      return text
    },
  }
}

/** The operator `by` wants this node as primary, which it is: it is not moved by itself. */
export function choiceCommand(member: Member, by: string): RecordCommand {
  return {
    what: 'who chose the primary',
    change: (present) => {
      const isChosen = present.forced || present.promotedBy !== undefined
      const next = isChosen ? present : withPromoter(present, by)
      return next === present ? present : signed(next, member.signature())
    },
    written: () => `${by} chose ${member.self} as primary`,
  }
}

/** Why the node cannot become a member now, or null. */
function unfitLearner({ self, context: { peers } }: Member, node: string): string | null {
  if (peers.isLiving(node)) return peers.unfitOf(node)
  return `${node} is not alive, as far as ${self} can tell; start it first`
}
