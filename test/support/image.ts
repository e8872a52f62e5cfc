/**
 * The image of the Dockerfile without a registry: its last stage is followed instruction by
 * instruction, but over files of this machine (node, nats-server, the libraries that both load, the
 * build) in place of a base image. So what the Dockerfile copies must be enough to run a node.
 */
import { execFile, spawn } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync,
  writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { ContainerRuntimeClient } from 'testcontainers'
import { findNatsServer } from '../../runtime/cluster/natsServer.js'
import { removeTemporary, root, temporaryDirectory } from './environment.js'

export const imageName = 'engram-test:local'
/** The user `node` of the official images. */
export const imageUser = 1000

interface Instruction {
  readonly name: string
  readonly text: string
}

const run = promisify(execFile)

/** Takes some seconds; needs what `npm run build` makes. */
export async function buildImage(client: ContainerRuntimeClient): Promise<string> {
  const stage = temporaryDirectory('image')
  try {
    const instructions = lastStage(readFileSync(join(root, 'Dockerfile'), 'utf8'))
    const binaries = [process.execPath, findNatsServer()]
    for (const file of binaries) put(file, join(stage, 'usr/local/bin', basename(file)))
    copy(instructions, stage)
    await copyLibraries([...binaries, ...addons(join(stage, 'opt'))], stage)
    writeSystemFiles(stage)
    await importImage(client, stage, instructions)
    return imageName
  } finally {
    removeTemporary(stage)
  }
}

/** The lines of a Dockerfile after its last FROM, continued lines joined, comments left out. */
export function lastStage(dockerfile: string): Instruction[] {
  const lines = dockerfile.split('\n').filter((line) => !/^\s*(#|$)/.test(line))
  const joined = lines.join('\n').replaceAll(/\\\n\s*/g, '').split('\n')
  const all = joined.map((line) => {
    const [, name = '', text = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
    return { name: name.toUpperCase(), text }
  })
  return all.slice(all.findLastIndex(({ name }) => name === 'FROM') + 1)
}

/** WORKDIR and COPY; `--from=build` means the repository after its build. */
function copy(instructions: readonly Instruction[], stage: string): void {
  let directory = '/'
  for (const { name, text } of instructions) {
    if (name === 'WORKDIR') directory = text
    if (name !== 'COPY') continue
    const words = text.split(/\s+/).filter((word) => !word.startsWith('--'))
    const target = words.pop() ?? ''
    for (const word of words) {
      const source = word.replace(/^\/build\//, '')
      const to = target.endsWith('/') ? join(target, basename(source)) : target
      if (source === 'node_modules') copyPackages(join(stage, directory, to))
      else put(join(root, source), join(stage, directory, to))
    }
  }
}

/** The packages that `npm prune --omit=dev` leaves. */
function copyPackages(to: string): void {
  const from = join(root, 'node_modules')
  const lock = JSON.parse(readFileSync(join(from, '.package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>
  }
  for (const [path, { dev }] of Object.entries(lock.packages)) {
    const name = path.replace(/^node_modules\//, '')
    if (dev !== true && existsSync(join(from, name))) put(join(from, name), join(to, name))
  }
}

function put(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to, { recursive: true, dereference: true })
}

function addons(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return addons(path)
    return entry.name.endsWith('.node') ? [path] : []
  })
}

async function copyLibraries(files: readonly string[], stage: string): Promise<void> {
  for (const file of files) {
    // For another platform, or static: nothing to load.
    const { stdout } = await run('ldd', [file]).catch(() => ({ stdout: '' }))
    for (const [, path] of stdout.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)) {
      if (path && !existsSync(join(stage, path))) put(path, join(stage, path))
    }
  }
}

/** Added by the base image and RUN: the user, a data directory of its own, a place for it all. */
function writeSystemFiles(stage: string): void {
  for (const directory of ['etc', 'tmp', 'data']) {
    mkdirSync(join(stage, directory), { recursive: true })
  }
  chmodSync(join(stage, 'tmp'), 0o1777)
  if (process.getuid?.() === 0) chownSync(join(stage, 'data'), imageUser, imageUser)
  writeFileSync(join(stage, 'etc/passwd'), [
    'root:x:0:0:root:/:/sbin/nologin',
    `node:x:${imageUser}:${imageUser}::/data:/sbin/nologin`,
    '',
  ].join('\n'))
  writeFileSync(join(stage, 'etc/group'), `root:x:0:\nnode:x:${imageUser}:\n`)
  writeFileSync(join(stage, 'etc/nsswitch.conf'), 'hosts: files dns\n')
}

const imported = new Set([
  'CMD',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'HEALTHCHECK',
  'LABEL',
  'USER',
  'VOLUME',
  'WORKDIR',
])

async function importImage(
  client: ContainerRuntimeClient,
  stage: string,
  instructions: readonly Instruction[],
): Promise<void> {
  const changes = instructions.filter(({ name }) => imported.has(name))
    .map(({ name, text }) => `${name} ${text}`)
  const path = 'ENV PATH=/usr/local/bin:/usr/bin:/bin'
  const tar = spawn('tar', ['-C', stage, '-c', '.'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [repo, tag] = imageName.split(':')
  const answer = await client.container.dockerode.importImage(
    tar.stdout,
    { repo, tag, changes: [path, ...changes] },
  )
  const text = await new Promise<string>((resolve, reject) => {
    let all = ''
    answer.on('data', (chunk: Buffer) => {
      all += chunk.toString('utf8')
    })
    answer.once('error', reject)
    answer.once('end', () => resolve(all))
  })
  if (/"error"/.test(text)) throw new Error(`the image was not imported: ${text}`)
}
