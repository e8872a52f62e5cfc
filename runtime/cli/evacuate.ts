import { setTimeout as delay } from 'node:timers/promises'
import { amountText, spacesText } from '../../machines/base/units.js'
import { keptForTime } from '../../actors/space/departure.js'
import type { SpaceListing } from '../client/operator.js'
import type { EngramClient } from '../client/client.js'
import type { Context } from './context.js'

/** Time between two looks at the records. */
const lookMs = 500
/** Without a change for so long, it says what to look at. */
const patienceMs = 15_000

/**
 * Waits until the node is a member of no space, and has uploaded what only it has; shows how many
 * are left. The nodes do it by themselves: whoever ends this only stops looking.
 */
export async function awaitEvacuation(
  context: Context,
  client: EngramClient,
  node: string,
): Promise<void> {
  let left = Infinity
  let changedMs = performance.now()
  for (;;) {
    const { spaces } = await client.listSpaces()
    const held = spaces.filter(({ members }) => members.includes(node))
    const nowMs = performance.now()
    if (held.length !== left) {
      left = held.length
      changedMs = nowMs
      context.note(leftText(node, held))
    } else if (nowMs - changedMs > patienceMs) {
      changedMs = nowMs
      context.note(`nothing has changed for a while: ${node} can be replaced only by a node that `
        + 'runs, is not drained, and is no member yet. What a space waits for: '
        + `engram space members ${held[0]!.space}`)
    }
    if (left === 0) break
    await delay(lookMs)
  }
  await awaitUploads(context, client, node)
}

/** What only this node has would go with its disk. */
async function awaitUploads(context: Context, client: EngramClient, node: string): Promise<void> {
  let said = ''
  for (;;) {
    const { spaces } = await client.status()
    const owing = spaces.filter(({ members }) =>
      members.some((member) =>
        member.node === node && member.role === 'removed' && member.reason !== keptForTime
      )
    )
    const [first] = owing
    if (!first) return
    const { reason } = first.members.find((member) => member.node === node)!
    const text = `${node} waits with ${amountText(owing.length, 'space')}, ${first.id} among them: `
      + reason
    if (text !== said) context.note(text)
    said = text
    await delay(lookMs)
  }
}

/** `n2 is a member of 12 spaces: a, b, c, …`. */
export function leftText(node: string, held: readonly Pick<SpaceListing, 'space'>[]): string {
  if (held.length === 0) return `${node} is a member of no space`
  return `${node} is a member of ${spacesText(held.map(({ space }) => space))}`
}
