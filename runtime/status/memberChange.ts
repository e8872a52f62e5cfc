/** A change of the members, in the status and for people. */
import { z } from 'zod'
import type { NodeId } from '../../machines/base/ids.js'
import { msText } from '../../machines/base/units.js'
import { showChange } from '../../machines/protocol/members.js'

export interface ChangeStatus {
  /** Node to be added, the learner; null: none, or it is a member now. */
  readonly add: NodeId | null
  /** Node to be taken out then. */
  readonly remove: NodeId | null
  /** When it was ordered: ISO 8601, UTC. */
  readonly since: string
  /** Who ordered it, as given. */
  readonly by: string
  /** Time since then, by the clock of the member that reports it. */
  readonly ageMs: number
  /** What it waits for now; null: only the primary knows. */
  readonly waitsFor: string | null
}

/** As far as a reader relies on it. */
export const changeSchema = z.looseObject({
  add: z.string().nullable(),
  remove: z.string().nullable(),
  since: z.string(),
  by: z.string(),
  ageMs: z.number(),
  waitsFor: z.string().nullable(),
})

export const removedSchema = z.array(z.looseObject({ node: z.string(), at: z.string() }))

/** `replace n3 by n4`. */
export function changeName({ add, remove }: Pick<ChangeStatus, 'add' | 'remove'>): string {
  return showChange({ ...(add !== null && { add }), ...(remove !== null && { remove }) })
}

/** `replace n3 by n4, ordered by ann@ops 12.0 s ago; n4 has not joined yet`. */
export function changeText(change: ChangeStatus): string {
  const { by, ageMs, waitsFor } = change
  return `${changeName(change)}, ordered by ${by} ${msText(ageMs)} ago; `
    + (waitsFor ?? 'it goes on as soon as there is a primary that answers')
}
