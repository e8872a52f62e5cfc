import type { Clock } from '../ports/system.js'
import type { SpaceActor } from '../space/space.js'
import { pause } from '../structures/pause.js'

/** Pause between attempts, and their number for one space. */
const pollMs = 20
const triesMax = 150

/**
 * Hands over those of `spaces` that this node is primary of. Returns those that are left: no other
 * member is in sync and fit, the arbiter refuses, or the connection is gone.
 */
export async function handOverPrimaries(
  spaces: () => Iterable<SpaceActor>,
  clock: Clock,
  isOpen: () => boolean,
  reason: string,
): Promise<SpaceActor[]> {
  const tries = new Map<SpaceActor, number>()
  for (;;) {
    const left = [...spaces()].filter((space) => space.primaryRole)
    const open = left.filter((space) => (tries.get(space) ?? 0) < triesMax)
    if (open.length === 0 || !isOpen()) return left
    for (const space of open) {
      // The arbiter would refuse again what it has refused once.
      const isRefused = tries.has(space) && space.member.known.rejection !== null
      const to = isRefused ? null : space.successor()
      tries.set(space, to ? (tries.get(space) ?? 0) + 1 : triesMax)
      if (to) space.handOver(to, reason)
    }
    await pause(clock, pollMs)
  }
}
