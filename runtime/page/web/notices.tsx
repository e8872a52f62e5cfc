/** What must not be overlooked, on all views. */
import { countText, dayClockText } from '../model/words.js'
import { hrefOf } from './route.js'
import {
  at, closeFile, fileError, fileName, link, recording, seek, shownMs, state,
} from './store.js'

/** A server that has just begun to listen is not connected yet. */
const patienceMs = 1_000

/** A link that leads to a time at which nobody recorded: what nodes have kept of it is there. */
function BeforeNotice() {
  const { beginMs, endMs, isEmpty } = recording()
  const moment = at.value
  if (moment === null || isEmpty || moment >= beginMs) return null
  return (
    <p class="notice" data-notice="before"><b>Before this page was opened.</b> The link leads
      to {dayClockText(moment, endMs)}. What the nodes have kept of that time is in the{' '}
      <a href={hrefOf('timeline', { at: String(moment) })}>timeline</a>; how the cluster looked then
      is not known here. <button type="button" onClick={() => seek(null)}>Look at now</button></p>
  )
}

export function Notices() {
  const { broker, nodes } = state.value
  const lost = [...nodes.values()].filter((node) => node.lost > 0)
  const total = lost.reduce((sum, node) => sum + node.lost, 0)
  return (
    <div class="notices">
      {link.value.kind === 'lost' && fileName.value === null && (
        <p class="notice bad" data-notice="disconnected"><b>Disconnected.</b> The page's server does
          not answer; what you see is what was last known. It is asked again by itself.</p>
      )}
      {broker?.state === 'disconnected' && shownMs.value - broker.atMs > patienceMs && (
        <p class="notice bad" data-notice="broker"><b>No broker.</b> NATS does not answer the page's
          server{broker.reason === '' ? '' : `: ${broker.reason}`}.</p>
      )}
      <BeforeNotice />
      {fileName.value !== null && (
        <p class="notice"><b>A recording:</b> {fileName.value}. Nothing here is live.{' '}
          <button type="button" onClick={closeFile}>Back to the live cluster</button></p>
      )}
      {fileError.value !== null && (
        <p class="notice bad" role="alert">{fileError.value}{' '}
          <button type="button" onClick={() => { fileError.value = null }}>Dismiss</button></p>
      )}
      {total > 0 && (
        <p class="notice weak">{countText(total)} inspection{' '}
          {total === 1 ? 'event' : 'events'} of {lost.map(({ id }) => id)
          .join(', ')} {total === 1 ? 'was' : 'were'} dropped on the way, so that no node waits for
          a viewer.</p>
      )}
    </div>
  )
}
