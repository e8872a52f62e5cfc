import type { BusSubscription } from '../../actors/ports/bus.js'

/** Until a subscription that the server took away is asked for again. */
const againMs = 5000

/**
 * A subscription that outlives a refusal: a server that loads its permissions anew takes away what
 * a user may no longer listen to, and does not give it back by itself when it may again.
 * @param open subscribes; calls back when the server refuses that, or takes it away
 */
export function steadySubscription(
  open: (onRefused: () => void) => BusSubscription, isClosed: () => boolean,
): BusSubscription {
  let isOver = false
  let timer: NodeJS.Timeout | undefined
  const again = (): void => {
    if (!isOver && !isClosed()) subscription = open(onRefused)
  }
  const onRefused = (): void => {
    clearTimeout(timer)
    timer = setTimeout(again, againMs)
    timer.unref()
  }
  let subscription = open(onRefused)
  return {
    unsubscribe: () => {
      isOver = true
      clearTimeout(timer)
      subscription.unsubscribe()
    },
  }
}
