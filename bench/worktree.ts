/** Another commit, built in a temporary worktree of this checkout's repository. */
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { atEnd, temporaryDirectory } from './processes.js'

export interface OtherBuild {
  /** For example "1a2b3c4 journal: one write per batch". */
  readonly commit: string
  readonly dist: string
}

const run = promisify(execFile)
const outputBytesMax = 16 * 1024 * 1024
/** This file is `dist/bench/worktree.js`. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** Gone, with its entry in the repository, when the benchmark ends. */
export async function buildCommit(
  name: string,
  progress: (text: string) => void,
): Promise<OtherBuild> {
  if (!existsSync(join(root, '.git'))) {
    throw new Error('--against needs the repository: this checkout has no .git. Clone it, and run '
      + 'npm run bench there')
  }
  const hash = await git('rev-parse', '--verify', '--quiet', `${name}^{commit}`).catch(() => {
    throw new Error(`--against ${name}: there is no such commit in this repository`)
  })
  const folder = join(temporaryDirectory('against'), 'checkout')
  // Before it is there: a signal may come at any time.
  atEnd(() => void spawnSync('git', ['-C', root, 'worktree', 'remove', '--force', folder]))
  await git('worktree', 'add', '--detach', folder, hash)
  await addDependencies(folder, progress)
  progress(`building ${hash.slice(0, 10)}`)
  const compiler = join(folder, 'node_modules', 'typescript', 'bin', 'tsc')
  await inFolder(folder, process.execPath, [compiler, '-p', 'tsconfig.json'])
  return { commit: await git('log', '-1', '--format=%h %s', hash), dist: join(folder, 'dist') }
}

/** Those of this checkout, when both commits ask for the same. */
async function addDependencies(folder: string, progress: (text: string) => void): Promise<void> {
  const lock = (at: string): string => readFileSync(join(at, 'package-lock.json'), 'utf8')
  if (lock(folder) === lock(root)) {
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir')
    return
  }
  progress('installing the other commit\'s dependencies (npm ci)')
  await inFolder(folder, 'npm', ['ci', '--no-audit', '--no-fund'])
}

async function git(...args: string[]): Promise<string> {
  return await inFolder(root, 'git', args)
}

async function inFolder(cwd: string, command: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(command, args, { cwd, maxBuffer: outputBytesMax })
    return stdout.trim()
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`${command} ${args.join(' ')} failed\n${stdout}${stderr}`, { cause: error })
  }
}
