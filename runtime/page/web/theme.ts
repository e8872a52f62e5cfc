/** Light, dark, or the system's colours. */
import { signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'
const key = 'engram.theme'
const themes: readonly Theme[] = ['system', 'light', 'dark']

export const theme = signal<Theme>(stored())

function stored(): Theme {
  try {
    const found = localStorage.getItem(key) as Theme
    return themes.includes(found) ? found : 'system'
  } catch {
    // Storage is disabled.
    return 'system'
  }
}

export function nextTheme(): void {
  theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length] ?? 'system'
  try {
    localStorage.setItem(key, theme.value)
  } catch {
    // The choice lasts until the page is closed.
  }
  applyTheme()
}

export function applyTheme(): void {
  const root = document.documentElement
  if (theme.value === 'system') delete root.dataset['theme']
  else root.dataset['theme'] = theme.value
}

/** The value of a CSS variable, for drawing on a canvas. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}
