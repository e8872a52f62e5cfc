/** Numbers and situations in words. */
import { bytesText, msText } from '../../../machines/units.js'
import type { ClusterSpace } from '../../status.js'

export { bytesText, msText }

const counts = new Intl.NumberFormat('en')
const collator = new Intl.Collator('en', { numeric: true })

/** n2 before n10. */
export function byName(a: string, b: string): number {
  return collator.compare(a, b)
}

export function countText(value: number): string {
  return counts.format(Math.round(value))
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
