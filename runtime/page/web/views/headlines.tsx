/** Headlines on spaces whose primary is gone, or was a short while ago. */
import { headlines } from '../store.js'

/** Headlines shown, the worst first. */
const shownMax = 5

export function Headlines() {
  const all = headlines.value
  if (all.length === 0) return null
  const others = all.slice(shownMax)
  const down = others.filter(({ state }) => state === 'down' || state === 'blocked').length
  return (
    <section class="headlines" aria-label="Failovers">
      {all.slice(0, shownMax).map(({ space, state, title, lines }) => (
        <article key={space} class={`headline ${state}`} data-headline={space} data-state={state}>
          <h2>{title}</h2>
          <ul>{lines.map((line, index) => <li key={index}>{line}</li>)}</ul>
        </article>
      ))}
      {all.length > shownMax && (
        <p class="facts">and {others.length} more spaces; {down} of them have no primary</p>
      )}
    </section>
  )
}
