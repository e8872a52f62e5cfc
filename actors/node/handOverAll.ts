import type { Clock } from '../ports/system.js'
import type { SpaceActor } from '../space/space.js'

/** It looks again after this long, and gives a space up after so many tries. */
const pollMs = 20
const triesMax = 150

/**
 * Hands over what is reigned in of `spaces`; returns those that are left: no other member is in
 * sync and fit, the arbiter refuses, or the connection is gone.
 */
export async function handOverPrimaries(
  spaces: () => Iterable<SpaceActor>, clock: Clock, isOpen: () => boolean, reason: string,
): Promise<SpaceActor[]> {
  const tries = new Map<SpaceActor, number>()
  for (;;) {
    const reigning = [...spaces()].filter((space) => space.primaryRole)
    const open = reigning.filter((space) => (tries.get(space) ?? 0) < triesMax)
    if (open.length === 0 || !isOpen()) return reigning
    for (const space of open) {
      // What the arbiter has refused once, it refuses again.
      const to = tries.has(space) && space.member.rejection !== null ? null : space.successor()
      tries.set(space, to ? (tries.get(space) ?? 0) + 1 : triesMax)
      if (to) space.handOver(to, reason)
    }
    await new Promise<void>((resolve) => clock.setTimeout(resolve, pollMs))
  }
}
