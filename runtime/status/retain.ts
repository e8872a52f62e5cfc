/** What a member keeps for readers of a log, and what is said of it. */
import { bytesText, msText } from '../../machines/base/units.js'
import type { ReaderRetention } from '../../machines/log/retention.js'

/** Entries of a space that keep the oldest segment of the journal, which should go. */
export interface PinStatus {
  /** Of the journal that should go. */
  readonly bytes: number
  readonly reason: string
}

/** The setting `retain` of a space, on one member. */
export interface RetainStatus extends ReaderRetention {
  /** The oldest segment of the journal is here for it. */
  readonly keepsOldest: boolean
  /** The disk is nearly full, and less is kept. */
  readonly isOverruled: boolean
}

/** For people. */
export function retainText({ bytes, ms, keepsOldest, isOverruled }: RetainStatus): string {
  const wanted = [
    ...(ms === undefined ? [] : [`of the last ${msText(ms)}`]),
    ...(bytes === undefined ? [] : [`of the last ${bytesText(bytes)} of journal`]),
  ].join(', or ')
  if (isOverruled)
    return `keeps fewer entries for readers than those ${wanted}: its disk is nearly full`
  return keepsOldest
    ? `keeps its oldest entries for readers: those ${wanted}`
    : `keeps entries for readers: those ${wanted}`
}
