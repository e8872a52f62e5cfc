/** Important notices on all views. */
import { countText, dayClockText } from '../model/words.js'
import { hrefOf } from './route.js'
import { at, closeFile, fileError, fileName, link, recording, seek, shownMs,
  state } from './store.js'

/** Delay, since a server that has just started is not connected yet. */
const patienceMs = 1_000

/** Notice for a link to a time before the recording, of which only past events are known. */
function BeforeNotice() {
  const { beginMs, endMs, isEmpty } = recording()
  const moment = at.value
  if (moment === null || isEmpty || moment >= beginMs) return null
  return (
    <p class="notice" data-notice="before">
      <b>Before this page was opened.</b> The link leads to {dayClockText(moment, endMs)}. The{' '}
      <a href={hrefOf('timeline', { at: String(moment) })}>timeline</a>{' '}
      has the events that the nodes have kept of that time. The state of the cluster then is not
      known. <button type="button" onClick={() => seek(null)}>Show the present</button>
    </p>
  )
}

export function Notices() {
  const { broker, nodes } = state.value
  const lost = [...nodes.values()].filter((node) => node.lost > 0)
  const total = lost.reduce((sum, node) => sum + node.lost, 0)
  return (
    <div class="notices">
      {link.value.kind === 'lost' && fileName.value === null && (
        <p class="notice bad" data-notice="disconnected">
          <b>Disconnected.</b>{' '}
          The page's server does not answer. The page shows the last known state and reconnects by
          itself.
        </p>
      )}
      {broker?.state === 'disconnected' && shownMs.value - broker.atMs > patienceMs && (
        <p class="notice bad" data-notice="broker">
          <b>No broker.</b> The page's server is not connected to NATS{broker.reason === ''
            ? ''
            : `: ${broker.reason}`}.
        </p>
      )}
      <BeforeNotice />
      {fileName.value !== null && (
        <p class="notice">
          <b>Recording:</b> {fileName.value}. Nothing here is live.{' '}
          <button type="button" onClick={closeFile}>Back to the live cluster</button>
        </p>
      )}
      {fileError.value !== null && (
        <p class="notice bad" role="alert">
          {fileError.value}{' '}
          <button type="button" onClick={() => {
            fileError.value = null
          }}>
            Dismiss
          </button>
        </p>
      )}
      {total > 0 && (
        <p class="notice weak">
          {countText(total)} inspection {total === 1 ? 'event' : 'events'} of{' '}
          {lost.map(({ id }) => id)
            .join(', ')} {total === 1 ? 'was' : 'were'}{' '}
          dropped, so that no node has to wait for a viewer.
        </p>
      )}
    </div>
  )
}
