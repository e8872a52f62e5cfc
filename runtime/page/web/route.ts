/** `#/charts?node=n1&actor=space.demo&at=1795486888124` is the address of a view and a moment. */
import { signal } from '@preact/signals'

export const views = ['cluster', 'charts', 'sequence', 'timeline', 'flow', 'try'] as const
export type View = (typeof views)[number]

export const titles: Readonly<Record<View, string>> = {
  cluster: 'Cluster',
  charts: 'Statecharts',
  sequence: 'Sequence',
  timeline: 'Timeline',
  flow: 'Lag and flow',
  try: 'Try it',
}

export interface Route {
  readonly view: View
  readonly query: Readonly<Record<string, string>>
}

export const route = signal<Route>(parse(location.hash))
addEventListener('hashchange', () => {
  route.value = parse(location.hash)
})

function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  const view = views.find((one) => one === path) ?? 'cluster'
  return { view, query: Object.fromEntries(new URLSearchParams(query)) }
}

/** The address of a view, without parameters that are null. */
export function hrefOf(view: View, query: Readonly<Record<string, string | null>> = {}): string {
  const entries = Object.entries(query).flatMap(([key, value]) =>
    value === null ? [] : [[key, value] as [string, string]]
  )
  const text = new URLSearchParams(entries).toString()
  return `#/${view}${text === '' ? '' : `?${text}`}`
}

/** Changes parameters of the present view, without an entry in the history. */
export function amend(query: Readonly<Record<string, string | null>>): void {
  const { view } = route.value
  const href = hrefOf(view, { ...route.value.query, ...query })
  if (href === location.hash) return
  history.replaceState(null, '', href)
  route.value = parse(href)
}
