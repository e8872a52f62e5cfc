/** `engram up` as a person runs it, and nodes that are started by hand beside it. */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { ClusterStatus } from '../../runtime/status/status.js'
import { Child, processesNaming } from './child.js'
import { cli, jsonOf } from './cli.js'
import { cliFile, removeTemporary, temporaryDirectory } from './environment.js'
import type { Stage } from './scenario.js'
import { waitFor } from './wait.js'

export interface Ready {
  readonly nats: string
  readonly http: string
  readonly nodes: readonly { readonly id: string; readonly pid: number }[]
}

export interface Up {
  readonly child: Child
  readonly data: string
}

export interface Options {
  readonly data?: string
  readonly args?: readonly string[]
  readonly env?: Record<string, string>
  readonly stderr?: number
}

export function directory(stage: Stage): string {
  const made = temporaryDirectory('up')
  stage.onEnd(() => {
    // Their command lines name the directory that is this test's own.
    for (const line of processesNaming(made)) process.kill(Number.parseInt(line, 10), 'SIGKILL')
    removeTemporary(made)
  })
  return made
}

export function spawnUp(stage: Stage, { data, args = [], env, stderr }: Options = {}): Up {
  const files = directory(stage)
  const place = data ?? join(files, 'data')
  const port = args.includes('--nats') || args.includes('--nats-port') ? [] : ['--nats-port', '0']
  const child = stage.child(new Child({
    label: 'engram up',
    command: process.execPath,
    group: true,
    logFile: join(files, 'up.log'),
    args: [cliFile, 'up', '--json', '--data', place, '--http', '127.0.0.1:0', ...port, ...args],
    ...(env ? { env } : {}),
    ...(stderr === undefined ? {} : { stderr }),
  }))
  return { child, data: place }
}

export async function ready({ child }: Up): Promise<Ready> {
  return await child.firstLine(
    (line) => line.startsWith('{') ? JSON.parse(line) as Ready : undefined,
    40,
  )
}

export async function statusAt(nats: string): Promise<ClusterStatus> {
  return jsonOf(await cli(['status', '--json', '--nats', nats])) as ClusterStatus
}

/** A node that a person starts: by the command that `up` printed. */
export async function typed(stage: Stage, up: Up): Promise<Child> {
  const command = await waitFor('the command to be printed',
    () => /npx engram (node .*)$/m.exec(up.child.log())?.[1])
  const child = stage.child(new Child({
    label: 'by hand',
    command: process.execPath,
    logFile: join(directory(stage), 'hand.log'),
    args: [cliFile, ...command.split(' ')],
  }))
  await child.firstLine((line) => line || undefined)
  return child
}

export async function ends(child: Child, seconds = 20): Promise<void> {
  const exit = await waitFor('the end of `engram up`', () => child.exit, { seconds })
  assert.equal(exit, { code: 0, signal: null }, child.logTail(20))
}
