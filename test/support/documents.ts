/** The documents of the repository, as tests read them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { root } from './environment.js'

const folders = ['', 'docs', 'examples', 'test/sim/golden', '.github']

/** Paths of all Markdown files, in order. */
export function documents(): string[] {
  return folders.flatMap((folder) => markdownIn(folder, folder !== '')).toSorted()
}

function markdownIn(folder: string, isDeep: boolean): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name)
    if (entry.isDirectory()) return isDeep ? markdownIn(path, true) : []
    return entry.name.endsWith('.md') ? [path] : []
  })
}

export function textOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** The text without its blocks of code; lines stay where they are. */
export function withoutBlocks(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, ''))
}

/** The blocks of code in one of these languages. */
export function blocksOf(path: string, ...languages: readonly string[]): string[] {
  const blocks = textOf(path).matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)
  return [...blocks].flatMap(([, language = '', text = '']) =>
    languages.includes(language) ? [text] : []
  )
}

/** The block that begins so. */
export function blockOf(path: string, begin: string): string {
  const found = blocksOf(path, 'js', 'ts').find((text) => text.startsWith(begin))
  if (found === undefined) throw new Error(`${path} has no program that begins with ${begin}`)
  return found
}

/** Names of the sections, as a host of repositories makes links of them. */
export function anchorsOf(text: string): string[] {
  const seen = new Map<string, number>()
  return [...withoutBlocks(text).matchAll(/^#{1,6} (.+)$/gm)].map(([, title = '']) => {
    const anchor = title.toLowerCase().replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')
    const count = seen.get(anchor) ?? 0
    seen.set(anchor, count + 1)
    return count === 0 ? anchor : `${anchor}-${count}`
  })
}

/** Targets of links and pictures; addresses of other sites are left out. */
export function linksOf(text: string): string[] {
  const prose = withoutBlocks(text).replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
}

/** Texts of all sources in a folder of the repository. */
export function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(?:ts|mjs)$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
}
