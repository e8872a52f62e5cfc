import type { BusSubscription } from '../../actors/ports/bus.js'

/** Pause before a subscription that the server took away is made again. */
const againMs = 5000

/**
 * A subscription that outlives a refusal. A server that reloads its permissions removes
 * subscriptions that a user may no longer have, and does not restore them when it may again.
 * @param open subscribes; calls back when the server refuses that, or takes it away
 */
export function steadySubscription(
  open: (onRefused: () => void) => BusSubscription,
  isClosed: () => boolean,
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
