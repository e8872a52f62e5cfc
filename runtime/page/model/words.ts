/** Numbers and situations in words. */
import type { ClusterSpace } from '../../status.js'

const counts = new Intl.NumberFormat('en')
const collator = new Intl.Collator('en', { numeric: true })

/** n2 before n10. */
export function byName(a: string, b: string): number {
  return collator.compare(a, b)
}


export function countText(value: number): string {
  return counts.format(Math.round(value))
}

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

/** Clock time with milliseconds, of the zone of the reader. */
export function clockText(atMs: number, digits: 0 | 3 = 3): string {
  const at = new Date(atMs)
  const two = (part: number): string => String(part).padStart(2, '0')
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  return digits === 0 ? time : `${time}.${String(at.getMilliseconds()).padStart(3, '0')}`
}

/** What would be lost if the primary and its disk vanished at this moment. */
export function lossText({ id, primary, lossWindow, blocked }: ClusterSpace): string {
  if (primary === null) {
    return blocked === null ? `${id} has no primary at this moment.`
      : `${id} has no primary: ${blocked}.`
  }
  const { entries, bytes, ms } = lossWindow
  if (entries === 0) return `If ${primary} and its disk vanished now: nothing would be lost.`
  const writes = entries === 1 ? '1 write' : `${countText(entries)} writes`
  return `If ${primary} and its disk vanished now: ${writes}, ${bytesText(bytes)}, `
    + `${msText(ms)} would be lost.`
}
