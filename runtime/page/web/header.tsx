import { hrefOf, route, titles, views } from './route.js'
import type { View } from './route.js'
import { at, state } from './store.js'
import { nextTheme, theme } from './theme.js'

function onKey(event: KeyboardEvent): void {
  const index = views.indexOf(route.value.view)
  const moves: Record<string, number> = {
    ArrowRight: index + 1,
    ArrowLeft: index - 1,
    Home: 0,
    End: views.length - 1,
  }
  const next = moves[event.key]
  if (next === undefined) return
  event.preventDefault()
  const view = views[(next + views.length) % views.length] ?? 'cluster'
  location.hash = address(view)
  document.getElementById(`tab-${view}`)?.focus()
}

function address(view: View): string {
  return hrefOf(view, { at: at.value === null ? null : String(Math.round(at.value)) })
}

export function Header() {
  const { start } = state.value
  const source = start === null ? '' : start.source === 'node'
    ? `node ${start.node}`
    : start.source === 'up'
    ? 'local cluster'
    : 'simulator'
  return (
    <header class="top">
      <h1>
        <img src="./icon.svg" alt="" width="22" height="22" />Engram
        <span class="muted">{source}</span>
      </h1>
      <nav aria-label="Views">
        <div role="tablist" onKeyDown={onKey}>
          {views.map((view) => {
            const isOn = route.value.view === view
            return (
              <a key={view} id={`tab-${view}`} role="tab" href={address(view)} aria-selected={isOn}
                aria-controls="view" tabIndex={isOn ? 0 : -1}
              >
                {titles[view]}
              </a>
            )
          })}
        </div>
      </nav>
      <button type="button" class="quiet theme" onClick={nextTheme}
        title="Colours: system, light, dark"
      >
        <span aria-hidden="true">{{ system: '◐', light: '○', dark: '●' }[theme.value]}</span>
        <span class="label">{theme.value}</span>
        <span class="sr">colours; change</span>
      </button>
    </header>
  )
}
