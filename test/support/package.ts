/**
 * The package as a user gets it, without a registry: packed from this checkout, and installed by
 * npm into an empty project beside copies of the dependencies that this checkout has installed.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, symlinkSync,
  writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { root } from './environment.js'

const modules = join(root, 'node_modules')

interface Locked {
  readonly dev?: boolean
  readonly devOptional?: boolean
}

/** Folders of what the package depends on, directly or not, below node_modules. */
function dependencies(): string[] {
  const text = readFileSync(join(modules, '.package-lock.json'), 'utf8')
  const { packages } = JSON.parse(text) as { readonly packages: Readonly<Record<string, Locked>> }
  return Object.entries(packages).flatMap(([path, { dev, devOptional }]) => {
    const name = path.replace(/^node_modules\//, '')
    // Nested packages come with the package that they are nested in.
    return dev || devOptional || name.includes('/node_modules/') || !existsSync(join(modules, name))
      ? []
      : [name]
  })
}

/** npm takes an installed package for whole only when its commands are linked. */
function copyDependencies(to: string): void {
  const names = dependencies()
  for (const name of names) cpSync(join(modules, name), join(to, name), { recursive: true })
  mkdirSync(join(to, '.bin'), { recursive: true })
  for (const command of readdirSync(join(modules, '.bin'))) {
    const target = readlinkSync(join(modules, '.bin', command))
    if (names.some((name) => target.startsWith(`../${name}/`))) {
      symlinkSync(target, join(to, '.bin', command))
    }
  }
}

function npm(folder: string, ...args: string[]): string {
  const cache = join(folder, 'npm-cache')
  return execFileSync('npm', [...args, '--offline', '--cache', cache, '--no-audit', '--no-fund'], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** An empty project in the folder, in which `import 'engram-replication'` finds the package. */
export function installInto(folder: string): void {
  writeFileSync(join(folder, 'package.json'),
    '{"name":"of-a-user","version":"1.0.0","private":true,"type":"module"}')
  const packed = npm(folder, 'pack', root, '--silent').trim().split('\n').at(-1) ?? ''
  copyDependencies(join(folder, 'node_modules'))
  npm(folder, 'install', '--ignore-scripts', join(folder, basename(packed)))
}

/** Checks and compiles the project's TypeScript, the package's own declarations among it. */
export function compile(folder: string): void {
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      module: 'NodeNext',
      target: 'ES2022',
      strict: true,
      skipLibCheck: false,
      types: ['node'],
      typeRoots: [join(modules, '@types')],
    },
    include: ['*.ts'],
  }))
  const tsc = join(modules, 'typescript', 'bin', 'tsc')
  try {
    execFileSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' })
  } catch (error) {
    throw new Error((error as { readonly stdout: string }).stdout, { cause: error })
  }
}
