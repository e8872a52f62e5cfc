/**
 * Returns how many of `count` ordered places satisfy `liesBefore`; those come first. It is also the
 * index of the first one that does not.
 */
export function partition(count: number, liesBefore: (place: number) => boolean): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >> 1
    if (liesBefore(middle)) low = middle + 1
    else high = middle
  }
  return low
}
