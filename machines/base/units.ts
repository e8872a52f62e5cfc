/** Formats amounts for reasons, alerts and pages. */

/** `0.42 ms`, `17 ms`, `3.2 s`, `4 min`, `2.1 h`, `3 d`. */
export function msText(ms: number): string {
  const size = Math.abs(ms)
  if (size < 1) return `${Number(ms.toFixed(2))} ms`
  if (size < 1_000) return `${Number(ms.toFixed(size < 10 ? 1 : 0))} ms`
  if (size < 120_000) return `${(ms / 1_000).toFixed(1)} s`
  if (size < 7_200_000) return `${Math.round(ms / 60_000)} min`
  if (size < 172_800_000) return `${(ms / 3_600_000).toFixed(1)} h`
  return `${Math.round(ms / 86_400_000)} d`
}

/** `812 B`, `4.1 kB`, `100 MB`. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** `1 space`, `1,024 spaces`. */
export function amountText(count: number, noun: string, plural = `${noun}s`): string {
  return `${countText(count)} ${count === 1 ? noun : plural}`
}

/** `3 spaces: a, b, c`, or with `, …` if there are more than are shown. */
export function spacesText(names: readonly string[]): string {
  const shown = names.slice(0, spacesShown).join(', ')
  return `${amountText(names.length, 'space')}: ${shown}${names.length > spacesShown ? ', …' : ''}`
}

const spacesShown = 3

/** `1,024`. */
export function countText(count: number): string {
  return count.toLocaleString('en-US')
}
