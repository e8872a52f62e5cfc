import { spaceMachine } from '../../machines/space.js'
import type { RoleInput } from '../../machines/space.js'
import type { ActorHost } from '../host/actorHost.js'
import { hosted } from '../host/invokeHosted.js'
import type { SpaceActor } from './space.js'

/** The chart with its roles as hosted actors; bound once for all spaces of a node. */
export function bindSpaceMachine(
  host: ActorHost,
  held: (space: string) => SpaceActor | undefined,
): typeof spaceMachine {
  const of = ({ space }: RoleInput): SpaceActor => {
    const found = held(space)
    if (!found) throw new Error(`the space ${space} is not held here`)
    return found
  }
  type Args = { readonly input: RoleInput }
  return spaceMachine.provide({
    actors: {
      replica: hosted(host, ({ input }: Args) => of(input).startReplica(), {
        doneType: 'replicaDone',
        failedType: 'replicaFailed',
      }),
      promotion: hosted(host, ({ input }: Args) => of(input).startPromotion(input), {
        doneType: 'promotionOver',
        failedType: 'promotionFailed',
      }),
      primary: hosted(host, ({ input }: Args) => of(input).startPrimary(input), {
        doneType: 'steppedDown',
        failedType: 'primaryFailed',
      }),
    },
  })
}
