/** What must not be overlooked, on all views. */
import { countText } from '../model/words.js'
import { closeFile, fileError, fileName, link, shownMs, state } from './store.js'

/** A server that has just begun to listen is not connected yet. */
const patienceMs = 1_000

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
      {fileName.value !== null && (
        <p class="notice"><b>A recording:</b> {fileName.value}. Nothing here is live.{' '}
          <button type="button" onClick={closeFile}>Back to the live cluster</button></p>
      )}
      {fileError.value !== null && (
        <p class="notice bad" role="alert">{fileError.value}{' '}
          <button type="button" onClick={() => { fileError.value = null }}>Dismiss</button></p>
      )}
      {total > 0 && (
        <p class="notice weak">{countText(total)} inspection events of {lost.map(({ id }) => id)
          .join(', ')} were dropped on the way, so that no node waits for a viewer.</p>
      )}
    </div>
  )
}
